"""Videos that are not files here: web addresses and cameras."""
import os
import os.path as osp
import tempfile
import time
from contextlib import contextmanager
from http.client import HTTPException
from typing import Iterator, Optional, Tuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlparse, urlsplit
from urllib.request import Request, urlopen

import numpy as np

from ..datasets.video_reading import BadVideoError

CAMERA = 'camera:'
MAX_MB, TIMEOUT = 2048., 30.  # of a download; seconds without any data
_BLOCK = 2**18
_SECONDS, _MOST_SECONDS = 4., 60.
_CAMERAS = 100  # to OpenCV, larger numbers are of kinds of cameras


@contextmanager
def fetched(address: str, max_mb: float = MAX_MB,
            timeout: float = TIMEOUT) -> Iterator[str]:
    """A temporary file of what a web address gives, removed after.

    Args:
        address (str): http, https or ftp.
        max_mb (float): More megabytes are refused.
        timeout (float): Seconds to wait for more.

    Yields:
        str: Its path.

    Raises:
        BadVideoError: It cannot be fetched, or is too large.
    """
    suffix = osp.splitext(url_path(address))[1]
    with tempfile.TemporaryDirectory(prefix='vifi_clip_') as folder:
        path = osp.join(folder, f'video{suffix}')
        try:
            _download(_quoted(address), path, int(max_mb * 2**20), timeout)
        except HTTPError as error:
            raise BadVideoError(
                f'it cannot be fetched: {error.code} {error.reason}') \
                from error
        except URLError as error:
            raise BadVideoError(
                f'it cannot be fetched: {error.reason}') from error
        except (OSError, ValueError, HTTPException) as error:
            raise BadVideoError(
                f'it cannot be fetched: {error or type(error).__name__}') \
                from error
        yield path


def _download(address: str, path: str, most: int, timeout: float) -> None:
    request = Request(address, headers={'User-Agent': 'vifi_clip'})
    with urlopen(request, timeout=timeout) as answer, \
            open(path, 'wb') as file:
        length = answer.headers.get('Content-Length')
        expected = int(length) if length else None
        _check_size(expected or 0, most)
        done = 0
        while block := answer.read(_BLOCK):
            done += len(block)
            _check_size(done, most)
            file.write(block)
    if expected is not None and done < expected:
        raise BadVideoError(f'it cannot be fetched: {done} of {expected} '
                            'bytes came')


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise BadVideoError(
            f'it is larger than the {most / 2**20:g} MB that may be fetched '
            '(--max-download)')


def is_camera(text: str) -> bool:
    """Whether a text names a camera: 'camera:0', 'camera:0:10'."""
    return text.startswith(CAMERA) and not osp.exists(text)


def parse_camera(text: str) -> Tuple[int, float]:
    """The number of a camera, and how many seconds to record.

    Raises:
        ValueError: It is not like 'camera:0' or 'camera:0:10'.
    """
    number, _, seconds = text[len(CAMERA):].partition(':')
    try:
        index, length = int(number), float(seconds or _SECONDS)
        if not 0 <= index < _CAMERAS or not 0 < length <= _MOST_SECONDS:
            raise ValueError
    except ValueError:
        raise ValueError(
            f'{text}: a camera is camera:0, or camera:0:10 for 10 seconds '
            f'(up to {_MOST_SECONDS:g}; cameras up to {_CAMERAS - 1})') \
            from None
    return index, length


def record(text: str) -> Tuple[np.ndarray, float]:
    """Frames of a camera.

    Args:
        text (str): See :func:`parse_camera`.

    Returns:
        tuple: Frames uint8 RGB [T, H, W, 3], and how many came in a second.

    Raises:
        BadVideoError: There is no such camera, or it gives nothing.
    """
    import cv2
    index, seconds = parse_camera(text)
    log = cv2.utils.logging  # ten lines where there is no camera
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)
    camera = cv2.VideoCapture(index)
    log.setLogLevel(level)
    try:
        if not camera.isOpened():
            raise BadVideoError(f'no camera {index}')
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
        raise BadVideoError(f'camera {index} gives no pictures')
    rate = (len(frames) - 1) / (end - start) if end > start else 25.
    return np.stack(frames), rate


def file_of(address: str) -> Optional[str]:
    """The path of a file:// address; None for anything else."""
    if not address.lower().startswith('file:'):
        return None
    from urllib.request import url2pathname
    return os.fspath(url2pathname(url_path(address))) or None


def url_path(address: str) -> str:
    """The path in an address; empty if there is none."""
    try:
        return urlparse(address).path
    except ValueError:  # such as http://[
        return ''


def _quoted(address: str) -> str:
    """An address in ASCII, as browsers send it.

    Raises:
        ValueError: It is no address.
    """
    parts = urlsplit(address)
    host = parts.netloc
    if not host.isascii():
        host = host.encode('idna').decode()
    # what is quoted already stays
    path, query = (quote(text, "/%:=&?~+!$,;'@()*", errors='surrogateescape')
                   for text in (parts.path, parts.query))
    return parts._replace(netloc=host, path=path, query=query,
                          fragment='').geturl()
