"""What people call a video: files, folders, patterns, addresses, arrays."""
import glob
import os
import os.path as osp
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator, List, Optional
from urllib.parse import urlparse

import numpy as np

from ..datasets.video_reading import BadVideoError
from ..errors import UserError

# What PyAV and decord open, and people keep.
SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v', '.mpg', '.mpeg',
            '.wmv', '.flv', '.ts', '.3gp', '.ogv', '.gif')


@dataclass(frozen=True)
class VideoInput:
    """One video.

    Attributes:
        name (str): As the user knows it.
        path (str, optional): File or web address.
        frames (np.ndarray, optional): uint8 RGB [T, H, W, 3], in place of a
            path.
        fps (float): Frame rate of ``frames``.
    """
    name: str
    path: Optional[str] = None
    frames: Optional[np.ndarray] = None
    fps: float = 25.

    @contextmanager
    def local(self) -> Iterator[str]:
        """The path of a file here; what had to be fetched is removed after.

        Raises:
            BadVideoError: The address cannot be fetched.
        """
        if not is_url(self.path or ''):
            yield self.path
            return
        import torch
        suffix = osp.splitext(urlparse(self.path).path)[1]
        with tempfile.TemporaryDirectory(prefix='vifi_clip_') as folder:
            path = osp.join(folder, f'video{suffix}')
            try:
                torch.hub.download_url_to_file(
                    self.path, path, progress=False)
            except (OSError, ValueError) as error:
                raise BadVideoError(f'it cannot be fetched: {error}') from (
                    error)
            yield path


def is_url(text: str) -> bool:
    """Whether a text is a web address."""
    return urlparse(text).scheme in ('http', 'https', 'ftp')


def expand_inputs(inputs: Any) -> List[VideoInput]:
    """Everything that was given, one entry for each video.

    Args:
        inputs: A path, a folder (all videos in it and below, sorted), a
            pattern with ``*``, a web address, frames [T, H, W, 3] (array,
            or a list of [H, W, 3]), a :class:`VideoInput`, or a list of
            these.

    Returns:
        list[VideoInput]: Each path once, in the order given.

    Raises:
        UserError: A path, folder or pattern without any video, an array
            that is no video, or nothing at all.
    """
    if isinstance(inputs, (list, tuple)) and not _is_frames(inputs):
        found, seen = [], set()
        for item in inputs:
            for video in expand_inputs(item):
                if video.path is None or video.path not in seen:
                    found.append(video)
                seen.add(video.path)
        if not found:
            raise UserError('No videos were given')
        return found
    if isinstance(inputs, VideoInput):
        return [inputs]
    if isinstance(inputs, (str, os.PathLike)):
        return [VideoInput(path, path) for path in _paths(os.fspath(inputs))]
    return [VideoInput('array', frames=_frames(inputs))]


def _paths(text: str) -> List[str]:
    if is_url(text) or osp.isfile(text):
        return [text]
    if osp.isdir(text):
        found = [
            osp.join(folder, name)
            for folder, _, names in os.walk(text, followlinks=True)
            for name in names if name.lower().endswith(SUFFIXES)
            and not name.startswith('.')
        ]
        if not found:
            raise UserError(f'{text} has no videos ({", ".join(SUFFIXES)})')
        return sorted(found)
    found = [p for p in glob.glob(text, recursive=True) if osp.isfile(p)]
    if not found:
        raise UserError(f'No such video: {text}')
    return sorted(found)


def _is_frames(items: Any) -> bool:
    return len(items) > 0 and all(
        isinstance(item, np.ndarray) and item.ndim == 3 for item in items)


def _frames(array: Any) -> np.ndarray:
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise UserError('Frames of one video must have one size') from error
    if (array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8
            or 0 in array.shape):
        raise UserError('A video as an array is uint8 RGB [T, H, W, 3] with '
                        f'at least one frame, got {array.dtype} '
                        f'{list(array.shape)}')
    return array
