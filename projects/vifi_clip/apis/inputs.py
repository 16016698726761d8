"""Videos and labels as users give them.

A video is a file, a folder, a pattern, a web address, a camera or an array.
"""
import glob
import os
import os.path as osp
import tempfile
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPException
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, url2pathname, urlopen

import numpy as np

from ..datasets.class_list import (check_class_names, parse_class_names,
                                   read_class_list)
from ..datasets.containers import SUFFIXES
from ..datasets.path_hints import PICTURES, remedy, remedy_of_pictures
from ..datasets.shards import INDEX, place_of
from ..errors import UnreadableVideo, UserError
from ..files import temporary_folder

_CAMERA = 'camera:'
_BLOCK = 2**18
_SECONDS, _MOST_SECONDS = 4., 60.  # of a camera
_CAMERAS = 100  # to OpenCV, larger numbers are of kinds of cameras
_CLASS_FILES = ('.txt', '.csv', '.json', '.yaml', '.yml')


@dataclass(frozen=True)
class VideoInput:
    """One video."""

    name: str  # as the user knows it
    path: Optional[str] = None  # file, web address, or camera ('camera:0')
    # uint8 RGB [T, H, W, 3], in place of a path
    frames: Optional[np.ndarray] = None
    fps: float = 25.  # frame rate of ``frames``
    max_mb: float = 2048.  # most megabytes to fetch from a web address
    timeout: float = 30.  # seconds to wait for more of it

    @contextmanager
    def opened(self) -> Iterator['VideoInput']:
        """Yield the same with a file here, or frames; what had to be fetched
        is removed after. An UnreadableVideo of this, or of what is done with
        it meanwhile, gets this video's name."""
        path = self.path or ''
        try:
            if is_url(path):
                with temporary_folder(tempfile.gettempdir()) as folder:
                    suffix = osp.splitext(url_path(path))[1]
                    file = osp.join(folder, f'video{suffix}')
                    fetch(path, file, self.max_mb, self.timeout)
                    yield replace(self, path=file)
            elif is_camera(path):
                frames, fps = record(path)
                yield replace(self, path=None, frames=frames, fps=fps)
            else:
                yield self
        except UnreadableVideo as error:
            raise UnreadableVideo(self.name, error.reason) from error


def is_url(text: str) -> bool:
    """Tell whether a text is a web address."""
    return text.lower().startswith(('http://', 'https://', 'ftp://'))


def expand_inputs(inputs: Any) -> List[VideoInput]:
    """List everything that was given, one entry for each video.

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
    if not isinstance(inputs, (list, tuple)) or is_frames(inputs):
        inputs = [inputs]
    videos: Dict[Any, VideoInput] = {}
    arrays = 0
    for item in inputs:
        arrays += not isinstance(item, (str, os.PathLike, VideoInput))
        # names tell results apart
        name = f'array {arrays}' if len(inputs) > 1 else 'array'
        for video in _expand_one(item, name):
            videos.setdefault(video_key(video, len(videos)), video)
    if not videos:
        raise UserError('No videos were given')
    paths = [video.path or '' for video in videos.values()]
    if all(path.lower().endswith(PICTURES) for path in paths):
        raise UserError(f'{paths[0]} is a picture'
                        + remedy_of_pictures(paths[0]))
    return list(videos.values())


def video_key(video: VideoInput, number: int) -> Any:
    """Return what tells a video from others: where it is, or for frames a
    number."""
    path = number if video.path is None else video.path
    if video.path and not (is_url(path) or is_camera(path)):
        return osp.abspath(path)  # ./a.mp4 is a.mp4
    return path


def one_video(video: Any) -> VideoInput:
    """Expand what must be one video; a UserError if it is not."""
    videos = expand_inputs(video)
    if len(videos) != 1:
        raise UserError(f'Give one video; {video} is {len(videos)} videos')
    return videos[0]


def _expand_one(item: Any, name: str) -> List[VideoInput]:
    if isinstance(item, VideoInput):
        return [item]
    if isinstance(item, (str, os.PathLike)):
        text = os.fspath(item)
        local = file_of(text) or text
        return [VideoInput(text if path == local else path, path)
                for path in _paths(local)]
    if isinstance(item, (list, tuple)) and not is_frames(item):
        return expand_inputs(item)
    return [VideoInput(name, frames=_frames(item))]


def _paths(text: str) -> List[str]:
    if is_camera(text):
        parse_camera(text)  # refused before any work
        return [text]
    if is_url(text) or osp.isfile(text):
        return [text]
    if osp.isdir(text):
        paths = sorted(_videos_below(text))
        problem = (f'{text} has no videos ({", ".join(SUFFIXES)})'
                   + remedy_of_pictures(text))
    else:
        paths = sorted(filter(osp.isfile, glob.glob(text, recursive=True)))
        problem = f'No such video: {text}{remedy(text)}'
    if not paths:
        if place_of(text) or osp.isfile(osp.join(text, INDEX)):
            problem += ('; videos that vifi-clip pack put into shards are for '
                        'training and testing: give the originals')
        raise UserError(problem)
    return paths


def _videos_below(top: str) -> Iterator[str]:
    """Videos in a folder; through links, but each folder once."""
    def left_out(error: OSError) -> None:
        warnings.warn(f'{error.filename} is skipped: {error.strerror}')

    seen, others = set(), 0
    for folder, below, names in os.walk(top, followlinks=True,
                                        onerror=left_out):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            below.clear()  # a link that leads back
            continue
        seen.add((status.st_dev, status.st_ino))
        names = [name for name in names if not name.startswith('.')]
        videos = [name for name in names if name.lower().endswith(SUFFIXES)]
        others += len(names) - len(videos)
        yield from (osp.join(folder, name) for name in videos)
    if others:
        warnings.warn(f'{top}: skipped {others} files whose names do not end '
                      'like those of videos')


def is_frames(items: Any) -> bool:
    """Tell whether a list is one video, frame by frame [H, W, 3]."""
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


def fetch(address: str, path: str, max_mb: float, timeout: float) -> None:
    """Save what a web address (http, https or ftp) gives; UnreadableVideo if
    it cannot be fetched, or is too large."""
    try:
        request = Request(_quoted(address),
                          headers={'User-Agent': 'vifi_clip'})
        with urlopen(request, timeout=timeout) as answer, \
                open(path, 'wb') as file:
            expected, done = int(answer.headers.get('Content-Length') or 0), 0
            while max(expected, done) <= max_mb * 2**20:
                if not (block := answer.read(_BLOCK)):
                    break
                done += len(block)
                file.write(block)
            else:
                raise UnreadableVideo(
                    address, f'it is larger than the {max_mb:g} MB that may '
                    'be fetched (--max-download)')
    except (OSError, ValueError, HTTPException) as error:
        # that of an HTTPError is without its number
        reason = error.reason if type(error) is URLError else error
        reason = str(reason) or type(error).__name__
        raise UnreadableVideo(
            address, f'it cannot be fetched: {reason}') from error
    if done < expected:
        raise UnreadableVideo(address, f'it cannot be fetched: {done} of '
                              f'{expected} bytes arrived')


def is_camera(text: str) -> bool:
    """Tell whether a text names a camera: 'camera:0', 'camera:0:10'."""
    return text.startswith(_CAMERA) and not osp.exists(text)


def parse_camera(text: str) -> Tuple[int, float]:
    """Read the number of a camera, and how many seconds to record."""
    number, _, seconds = text[len(_CAMERA):].partition(':')
    try:
        index, length = int(number), float(seconds or _SECONDS)
        if 0 <= index < _CAMERAS and 0 < length <= _MOST_SECONDS:
            return index, length
    except ValueError:
        pass
    raise ValueError(
        f'{text}: a camera is camera:0, or camera:0:10 for 10 seconds (up to '
        f'{_MOST_SECONDS:g}; cameras up to {_CAMERAS - 1})')


def record(text: str) -> Tuple[np.ndarray, float]:
    """Record frames, uint8 RGB [T, H, W, 3], and how many came in a second;
    UnreadableVideo if there is no such camera, or it gives nothing."""
    import cv2
    index, seconds = parse_camera(text)
    log = cv2.utils.logging  # ten lines where there is no camera
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)
    camera = cv2.VideoCapture(index)
    log.setLogLevel(level)
    try:
        if not camera.isOpened():
            raise UnreadableVideo(text, f'there is no camera {index}')
        frames, start, end = [], None, None
        while end is None or end - start < seconds:
            good, frame = camera.read()
            if not good:
                break
            end = time.monotonic()
            start = end if start is None else start
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    finally:
        camera.release()
    if not frames:
        raise UnreadableVideo(text, f'camera {index} gives no pictures')
    rate = (len(frames) - 1) / (end - start) if end > start else 25.
    return np.stack(frames), rate


def file_of(address: str) -> Optional[str]:
    """Return the path of a file:// address; None for anything else."""
    if not address.lower().startswith('file:'):
        return None
    return os.fspath(url2pathname(url_path(address))) or None


def url_path(address: str) -> str:
    """Return the path in an address; empty if there is none."""
    try:
        return urlsplit(address).path
    except ValueError:  # such as http://[
        return ''


def _quoted(address: str) -> str:
    """Write an address in ASCII, as browsers send it."""
    parts = urlsplit(address)
    host = parts.netloc
    if not host.isascii():
        host = host.encode('idna').decode()
    # what is quoted already stays
    path, query = (quote(text, "/%:=&?~+!$,;'@()*", errors='surrogateescape')
                   for text in (parts.path, parts.query))
    return parts._replace(netloc=host, path=path, query=query,
                          fragment='').geturl()


def read_labels(labels: Union[str, Sequence[str]],
                source: str = '--labels') -> List[str]:
    """Read class names from a list, a .txt, .csv, .json or .yaml file, or a
    text with commas (not at those in "quotes"); ``source`` is named in errors.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No names, empty or repeated ones, or another kind of file.
    """
    if isinstance(labels, os.PathLike) or (
            isinstance(labels, str)
            and osp.splitext(labels)[1].lower() in _CLASS_FILES):
        return read_class_list(labels)
    if isinstance(labels, str):
        if osp.exists(labels):
            raise ValueError(f'{source} {labels} is not a list of classes; '
                             'give a .txt, .csv, .json or .yaml file, or '
                             'names')
        return parse_class_names(labels, source)
    return check_class_names(list(labels), source)
