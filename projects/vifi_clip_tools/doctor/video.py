"""Look at one video: what it is, and whether training could read it."""
import hashlib
import io
import os
import re
import stat
from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np

from projects.vifi_clip.datasets.video_reader import check_file
from projects.vifi_clip.errors import UnreadableVideo
from .fingerprint import fingerprint
from .pool import Lost

# Start, quarters and end. The fingerprint is of the quarters, as many videos
# begin and end in black.
_PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class VideoJob:
    """What to look at.

    Args:
        path (str): Video file.
        full (bool): Decode all frames, not just five.
        spare_decord (bool): Ask PyAV alone. Defaults to False.
    """

    path: str
    full: bool
    spare_decord: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of a video.

    Args:
        status (str): 'ok', or the name of a check that it fails.
        detail (str): Why, for a status other than 'ok'.
        size (int, optional): Bytes.
        sha256 (str, optional): Of the content.
        frames (int, optional): Number of frames.
        width, height (int, optional): Pixels.
        fps (float, optional): Frames per second, on average.
        prints (bytes, optional): Fingerprint, see fingerprint.py.
        damage (str): What is wrong with the pictures though they decode.
    """

    status: str
    detail: str = ''
    size: Optional[int] = None
    sha256: Optional[str] = None
    frames: Optional[int] = None
    width: Optional[int] = None
    height: Optional[int] = None
    fps: Optional[float] = None
    prints: Optional[bytes] = None
    damage: str = ''

    @property
    def seconds(self) -> Optional[float]:
        """Duration, where it is known."""
        return self.frames / self.fps if self.frames and self.fps else None


def check_video(job: VideoJob) -> Facts:
    """Read a video as training does: decord, from the file's bytes.

    Args:
        job (VideoJob): What to look at.

    Returns:
        Facts: What was seen. decord may also crash the process or hang.
    """
    cv2.setNumThreads(1)  # there is a process for each CPU already
    try:
        # Reading a pipe or a device may never end.
        if not stat.S_ISREG(os.stat(job.path).st_mode):
            return Facts('unreadable', 'not a regular file')
        with open(job.path, 'rb') as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return Facts('missing', 'no such file')
    except OSError as error:
        return Facts('unreadable', error.strerror or str(error))
    except ValueError as error:  # a path that no file can have
        return Facts('unreadable', str(error))
    if not data:
        return Facts('empty', '0 bytes', size=0)
    known = _identity(data)
    try:
        check_file(data)
    except UnreadableVideo as error:
        return Facts('cut_short', error.reason, **known)
    if job.spare_decord:
        return replace(_second_opinion(data), **known)
    try:
        seen = _with_decord(data, job.full)
        damage = _damage(data) if job.full else ''
        return Facts('ok', damage=damage, **known, **seen)
    except ImportError:
        return _without_decord(data, known)
    except MemoryError:  # this machine's fault, not the video's
        raise
    except Exception as error:
        why = f'decord: {_first_line(error)}'
    other = _second_opinion(data)
    return replace(other, detail=f'{why}; {other.detail}', **known)


def after_loss(lost: Lost, other: Optional[Facts]) -> Facts:
    """Facts on a video that decord crashed or hung on.

    Args:
        lost (Lost): What became of the worker.
        other (Facts, optional): What PyAV alone says; None if it failed to
            answer as well.

    Returns:
        Facts: With the status 'crashed' or 'timed_out'.
    """
    status = 'timed_out' if lost.timed_out else 'crashed'
    if other is None:
        return Facts(status, f'{lost.reason}; PyAV too')
    if other.status in ('missing', 'empty', 'cut_short'):
        return other
    return replace(
        other, status=status, detail=f'{lost.reason}; {other.detail}')


def _identity(data: bytes) -> Dict:
    return dict(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _places(total: int) -> List[int]:
    return [round(place * (total - 1)) for place in _PLACES]


def _look(frames: List[np.ndarray], total: int, fps: float) -> Dict:
    """What the five frames tell."""
    height, width = frames[0].shape[:2]
    return dict(
        frames=total,
        width=int(width),
        height=int(height),
        fps=round(float(fps), 3),
        prints=fingerprint(frames[1:-1]))


def _with_decord(data: bytes, full: bool) -> Dict:
    import decord
    reader = decord.VideoReader(io.BytesIO(data), num_threads=1)
    total = len(reader)
    if total == 0:
        raise ValueError('it has no frames, or its container does not say '
                         'how many')
    places = _places(total)
    if not full:
        frames = list(reader.get_batch(places).asnumpy())
        return _look(frames, total, reader.get_avg_fps())
    kept = {}
    for i in range(total):
        try:
            frame = reader.next()
        except StopIteration:
            raise ValueError(f'frames end at {i} of {total}') from None
        if i in places:
            kept[i] = frame.asnumpy()
    return _look([kept[i] for i in places], total, reader.get_avg_fps())


def _with_pyav(data: bytes) -> Tuple[Dict, int]:
    """Decode all; what is seen, and how many frames the container claims."""
    import av
    with av.open(io.BytesIO(data)) as container:
        if not container.streams.video:
            raise ValueError('there is no video stream in it')
        stream = container.streams.video[0]
        claimed, fps = stream.frames, float(stream.average_rate or 0)
        pictures, total = {}, 0
        places = set(_places(claimed)) if claimed else {0}
        for frame in container.decode(stream):
            if total in places:
                pictures[total] = frame.to_ndarray(format='rgb24')
            total += 1
    if not total:
        raise ValueError('it has no frames')
    last = pictures[max(pictures)]
    frames = [pictures.get(i, last) for i in _places(claimed or 1)]
    return _look(frames, total, fps), claimed


def _damage(data: bytes) -> str:
    """decord gives out a spoilt picture without a word; PyAV marks it."""
    import av
    total = spoilt = 0
    try:
        with av.open(io.BytesIO(data)) as container:
            for frame in container.decode(video=0):
                total += 1
                spoilt += bool(frame.is_corrupt)
    except Exception as error:
        return f'PyAV after {total} frames: {_first_line(error)}'
    return f'{spoilt} of {total} frames' if spoilt else ''


def _second_opinion(data: bytes) -> Facts:
    """Tell a video that decord alone cannot read from a broken one."""
    try:
        seen, claimed = _with_pyav(data)
    except Exception as error:
        return Facts('unreadable', f'PyAV: {_first_line(error)}')
    seen.pop('prints')  # it will not be trained on, so nothing leaks
    total = seen['frames']
    # Edit lists hide a frame or two that the container counts.
    if total < claimed - 2:
        return Facts('unreadable', f'PyAV: {total} of {claimed} frames',
                     **seen)
    return Facts('not_decord', f'PyAV reads it: {total} frames', **seen)


def _without_decord(data: bytes, known: Dict) -> Facts:
    """Where decord is not installed, training goes through PyAV."""
    other = _second_opinion(data)
    if other.status == 'not_decord':
        return Facts('ok', **known, **_with_pyav(data)[0])
    return replace(other, **known)


def _first_line(error: Exception) -> str:
    # decord's messages hold the time of day and lines of its source.
    text = re.sub(r'\[\d+:\d+:\d+\] \S+:\d+: ', '', str(error))
    # PyAV's hold FFmpeg's number, and the name of a file, here of none.
    text = re.sub(r"^\[Errno -?\d+\] |: '<none>'$", '', text.strip())
    lines = text.strip().splitlines() or ['no message']
    return f'{type(error).__name__}: {lines[0]}'
