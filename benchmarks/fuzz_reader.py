#!/usr/bin/env python
"""Read damaged copies of videos, and count crashes, hangs, exceptions other
than UnreadableVideo, and frames found by packets that are neither those of
decoding all in order nor of the undamaged video (where a frame that nobody
wants is damaged, those by packets are the better ones).

    python benchmarks/fuzz_reader.py videos/* --mutants 2000

Exit code 1 if there is any. Each copy is read in a process of its own kind,
so that a crash is counted and ends nothing.
"""
import argparse
import functools
import hashlib
import multiprocessing
import random
import sys
import tempfile
from collections import Counter
from concurrent.futures import TimeoutError
from pathlib import Path
from typing import Optional, Sequence, Set

import numpy as np
from pebble import ProcessExpired, ProcessPool

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.vifi_clip.datasets.video_file import (  # noqa: E402
    FrameCountChanged, VideoFile)
from projects.vifi_clip.errors import UnreadableVideo  # noqa: E402
from projects.vifi_clip_tools.cli.parsing import positive_int  # noqa: E402

_HANG = 60  # seconds
_BAD = ('crash', 'hang', 'differs', 'traceback')


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return a copy with bits turned, numbers of the head exchanged, or parts
    cut off, moved, emptied or doubled."""
    data, size = bytearray(content), len(content)
    kind = rng.choice(('bits', 'head', 'end', 'start', 'swap', 'zero',
                       'twice'))
    start = rng.randrange(size)
    if kind == 'bits':
        for _ in range(rng.choice((1, 5, 50, 500))):
            data[rng.randrange(size)] ^= 1 << rng.randrange(8)
    elif kind == 'head':
        for _ in range(rng.choice((1, 3, 10))):
            place = rng.randrange(min(size, 4000))
            data[place:place + 4] = rng.randbytes(4)
    elif kind == 'end':
        del data[start:]
    elif kind == 'start':
        del data[:start // 2]
    elif kind == 'swap':
        other, length = rng.randrange(size), rng.choice((188, 3000))
        first, second = data[start:start + length], data[other:other + length]
        data[start:start + length], data[other:other + length] = second, first
    elif kind == 'zero':
        length = min(rng.choice((16, 512, 4096)), size - start)
        data[start:start + length] = bytes(length)
    else:
        data[start:start] = data[start:start + rng.choice((188, 4096))]
    return bytes(data)


@functools.cache
def _pictures(path: str) -> Set[bytes]:
    """Hashes of all frames of an undamaged video."""
    video = VideoFile(path, in_order=True)
    return {_hash(video.frames([i])[0]) for i in range(len(video))}


def _hash(frame: np.ndarray) -> bytes:
    return hashlib.sha256(frame.tobytes()).digest()


def read_both_ways(path: str, source: str) -> str:
    """Read 16 frames of a damaged copy of ``source`` by packets and in order,
    and say what happened."""
    def read(in_order: bool) -> tuple:
        try:
            video = VideoFile(path, in_order)
            indices = (2 * np.arange(16) + 1) * len(video) // 32
            return len(video), video.frames(indices)
        except FrameCountChanged:
            return read(True)  # as run_pipeline does
        except UnreadableVideo:
            return 0, []
    (count, frames), (expected, others) = read(False), read(True)
    if not (count and expected):
        # In order more damage is seen than in the groups of 16 frames.
        return 'refused' if count == expected else 'refused in order'
    same = count == expected and all(
        np.array_equal(a, b) or _hash(a) in _pictures(source)
        for a, b in zip(frames, others))
    return 'read' if same else 'differs'


def attempt(video: str, seed: int, folder: str) -> str:
    """Read one damaged copy."""
    path = Path(folder) / f'{seed}{Path(video).suffix}'
    path.write_bytes(damaged(Path(video).read_bytes(), random.Random(seed)))
    try:
        return read_both_ways(str(path), video)
    finally:
        path.unlink()


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Read all copies; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('videos', nargs='+')
    parser.add_argument('--mutants', type=positive_int, default=2000)
    parser.add_argument('--workers', type=positive_int, default=2)
    args = parser.parse_args(argv)
    counts: Counter = Counter()
    with tempfile.TemporaryDirectory() as folder, ProcessPool(
            args.workers, context=multiprocessing.get_context('fork')) as pool:
        jobs = [pool.schedule(attempt, (args.videos[
            seed % len(args.videos)], seed, folder), timeout=_HANG)
            for seed in range(args.mutants)]
        for seed, job in enumerate(jobs):
            try:
                outcome = job.result()
            except TimeoutError:
                outcome = 'hang'
            except ProcessExpired:
                outcome = 'crash'
            except Exception as error:
                print(repr(error))
                outcome = 'traceback'
            counts[outcome] += 1
            if outcome in _BAD:
                print(f'{outcome}: {args.videos[seed % len(args.videos)]}, '
                      f'seed {seed}')
    print(', '.join(f'{counts[kind]} {kind}'
                    for kind in ('read', 'refused', 'refused in order',
                                 *_BAD)))
    return int(any(counts[kind] for kind in _BAD))


if __name__ == '__main__':
    sys.exit(main())
