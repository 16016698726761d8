"""Run a pipeline so that a bad video is told apart from a bad pipeline."""
import os
import os.path as osp
from typing import Callable, Optional, Sequence

from .video_list import is_local

# MMAction2's transforms that open or decode a video. What goes wrong in them
# (or in subclasses of them) is the video's fault; anything else is ours.
READER_TRANSFORMS = ('DecordInit', 'DecordDecode', 'PyAVInit', 'PyAVDecode',
                     'PyAVDecodeMotionVector', 'PIMSInit', 'PIMSDecode',
                     'OpenCVInit', 'OpenCVDecode', 'ImageDecode')
# Except for these: a decoder that is not installed, a key that an earlier
# transform should have set, a wrong argument, a machine out of memory.
_NOT_THE_VIDEO = (ImportError, KeyError, TypeError, AttributeError,
                  MemoryError)


class BadVideoError(Exception):
    """A video that cannot be opened or decoded; the text says why."""


def is_reader(transform: Callable) -> bool:
    """Whether a transform is, or derives from, one that reads the video."""
    return any(cls.__name__ in READER_TRANSFORMS
               for cls in type(transform).__mro__)


def reads_local_files(transforms: Sequence[Callable]) -> bool:
    """Whether every transform that opens the video reads the local disk."""
    return all(
        getattr(transform, 'io_backend', 'disk') in ('disk', 'local')
        for transform in transforms if is_reader(transform))


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
        dict, optional: What the last transform returns; None as soon as one
        that does not read the video returns None.

    Raises:
        BadVideoError: If the video cannot be opened or decoded, or has no
            frames.
    """
    for transform in transforms:
        if is_reader(transform):
            results = _read(transform, results, source)
        else:
            results = transform(results)
        if results is None:
            return None
    return results


def _read(transform: Callable, results: dict, source: Optional[str]) -> dict:
    own_name = results['filename']
    if source is not None:
        results['filename'] = source
    try:
        not_open_yet = 'video_reader' not in results
        if not_open_yet and reads_local_files([transform]):
            check_avi_is_whole(results['filename'])
        results = transform(results)
    except _NOT_THE_VIDEO:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or ['no message']
        raise BadVideoError(f'{type(error).__name__}: {lines[0]}') from error
    if results is None:
        raise BadVideoError(f'{type(transform).__name__} returned nothing')
    if results.get('total_frames') == 0:
        raise BadVideoError('it has no frames, or its container does not '
                            'say how many')
    results['filename'] = own_name
    return results


def check_avi_is_whole(path: str) -> None:
    """Refuse an AVI file whose pictures run past the end of the file.

    decord 0.6 does not fail on such a file, it crashes the process, and
    HMDB-51 and UCF-101 come as AVI.

    Args:
        path (str): Video file; one that is not AVI by its content, or not on
            the local disk, passes.

    Raises:
        BadVideoError: If the file is cut short.
        OSError: If it cannot be read.
    """
    if not is_local(path) or not osp.isfile(path):
        return
    size = osp.getsize(path)
    with open(path, 'rb') as file:
        riff, form = file.read(4), file.read(8)[4:]
        if riff != b'RIFF' or form != b'AVI ':
            return
        # Chunks: four-letter name, byte count, content padded to even length.
        while len(header := file.read(12)) == 12:
            name, kind = header[:4], header[8:]
            end = file.tell() - 4 + int.from_bytes(header[4:8], 'little')
            if name == b'LIST' and end > size:
                raise BadVideoError(f'the file is cut short: {size} bytes '
                                    f'of at least {end}')
            if kind == b'movi':
                return
            file.seek(end + end % 2, os.SEEK_SET)
