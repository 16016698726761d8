"""Look-alikes: the same pictures in files of different bytes."""
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

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
_BLOCK = 64  # videos compared at once with all that are near
# Signs of gradients that may differ, of 56 a frame: a cheap first sieve.
_MAX_BITS = 7
_BATCH = 4096


def fingerprint(frames: Sequence[np.ndarray]) -> Optional[bytes]:
    """Reduce pictures to thumbnails.

    Args:
        frames (Sequence[np.ndarray]): Three RGB pictures, uint8, [H, W, 3].

    Returns:
        bytes, optional: Three grey pictures of 16 x 16; None if one of them
        is too plain, such as a black one.
    """
    small = [
        cv2.resize(
            cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE),
            interpolation=cv2.INTER_AREA) for frame in frames
    ]
    if min(thumbnail.std() for thumbnail in small) < MIN_CONTRAST:
        return None
    return b''.join(thumbnail.tobytes() for thumbnail in small)


def find_look_alikes(prints: Sequence[bytes],
                     seconds: Sequence[float]) -> List[List[int]]:
    """Group the videos that show the same pictures.

    Args:
        prints (Sequence[bytes]): N fingerprints.
        seconds (Sequence[float]): N durations.

    Returns:
        list[list[int]]: Groups of at least two indices, ascending.
    """
    if len(prints) < 2:
        return []
    # [N, 3, 16, 16]
    small = np.frombuffer(b''.join(prints), np.uint8).reshape(
        -1, NUM_FRAMES, _SIDE, _SIDE)
    # Look-alikes are at most MAX_MEAN apart in brightness, so in this order
    # they stand near each other.
    brightness = small.mean(axis=(1, 2, 3))
    order = np.argsort(brightness, kind='stable')
    brightness, small = brightness[order], small[order]
    length = np.asarray(seconds, dtype=np.float64)[order]
    groups = _Groups(len(prints))
    for a, b in _candidates(brightness, _gradient_signs(small)):
        limit = np.maximum(MAX_SECONDS,
                           MAX_SHARE * np.minimum(length[a], length[b]))
        close = np.abs(length[a] - length[b]) <= limit
        for i, j in _same_pictures(small, a[close], b[close]):
            groups.join(int(order[i]), int(order[j]))
    return groups.of_two_or_more()


def _candidates(brightness: np.ndarray,
                signs: np.ndarray) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Pairs worth a closer look: for each block two arrays of indices."""
    for start in range(0, len(brightness), _BLOCK):
        stop = min(start + _BLOCK, len(brightness))
        end = int(np.searchsorted(brightness, brightness[stop - 1] + MAX_MEAN,
                                  side='right'))
        near = _few_differ(signs[start:stop, None], signs[None, start:end], 1)
        rows, columns = np.nonzero(np.triu(near, 1))
        a, b = start + rows, start + columns
        both = _few_differ(signs[a], signs[b], 0)
        both &= _few_differ(signs[a], signs[b], 2)
        yield a[both], b[both]


def _few_differ(a: np.ndarray, b: np.ndarray, frame: int) -> np.ndarray:
    """Whether hardly any signs of gradients differ in a frame."""
    return _count_bits(a[..., frame] ^ b[..., frame]) <= _MAX_BITS


def _gradient_signs(small: np.ndarray) -> np.ndarray:
    """Whether brightness rises to the right: [N, 3, 16, 16] -> [N, 3]."""
    num = len(small)
    cells = small.reshape(num, NUM_FRAMES, 8, 2, 8, 2).mean(
        axis=(3, 5), dtype=np.float32)  # [N, 3, 8, 8]
    bits = (cells[..., 1:] > cells[..., :-1]).reshape(num, NUM_FRAMES, 56)
    octets = np.zeros((num, NUM_FRAMES, 8), np.uint8)
    octets[..., :7] = np.packbits(bits, axis=-1)
    return octets.view(np.uint64)[..., 0]


def _same_pictures(small: np.ndarray, a: np.ndarray,
                   b: np.ndarray) -> Iterator[Tuple[int, int]]:
    """Those of the pairs (a, b) whose thumbnails agree."""
    for start in range(0, len(a), _BATCH):
        i, j = a[start:start + _BATCH], b[start:start + _BATCH]
        differ = np.abs(small[i].astype(np.int16) - small[j])
        same = differ.mean(axis=(1, 2, 3)) <= MAX_MEAN
        same &= differ.max(axis=(1, 2, 3)) <= MAX_CELL
        yield from zip(i[same], j[same])


def _count_bits(values: np.ndarray) -> np.ndarray:
    if hasattr(np, 'bitwise_count'):  # numpy 2
        return np.bitwise_count(values)
    octets = np.ascontiguousarray(values)[..., None].view(np.uint8)
    return np.unpackbits(octets, axis=-1).sum(axis=-1)


class _Groups:
    """Disjoint sets of indices."""

    def __init__(self, size: int) -> None:
        self.parent = list(range(size))

    def root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        low, high = sorted((self.root(i), self.root(j)))
        self.parent[high] = low

    def of_two_or_more(self) -> List[List[int]]:
        groups: Dict[int, List[int]] = {}
        for i in range(len(self.parent)):
            groups.setdefault(self.root(i), []).append(i)
        return [group for group in groups.values() if len(group) > 1]
