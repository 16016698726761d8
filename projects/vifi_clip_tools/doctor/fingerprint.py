"""Look-alikes: the same pictures in files of different bytes."""
from typing import List, Optional, Sequence

import cv2
import numpy as np

NUM_FRAMES = 3
# Two videos look alike if they are equally long and three thumbnails of each
# agree in grey level on average and in the worst cell. Measured on six real
# clips: re-encoded with H.264 or MPEG-4, at full or half size, in usual
# quality, the mean was below 2.5 and the worst cell below 14; other parts of
# the same clip, even before a fixed camera, had a mean above 10. So a copy in
# very poor quality or at another frame rate may be missed, while two takes of
# one scene do not pass for copies.
MAX_MEAN, MAX_CELL = 3.0, 16
MAX_SECONDS, MAX_SHARE = 0.12, 0.01
# Grey levels of contrast below which a picture is too plain to be told apart.
MIN_CONTRAST = 12.0
_SIDE = 16
_BATCH = 4096


def fingerprint(frames: Sequence[np.ndarray]) -> Optional[bytes]:
    """Reduce three uint8 RGB pictures [H, W, 3] to grey ones of 16 x 16;
    None if one is too plain, such as a black one."""
    small = np.stack([
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE),
                   interpolation=cv2.INTER_AREA) for frame in frames
    ])
    plain = small.std(axis=(1, 2)).min() < MIN_CONTRAST
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
        num, NUM_FRAMES, _SIDE, _SIDE)
    # The means of quarters, [N, 12], are no further apart on average than
    # the pictures themselves.
    quarters = small.reshape(num, NUM_FRAMES, 2, _SIDE // 2, 2, -1).mean(
        axis=(3, 5)).reshape(num, -1)
    pairs = cKDTree(quarters).query_pairs(
        MAX_MEAN * quarters.shape[1] + 1e-3, p=1, output_type='ndarray')
    a, b = pairs.T
    close = np.abs(length[a] - length[b]) <= np.maximum(
        MAX_SECONDS, MAX_SHARE * np.minimum(length[a], length[b]))
    a, b = a[close], b[close]
    same = np.zeros(len(a), bool)
    for start in range(0, len(a), _BATCH):
        part = slice(start, start + _BATCH)
        differ = np.abs(small[a[part]].astype(np.int16) - small[b[part]])
        same[part] = ((differ.mean(axis=(1, 2, 3)) <= MAX_MEAN)
                      & (differ.max(axis=(1, 2, 3)) <= MAX_CELL))
    a, b = a[same], b[same]
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(num, num))
    groups: dict = {}
    for i, number in enumerate(connected_components(graph, False)[1]):
        groups.setdefault(number, []).append(i)
    return [group for group in groups.values() if len(group) > 1]
