"""The first step of every pipeline, and :func:`run_pipeline`, whose errors
tell a bad video from a bad step."""
import io
import os.path as osp
from typing import Any, Callable, Optional, Sequence

from mmaction.datasets.transforms import (DecordDecode, DecordInit,
                                          ImageDecode, OpenCVDecode,
                                          OpenCVInit, PIMSDecode, PIMSInit,
                                          PyAVDecode, PyAVInit)
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine import fileio

from ..errors import UnreadableVideo, UserError, first_line
from .contained_video import open_video
from .containers import FrameCountChanged, Source
from .shards import source_of
from .torchcodec_video import TorchCodecVideo, check_torchcodec
from .transforms import VideoDecode

_TORCHCODEC = {'torchcodec': 'cpu', 'torchcodec-cuda': 'cuda'}  # devices
BACKENDS = ('pyav', *_TORCHCODEC, 'decord')


@TRANSFORMS.register_module()
class VideoReader(BaseTransform):
    """Open a video: the first step of a pipeline, before the sampling.

    VideoDecode must follow it. Required key is ``filename``; where no such
    file exists, it is tried with '.mp4' behind it. The video may be in a
    shard of ``vifi-clip pack`` (:func:`~.shards.source_of`). Added keys are
    ``video_reader`` (:class:`~.video_file.VideoFile`), ``total_frames``,
    ``avg_fps`` and ``frame_times`` (its method).

    Args:
        backend (str): 'pyav'; 'torchcodec' or 'torchcodec-cuda', which
            decode MP4 and Matroska by torchcodec, on the CPU or a GPU, and
            other files as 'pyav' does; or 'decord': the paper's and
            MMAction2's reader, for comparison. decord 0.6 returns wrong
            frames of some files, without an error (docs/performance.md), and
            crashes at a few damaged ones. Defaults to 'pyav'.
        num_threads (int): Threads that decode one frame. Defaults to 1.
        timeout (float): Seconds after which PyAV gives a video up. Defaults
            to 600.
        io_backend (str): Where the files are: 'disk', or another of
            MMEngine's storages, from which a file is fetched into memory.
            Defaults to 'disk'.
        **kwargs: Of that storage's client.

    Raises:
        ValueError: An unknown backend.
        UserError: torchcodec, or a GPU for it, is not there.
        UnreadableVideo: The video cannot be read.
    """

    def __init__(self, backend: str = 'pyav', num_threads: int = 1,
                 timeout: float = 600., io_backend: str = 'disk',
                 **kwargs) -> None:
        if backend not in BACKENDS:
            raise ValueError('VideoReader: backend (READER) must be one of '
                             f'{", ".join(BACKENDS)}, got {backend!r}')
        if backend in _TORCHCODEC:
            check_torchcodec(_TORCHCODEC[backend])
        self.backend, self.num_threads = backend, num_threads
        self.timeout, self.io_backend = timeout, io_backend
        self.kwargs = kwargs

    def transform(self, results: dict) -> dict:
        """Open one video."""
        source: Source = results['filename']
        if self.io_backend not in ('disk', 'local'):
            source = fileio.get(
                source, dict(self.kwargs, backend=self.io_backend))
        else:
            source = source_of(source)
        if self.backend == 'decord':
            open_video(source)  # decord would crash at some
            import decord
            decord.logging.set_level(decord.logging.QUIET)
            video: Any = decord.VideoReader(
                io.BytesIO(source) if isinstance(source, bytes) else source,
                num_threads=self.num_threads)
        else:
            video = open_video(source, results.get('in_order', False),
                               self.num_threads, self.timeout)
            if self.backend in _TORCHCODEC:
                video = TorchCodecVideo(source, video, self.num_threads,
                                        _TORCHCODEC[self.backend])
            results['frame_times'] = video.frame_times
        results.update(video_reader=video, total_frames=len(video),
                       avg_fps=video.get_avg_fps())
        return results


_MMACTION_OPENERS = (DecordInit, PyAVInit, PIMSInit, OpenCVInit)
OPENERS = (VideoReader, *_MMACTION_OPENERS)
READERS = (*OPENERS, VideoDecode, DecordDecode, PyAVDecode, PIMSDecode,
           OpenCVDecode, ImageDecode)
# What goes wrong in READERS is the video's fault, except for these: a decoder
# that is not installed, a key that an earlier transform should have set, a
# wrong argument, a machine out of memory.
_NOT_THE_VIDEO = (ImportError, KeyError, TypeError, AttributeError,
                  MemoryError)


def reads_local_files(transforms: Sequence[Callable]) -> bool:
    """Return whether every step that opens the video reads the local disk."""
    return all(getattr(step, 'io_backend', 'disk') in ('disk', 'local')
               for step in transforms if isinstance(step, OPENERS))


def run_pipeline(transforms: Sequence[Callable], results: dict,
                 source: Optional[str] = None) -> Optional[dict]:
    """Apply transforms in sequence; None as soon as a step that does not read
    the video returns None.

    ``results`` have a ``filename``; the pixels are those of ``source``, if it
    is given, and all else is the sample's own. UnreadableVideo if the video
    cannot be opened or decoded, or has no frames.
    """
    try:
        return _run_once(transforms, dict(results), source)
    except FrameCountChanged:
        # The frames were sampled by a wrong number of them.
        return _run_once(transforms, dict(results, in_order=True), source)


def _run_once(transforms: Sequence[Callable], results: dict,
              source: Optional[str]) -> Optional[dict]:
    for step in transforms:
        if isinstance(step, READERS):
            name = results['filename']
            results = _read(step, dict(results, filename=source or name))
            results['filename'] = name
        else:
            results = step(results)
        if results is None:
            return None
    return results


def _read(step: Callable, results: dict) -> dict:
    name = results['filename']
    try:
        if isinstance(step, _MMACTION_OPENERS) and osp.isfile(name):
            open_video(name)  # decord would crash at some
        results = step(results)
    except (*_NOT_THE_VIDEO, FrameCountChanged):
        raise
    except UnreadableVideo as error:
        raise UnreadableVideo(name, error.reason) from error
    except UserError:
        raise
    except Exception as error:
        raise UnreadableVideo(
            name, f'{type(error).__name__}: {first_line(error)}') from error
    if results is None:
        raise UnreadableVideo(name, f'{type(step).__name__} returned nothing')
    if results.get('total_frames') == 0:
        raise UnreadableVideo(name, 'it has no frames, or its container does '
                              'not say how many')
    return results
