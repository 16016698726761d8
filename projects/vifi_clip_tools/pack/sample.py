"""Packed copies of a video beside the original."""
import time
from statistics import mean, median
from typing import Callable, List, NamedTuple, Sequence

import cv2
import numpy as np

from projects.vifi_clip.datasets.contained_video import open_video

from .encode import resized

NUM_FRAMES = 16


class Reading(NamedTuple):
    """How a file is read."""

    ms: float  # to open it and read NUM_FRAMES frames, median
    psnr: float  # dB, mean of the frames against those of the first file


def read_in_turns(paths: Sequence[str], side: int, turns: int = 3,
                  opener: Callable = open_video,
                  clock: Callable = time.perf_counter) -> List[Reading]:
    """Read the frames in the middle of equal parts from several files, the
    original first, whose frames are made as small as the packed ones are."""
    total = len(opener(paths[0]))
    numbers = (2 * np.arange(NUM_FRAMES) + 1) * total // (2 * NUM_FRAMES)
    frames, times = {}, {path: [] for path in paths}
    for path in [*paths] * turns:
        start = clock()
        frames[path] = opener(path).frames(numbers)
        times[path].append(1e3 * (clock() - start))
    expected = [resized(frame, side) for frame in frames[paths[0]]]
    return [Reading(median(times[path]), mean(
        map(cv2.PSNR, expected, [resized(f, side) for f in frames[path]])))
        for path in paths]
