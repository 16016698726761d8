"""Videos and their embeddings as rows of a table."""
from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional, Sequence, Tuple

import numpy as np

_TOLERANCE = 1e-3  # of unit length


class Hit(NamedTuple):
    """A video, or a window of it, that was found.

    Args:
        path (str): Absolute path of the video.
        start, end (float, optional): The window in seconds; None for the
            whole video.
        similarity (float): Cosine of the query and the embedding.
    """

    path: str
    start: Optional[float]
    end: Optional[float]
    similarity: float


class State(NamedTuple):
    """A video file as it was when it was embedded, and how it was cut.

    Args:
        size (int): Bytes.
        mtime_ns (int): Time of its last change.
        window (float, optional): Seconds of each window; None for one
            embedding of the whole video.
    """

    size: int
    mtime_ns: int
    window: Optional[float]


@dataclass(frozen=True)
class Entry:
    """All embeddings of one video.

    Args:
        path (str): Absolute path.
        state (State): Of the file.
        embeddings (np.ndarray): [W, D], one of unit length for each window.
        spans (Sequence): W pairs of start and end in seconds; a pair of None
            stands for the whole video.
    """

    path: str
    state: State
    embeddings: np.ndarray
    spans: Sequence[Tuple[Optional[float], Optional[float]]] = ((None,
                                                                 None), )


def to_table(entries: Sequence[Entry], dim: int) -> Any:
    """Entries as an Arrow table.

    Args:
        entries (Sequence[Entry]): At least one.
        dim (int): D.

    Returns:
        pyarrow.Table: One row for each embedding.

    Raises:
        ValueError: An embedding is not of unit length, or not of D; a video
            has not one for each window, or is there twice.
    """
    import pyarrow as pa
    if len({entry.path for entry in entries}) < len(entries):
        raise ValueError('a video is there twice')
    for entry in entries:
        wanted = (len(entry.spans), dim)
        if np.shape(entry.embeddings) != wanted:
            raise ValueError(f'{entry.path}: embeddings of shape '
                             f'{np.shape(entry.embeddings)}, not {wanted}')
    vectors = np.concatenate([entry.embeddings for entry in entries])
    vectors = vectors.astype(np.float32)
    bad = ~(np.abs(np.linalg.norm(vectors, axis=1) - 1) < _TOLERANCE)
    if bad.any():  # NaN, too
        raise ValueError(f'{bad.sum()} of {len(vectors)} embeddings are not '
                         'of unit length')
    rows = []
    for entry in entries:
        key = _key(entry.path)
        rows += [(f'{key}:{i}', key, entry.path, *entry.state, *span)
                 for i, span in enumerate(entry.spans)]
    kinds = dict(
        id=pa.string(),
        key=pa.string(),
        path=pa.string(),
        size=pa.int64(),
        mtime_ns=pa.int64(),
        window=pa.float64(),
        start=pa.float64(),
        end=pa.float64())
    columns = {
        name: pa.array(values, kind)
        for (name, kind), values in zip(kinds.items(), zip(*rows))
    }
    columns['vector'] = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.reshape(-1)), dim)
    return pa.table(columns)


def of_videos(paths: Sequence[str]) -> str:
    """A LanceDB filter for the rows of some videos.

    A name may hold anything, and LanceDB 0.40 does not quote a backslash
    before a quotation mark, so the filter is about hashes of names.
    """
    return 'key IN ({})'.format(', '.join(f"'{_key(p)}'" for p in paths))


def _key(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:32]
