"""Look at videos: what they are, whether training could read them, and which
show the same pictures."""
import hashlib
import os
import stat
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from projects.vifi_clip.datasets.contained_video import (DecoderCrashed,
                                                         open_video)
from projects.vifi_clip.datasets.containers import (VideoCutShort,
                                                    VideoTimedOut, unreadable)
from projects.vifi_clip.datasets.path_hints import remedy
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.errors import UnreadableVideo

from ..cli.threads import in_threads

_STATUS = {VideoCutShort: 'cut_short', VideoTimedOut: 'timed_out',
           DecoderCrashed: 'crashed'}

# Start, quarters and end. The fingerprint is of the quarters, as many videos
# begin and end in black.
_PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)
_NUM_FRAMES = 3  # of a fingerprint
# Two videos look alike if they are equally long and three thumbnails of each
# agree in grey level on average and in the worst cell. Measured on six real
# clips: re-encoded with H.264 or MPEG-4, at full or half size, in usual
# quality, the mean was below 2.5 and the worst cell below 14; other parts of
# the same clip, even before a fixed camera, had a mean above 10. So a copy in
# very poor quality or at another frame rate may be missed, while two takes of
# one scene do not pass for copies.
_MAX_MEAN, _MAX_CELL = 3.0, 16
_MAX_SECONDS, _MAX_SHARE = 0.12, 0.01
# Grey levels of contrast below which a picture is too plain to be told apart.
_MIN_CONTRAST = 12.0
_SIDE = 16  # pixels of its thumbnails
_BATCH = 4096  # pairs


@dataclass(frozen=True)
class Facts:
    """What is known of a video."""

    status: str  # 'ok', or the name of a check that it fails
    detail: str = ''  # why
    size: Optional[int] = None  # bytes
    sha256: Optional[str] = None  # of the content
    frames: Optional[int] = None
    width: Optional[int] = None  # pixels
    height: Optional[int] = None
    fps: Optional[float] = None  # on average
    prints: Optional[bytes] = None  # see fingerprint()
    damage: str = ''  # of the pictures, though they decode

    @property
    def seconds(self) -> Optional[float]:
        """Duration, where it is known."""
        return self.frames / self.fps if self.frames and self.fps else None


def check_video(path: str, full: bool, timeout: float) -> Facts:
    """Look at one video, at five frames or at all, for so many seconds."""
    deadline = time.monotonic() + timeout
    try:
        # Reading a pipe or a device may never end.
        if not stat.S_ISREG(os.stat(path).st_mode):
            return Facts('unreadable', f'not a regular file{remedy(path)}')
        data = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Facts('missing', f'no such file{remedy(path)}')
    except (OSError, ValueError) as error:  # a path that no file can have
        return Facts('unreadable', getattr(error, 'strerror', str(error)))
    if not data:
        return Facts('empty', '0 bytes', size=0)
    known = dict(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    del data  # the decoder reads for itself
    try:
        video = open_video(path, timeout=timeout)
        total = len(video)
        frames = video.frames(
            [round(place * (total - 1)) for place in _PLACES])
        damage = _damage(path, video, deadline) if full else ''
    except UnreadableVideo as error:
        return Facts(_STATUS.get(type(error), 'unreadable'), error.reason,
                     **known)
    height, width = frames[0].shape[:2]
    return Facts('ok', '', **known, frames=total, width=width, height=height,
                 fps=round(video.avg_fps, 3), prints=fingerprint(frames[1:-1]),
                 damage=damage)


def _damage(path: str, video: VideoFile, deadline: float) -> str:
    """Decode all frames in order, and compare those found by packets."""
    def left() -> float:
        return max(deadline - time.monotonic(), 0.)

    whole = (open_video(path, in_order=True, timeout=left())
             if video.by_packets else video)
    total, differ = len(whole), 0
    if len(video) != total:
        return f'{len(video)} packets, and {total} frames'
    if whole.num_damaged:
        return f'{whole.num_damaged} of {total} frames'
    for index in range(total) if video.by_packets else ():
        if not left():
            raise unreadable(path, 'comparing its frames takes too long',
                             VideoTimedOut)
        differ += not np.array_equal(video.frames([index]),
                                     whole.frames([index]))
    return (f'{differ} of {total} frames differ when decoded in order'
            if differ else '')


# Look-alikes: the same pictures in files of different bytes


def fingerprint(frames: Sequence[np.ndarray]) -> Optional[bytes]:
    """Reduce three uint8 RGB pictures [H, W, 3] to grey ones of 16 x 16;
    None if one is too plain, such as a black one."""
    small = np.stack([
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE),
                   interpolation=cv2.INTER_AREA) for frame in frames
    ])
    plain = small.std(axis=(1, 2)).min() < _MIN_CONTRAST
    return None if plain else small.tobytes()


def find_look_alikes(prints: Sequence[bytes],
                     seconds: Sequence[float]) -> List[List[int]]:
    """Group the videos that show the same pictures, by their fingerprints
    and durations; groups are of at least two indices, ascending."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree
    if len(prints) < 2:
        return []
    num, length = len(prints), np.asarray(seconds, dtype=np.float64)
    # [N, 3, 16, 16]
    small = np.frombuffer(b''.join(prints), np.uint8).reshape(
        num, _NUM_FRAMES, _SIDE, _SIDE)
    # The means of quarters, [N, 12], are no further apart on average than
    # the pictures themselves.
    quarters = small.reshape(num, _NUM_FRAMES, 2, _SIDE // 2, 2, -1).mean(
        axis=(3, 5)).reshape(num, -1)
    pairs = cKDTree(quarters).query_pairs(
        _MAX_MEAN * quarters.shape[1] + 1e-3, p=1, output_type='ndarray')
    a, b = pairs.T
    close = np.abs(length[a] - length[b]) <= np.maximum(
        _MAX_SECONDS, _MAX_SHARE * np.minimum(length[a], length[b]))
    a, b = a[close], b[close]
    same = np.zeros(len(a), bool)
    for start in range(0, len(a), _BATCH):
        part = slice(start, start + _BATCH)
        differ = np.abs(small[a[part]].astype(np.int16) - small[b[part]])
        same[part] = ((differ.mean(axis=(1, 2, 3)) <= _MAX_MEAN)
                      & (differ.max(axis=(1, 2, 3)) <= _MAX_CELL))
    a, b = a[same], b[same]
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(num, num))
    groups: dict = {}
    for i, number in enumerate(connected_components(graph, False)[1]):
        groups.setdefault(number, []).append(i)
    return [group for group in groups.values() if len(group) > 1]


# Many videos


def check_videos(paths: Dict[str, str], full: bool, workers: int,
                 timeout: float) -> Iterator[Tuple[str, Facts]]:
    """Look at videos (file by key), several at a time; yield the key and
    facts of each, in the order in which they end, also where
    :func:`check_video` fails. Each thread has a decoder in a process."""
    with closing(in_threads(
            lambda key: check_video(paths[key], full, timeout), paths,
            min(workers, len(paths)))) as ended:
        for key, future in ended:
            try:
                facts = future.result()
            except Exception as error:  # out of memory, say
                facts = Facts('crashed', f'{type(error).__name__}: {error}')
            yield key, facts
