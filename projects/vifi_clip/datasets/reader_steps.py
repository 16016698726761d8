"""Steps of a pipeline that read the video, ours and MMAction2's, and
:func:`run_pipeline`, whose errors tell a bad video from a bad step."""
import os.path as osp
from typing import Callable, Optional, Sequence

from mmaction.datasets.transforms import (DecordDecode, DecordInit,
                                          ImageDecode, OpenCVDecode,
                                          OpenCVInit, PIMSDecode, PIMSInit,
                                          PyAVDecode, PyAVInit)

from ..errors import UnreadableVideo
from .video_reader import VideoReader, check_file

_MMACTION_OPENERS = (DecordInit, PyAVInit, PIMSInit, OpenCVInit)
OPENERS = (VideoReader, *_MMACTION_OPENERS)
READERS = (*OPENERS, DecordDecode, PyAVDecode, PIMSDecode, OpenCVDecode,
           ImageDecode)
# What goes wrong in READERS is the video's fault, except for these: a decoder
# that is not installed, a key that an earlier transform should have set, a
# wrong argument, a machine out of memory.
_NOT_THE_VIDEO = (ImportError, KeyError, TypeError, AttributeError,
                  MemoryError)


def reads_local_files(transforms: Sequence[Callable]) -> bool:
    """Return whether every step that opens the video reads the local disk."""
    return all(getattr(step, 'io_backend', 'disk') in ('disk', 'local')
               for step in transforms if isinstance(step, OPENERS))


def run_pipeline(transforms: Sequence[Callable],
                 results: dict,
                 source: Optional[str] = None) -> Optional[dict]:
    """Apply transforms in sequence.

    Args:
        transforms (Sequence[Callable]): Transforms of the pipeline.
        results (dict): Sample information with ``filename``.
        source (str, optional): Read the pixels of this video instead of
            ``filename``'s; all else stays the sample's own.

    Returns:
        dict, optional: None as soon as a step that does not read the video
        returns None.

    Raises:
        UnreadableVideo: The video cannot be opened or decoded, or has no
            frames.
    """
    for step in transforms:
        if isinstance(step, READERS):
            name = results['filename']
            results['filename'] = source or name
            results = _read(step, results)
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
            check_file(name)  # decord would crash on some
        results = step(results)
    except _NOT_THE_VIDEO:
        raise
    except UnreadableVideo as error:
        raise UnreadableVideo(name, error.reason) from error
    except Exception as error:
        lines = str(error).strip().splitlines() or ['no message']
        raise UnreadableVideo(
            name, f'{type(error).__name__}: {lines[0]}') from error
    if results is None:
        raise UnreadableVideo(name, f'{type(step).__name__} returned nothing')
    if results.get('total_frames') == 0:
        raise UnreadableVideo(name, 'it has no frames, or its container does '
                              'not say how many')
    return results
