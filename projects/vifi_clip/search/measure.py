"""How long a search takes, over synthetic embeddings.

Real embeddings lie in groups, which is what an approximate index lives on.
So the synthetic ones are drawn around centres: 100 to a centre, at a cosine
of about 0.7 to it; queries are drawn as they are. ``grouped=False`` draws
directions that have nothing to do with each other, the hardest case for an
approximate index.
"""
import os
import os.path as osp
import shutil
import statistics
import tempfile
import time
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np

from . import nearest
from .identity import Identity
from .rows import Entry, State
from .store import VideoIndex

_CHUNK = 20_000  # rows in one commit
_PER_GROUP = 100
TOPK = 10


def measure(rows: int,
            dim: int = 512,
            kinds: Sequence[str] = nearest.KINDS,
            num_queries: int = 100,
            grouped: bool = True,
            say: Callable[[str], Any] = print) -> Dict[str, Any]:
    """Fill an index in a temporary folder, search it, and remove it.

    Args:
        rows (int): Number of embeddings.
        dim (int): D. Defaults to 512.
        kinds (Sequence[str]): Approximate indexes to try, where there are
            rows enough.
        num_queries (int): Queries for the recall; times are medians of the
            first 10. Defaults to 100.
        grouped (bool): Embeddings lie in groups. Defaults to True.
        say (Callable): Called with each line of the report.

    Returns:
        dict: Seconds, bytes and recalls.

    Raises:
        ValueError: Too few rows, or too little room on the disk.
    """
    if rows < TOPK:
        raise ValueError(f'measure at least {TOPK} embeddings, got {rows}')
    wanted = rows * dim * 4 * (3 if kinds else 2)
    parent = tempfile.gettempdir()
    if shutil.disk_usage(parent).free < wanted:
        raise ValueError(f'{rows} embeddings take up to {wanted / 2**30:.1f} '
                         f'GiB in {parent}, which has less; set TMPDIR')
    vectors = draw(rows + num_queries, dim, grouped)
    vectors, queries = vectors[:rows], vectors[rows:]
    folder = tempfile.mkdtemp(prefix='vifi_measure_', dir=parent)
    try:
        index = VideoIndex.create(
            osp.join(folder, 'index'),
            Identity('synthetic', None, '0' * 64, dim, 0))
        found = dict(rows=rows, dim=dim, grouped=grouped)
        found.update(_exact(index, vectors, queries, say))
        if rows >= nearest.MIN_ROWS:
            for kind in kinds:
                found[kind] = _approximate(
                    index, kind, queries, found['_truth'], say)
        del found['_truth']
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def draw(rows: int, dim: int, grouped: bool, seed: int = 0) -> np.ndarray:
    """Synthetic embeddings, [rows, dim], of unit length, in no order."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, rows // _PER_GROUP), dim),
                                  dtype=np.float32)
    out = np.empty((rows, dim), np.float32)
    for i in range(0, rows, _CHUNK):
        part = out[i:i + _CHUNK]
        rng.standard_normal(part.shape, np.float32, part)
        if grouped:  # as long as the centre, hence a cosine of 1 / sqrt(2)
            part += centres[rng.integers(len(centres), size=len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return out


def _exact(index: VideoIndex, vectors: np.ndarray, queries: np.ndarray,
           say: Callable) -> Dict[str, Any]:
    """Fill; search exactly; the same by a matrix product in memory."""
    start = time.perf_counter()
    for i in range(0, len(vectors), _CHUNK):
        index.add([
            Entry(f'/synthetic/{n:09d}.mp4', State(0, 0, None),
                  vectors[n][None])
            for n in range(i, min(i + _CHUNK, len(vectors)))
        ])
    index.compact()
    added = time.perf_counter() - start
    size = folder_size(index.path)
    say(f'{len(vectors)} embeddings of {vectors.shape[1]} numbers: added in '
        f'{added:.1f} s, {size / 1e9:.2f} GB on disk')
    seconds, hits = _timed(lambda q: index.search(q, TOPK, exact=True),
                           queries)
    memory, best = _timed(lambda q: _brute_force(vectors, q), queries)
    truth = [{f'/synthetic/{n:09d}.mp4' for n in row} for row in best]
    recall = _recall(hits, truth)
    say(f'exact search: {1e3 * seconds:.1f} ms, recall@{TOPK} {recall:.3f}')
    say(f'numpy, embeddings in memory: {1e3 * memory:.1f} ms')
    return dict(
        add_seconds=added,
        bytes=size,
        exact_seconds=seconds,
        exact_recall=recall,
        numpy_seconds=memory,
        _truth=truth)


def _approximate(index: VideoIndex, kind: str, queries: np.ndarray,
                 truth: List[set], say: Callable) -> Dict[str, Any]:
    before = folder_size(index.path)
    start = time.perf_counter()
    index.build_ann(kind)
    built = time.perf_counter() - start
    size = folder_size(index.path) - before
    seconds, hits = _timed(lambda q: index.search(q, TOPK, exact=False),
                           queries)
    recall = _recall(hits, truth)
    say(f'{kind}: built in {built:.1f} s, {size / 1e9:.2f} GB more; search '
        f'{1e3 * seconds:.1f} ms,\n  recall@{TOPK} {recall:.3f}')
    return dict(build_seconds=built, bytes=size, search_seconds=seconds,
                recall=recall)


def _timed(search: Callable, queries: np.ndarray) -> Tuple[float, List]:
    """Median seconds of the first ten queries, and what all of them gave."""
    search(queries[0])  # opens files
    seconds, results = [], []
    for query in queries:
        start = time.perf_counter()
        results.append(search(query))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[:10]), results


def _brute_force(vectors: np.ndarray, query: np.ndarray) -> List[int]:
    scores = vectors @ query  # [rows]
    best = np.argpartition(-scores, TOPK - 1)[:TOPK]
    return best[np.argsort(-scores[best])].tolist()


def _recall(hits: List[List], truth: List[set]) -> float:
    """Share of the true best that were found."""
    found = [
        len({hit.path for hit in row} & true) / TOPK
        for row, true in zip(hits, truth)
    ]
    return sum(found) / len(found)


def folder_size(path: str) -> int:
    """Bytes of all files under a folder."""
    return sum(
        osp.getsize(osp.join(folder, name))
        for folder, _, names in os.walk(path) for name in names)
