"""What people call a video: files, folders, patterns, addresses, arrays."""
import glob
import os
import os.path as osp
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Iterator, List, Optional

import numpy as np

from ..errors import UserError
from .video_fetch import (MAX_MB, TIMEOUT, fetched, file_of, is_camera,
                          parse_camera, record)

# What PyAV and decord open, and people keep.
SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v', '.mpg', '.mpeg',
            '.wmv', '.flv', '.ts', '.3gp', '.ogv', '.gif')


@dataclass(frozen=True)
class VideoInput:
    """One video.

    Attributes:
        name (str): As the user knows it.
        path (str, optional): File, web address, or camera ('camera:0').
        frames (np.ndarray, optional): uint8 RGB [T, H, W, 3], in place of a
            path.
        fps (float): Frame rate of ``frames``.
        max_mb (float): Most megabytes to fetch from a web address.
        timeout (float): Seconds to wait for more of it.
    """
    name: str
    path: Optional[str] = None
    frames: Optional[np.ndarray] = None
    fps: float = 25.
    max_mb: float = MAX_MB
    timeout: float = TIMEOUT

    @contextmanager
    def opened(self) -> Iterator['VideoInput']:
        """The same with a file here, or frames; what had to be fetched is
        removed after.

        Raises:
            BadVideoError: It cannot be fetched or recorded.
        """
        path = self.path or ''
        if is_url(path):
            with fetched(path, self.max_mb, self.timeout) as file:
                yield replace(self, path=file)
        elif is_camera(path):
            frames, fps = record(path)
            yield replace(self, path=None, frames=frames, fps=fps)
        else:
            yield self


def is_url(text: str) -> bool:
    """Whether a text is a web address."""
    return text.lower().startswith(('http://', 'https://', 'ftp://'))


def expand_inputs(inputs: Any) -> List[VideoInput]:
    """Everything that was given, one entry for each video.

    Args:
        inputs: A path, a folder (all videos in it and below, sorted), a
            pattern with ``*``, a web address, a camera ('camera:0', or
            'camera:0:10' for 10 seconds), frames [T, H, W, 3] (array, or a
            list of [H, W, 3]), a :class:`VideoInput`, or a list of these.

    Returns:
        list[VideoInput]: Each path once, in the order given.

    Raises:
        UserError: A path, folder or pattern without any video, an array
            that is no video, or nothing at all.
        ValueError: A bad number or length of a camera.
    """
    if not isinstance(inputs, (list, tuple)) or _is_frames(inputs):
        return _expand_one(inputs, 'array')
    found, seen, arrays = [], set(), 0
    for item in inputs:
        array = not isinstance(item, (str, os.PathLike, VideoInput))
        arrays += array
        # names tell results apart
        name = f'array {arrays}' if array and len(inputs) > 1 else 'array'
        for video in _expand_one(item, name):
            key = _key(video.path)
            if key is None or key not in seen:
                found.append(video)
            seen.add(key)
    if not found:
        raise UserError('No videos were given')
    return found


def _expand_one(item: Any, name: str) -> List[VideoInput]:
    if isinstance(item, VideoInput):
        return [item]
    if isinstance(item, (str, os.PathLike)):
        text = os.fspath(item)
        local = file_of(text)
        return [VideoInput(text if path == local else path, path)
                for path in _paths(text if local is None else local)]
    if isinstance(item, (list, tuple)) and not _is_frames(item):
        return expand_inputs(item)
    return [VideoInput(name, frames=_frames(item))]


def _key(path: Optional[str]) -> Optional[str]:
    """Tells paths apart: ./a.mp4 is a.mp4."""
    if path is None or is_url(path) or is_camera(path):
        return path
    return osp.abspath(path)


def _paths(text: str) -> List[str]:
    if is_url(text) or osp.isfile(text):
        return [text]
    if is_camera(text):
        parse_camera(text)
        return [text]
    if osp.isdir(text):
        found = [
            osp.join(folder, name) for folder, names in _walk(text)
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


def _walk(top: str) -> Iterator[tuple]:
    """Folders and their files' names; through links, but each folder once.
    """
    def left_out(error: OSError) -> None:
        warnings.warn(f'{error.filename} is left out: {error.strerror}')

    seen = set()
    for folder, below, names in os.walk(top, followlinks=True,
                                        onerror=left_out):
        status = os.stat(folder)
        place = status.st_dev, status.st_ino
        if place in seen:
            below.clear()  # a link that leads back
            continue
        seen.add(place)
        yield folder, names


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
