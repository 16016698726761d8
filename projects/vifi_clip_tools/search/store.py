"""Embeddings of videos on disk: LanceDB's table behind a small interface.

LanceDB runs inside the process, keeps vectors and their columns together in
Arrow files, and makes every change a new version that appears whole or not at
all: a writer that is killed leaves the last one, and readers never wait.

In the folder of an index, ``index.json`` says that it is one and which model
made it; it is written first, so that a folder without it is never taken for
ours. An approximate index (IVF) sorts embeddings into cells, and a search
reads only the cells nearest to the query. ``IVF_FLAT`` stores the embeddings
in full; ``IVF_PQ`` compresses 8 numbers to 1 byte and compares the best again
with the full ones.
"""
from __future__ import annotations

import hashlib
import os
import os.path as osp
from contextlib import contextmanager
from datetime import timedelta
from typing import (Any, Callable, Dict, Iterator, List, NamedTuple,
                    Optional, Sequence, Tuple)

import numpy as np
from filelock import FileLock, Timeout

from projects.vifi_clip.apis.identity import Identity
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.errors import UserError, first_line, need
from ..cli.options import ModelOptions
from .record import completed, identity_of, read_identity, write_identity

MIN_ROWS = 50_000  # below this an exact search takes milliseconds
_TABLE = 'embeddings'
WHOLE = ((None, None), )  # the one span of a video that is not cut


class Hit(NamedTuple):
    """A video, or a window of it, that was found."""
    path: str  # absolute
    start: Optional[float]  # seconds; None for the whole video
    end: Optional[float]
    similarity: float  # cosine of the query and the embedding


class State(NamedTuple):
    """A video file as it was when it was embedded, and how it was cut."""
    size: int  # bytes
    mtime_ns: int  # of its last change
    window: Optional[float]  # seconds; None for the whole video


class Entry(NamedTuple):
    """All embeddings of one video."""
    path: str  # absolute
    state: State
    embeddings: np.ndarray  # [W, D], one of length 1 for each window
    # start and end of each window in seconds
    spans: Sequence[Tuple[Optional[float], Optional[float]]] = WHOLE


class VideoIndex:
    """An index of videos in a folder, which :meth:`create` makes. Any number
    of processes may search while one writes.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The folder holds something else.
    """

    def __init__(self, path: str) -> None:
        self.path = osp.abspath(path)
        self.identity = read_identity(self.path)
        self._db = need('lancedb', 'search').connect(self.path)
        # The system's: released even if the process is killed.
        self._lock = FileLock(osp.join(self.path, 'index.lock'), timeout=0)

    @classmethod
    def create(cls, path: str, identity: Identity) -> VideoIndex:
        """Make an empty index for the embeddings of one model; FileExistsError
        where another, or something else, is."""
        need('lancedb', 'search')
        if osp.isdir(path) and os.listdir(path):
            raise FileExistsError(f'{path} exists and is not empty')
        write_identity(path, identity)
        return cls(path)

    def __len__(self) -> int:
        """Return the number of embeddings, one for each window of a video."""
        return self._read(lambda table: table.count_rows()) or 0

    def check_filled(self) -> None:
        """Refuse to search an index without videos (ValueError)."""
        if not len(self):
            raise ValueError(f'the index {self.path} is empty; add videos '
                             'with: vifi-clip index FOLDER --index '
                             f'{self.path}')

    def videos(self) -> Dict[str, State]:
        """Return the videos in the index, by absolute path."""
        columns = ['path', *State._fields]
        rows = self._read(lambda table: table.search().select(columns).limit(
            None).to_arrow().select(columns).to_pydict()) or {}
        return {path: State(*state) for path, *state in zip(*rows.values())
                if path is not None}

    def model_options(self, options: ModelOptions) -> ModelOptions:
        """Fill in from the index what a command line does not say of the
        model: see :func:`projects.vifi_clip_tools.search.record.completed`."""
        return completed(options, self.identity, self.path)

    def check(self, inferencer: ViFiCLIPInferencer,
              model: Optional[ModelOptions] = None) -> None:
        """Check that a model is the one that made the embeddings (UserError).
        ``model`` is what it was loaded from; None if that is unknown, with
        the index's settings of inference."""
        made = self.identity
        identity = (
            Identity.of(inferencer, made.num_views, inference=made.inference)
            if model is None else
            identity_of(inferencer, model, made.num_views))
        different = made.differences(identity)
        if different:
            raise UserError(
                f'the index {self.path} was made with {made}, and not with '
                f'{identity}: {"; ".join(different)}; give the model of the '
                'index, or make a new one with --index')

    def add(self, entries: Sequence[Entry]) -> None:
        """Add videos, or put new embeddings in place of what they had, in one
        commit: it is done for all of them or for none."""
        rows = _rows(entries, self.identity.embed_dim)
        old = _of_videos([entry.path for entry in entries])
        with self._changing() as table:
            if table is None:
                self._db.create_table(_TABLE, rows)
            elif not table.count_rows(old):
                table.add(rows)
            else:
                table.merge_insert('id').when_matched_update_all(
                ).when_not_matched_insert_all(
                ).when_not_matched_by_source_delete(old).execute(rows)

    def remove(self, paths: Sequence[str]) -> None:
        """Forget videos; those that are not in the index are passed over."""
        with self._changing() as table:
            for i in range(0, len(paths) if table is not None else 0, 500):
                table.delete(_of_videos(paths[i:i + 500]))

    def search(self, vector: np.ndarray, topk: int = 10,
               exact: bool = False) -> List[Hit]:
        """Return the ``topk`` embeddings nearest to a vector [D] of any
        length but 0, best first; ``exact`` compares with every embedding,
        also where :meth:`build_ann` was called."""
        vector = np.asarray(vector, np.float32).reshape(-1)
        if len(vector) != self.identity.embed_dim:
            raise ValueError(f'the index {self.path} has embeddings of '
                             f'{self.identity.embed_dim} numbers, the query '
                             f'{len(vector)}')
        length = np.linalg.norm(vector)
        if not 0 < length < np.inf:  # NaN, too
            raise ValueError(f'a query of length {length} has no direction')
        topk = min(topk, max(len(self), 1))  # LanceDB has a largest one

        def run(table: Any) -> Any:
            query = table.search(vector / length,
                                 vector_column_name='vector').limit(topk)
            if exact or _ann_of(table) is None:
                query = query.distance_type('dot').bypass_vector_index()
            else:
                # Cells that are read; candidates per hit to compare exactly.
                query = query.distance_type('cosine').nprobes(
                    60).refine_factor(10)
            names = ['path', 'start', 'end', '_distance']
            return list(map(_hit, query.select(names).to_arrow().to_pylist()))

        return self._read(run) or []

    @property
    def ann(self) -> Optional[str]:
        """Kind of the approximate index, None where search is exact."""
        return self._read(_ann_of)

    def build_ann(self, kind: str) -> None:
        """Make searches approximate and fast, or build that index anew, over
        ``MIN_ROWS`` embeddings and more; 'IVF_PQ' or 'IVF_FLAT'."""
        index = need('lancedb', 'search').index
        dim = self.identity.embed_dim
        if kind == 'IVF_PQ':
            config = index.IvfPq(distance_type='cosine', num_sub_vectors=next(
                dim // n for n in (8, 4, 2, 1) if dim % n == 0))
        else:
            config = index.IvfFlat(distance_type='cosine')
        with self._changing() as table:
            table.create_index('vector', config=config, replace=True)

    def compact(self) -> None:
        """Join small files, take new rows into the approximate index, and
        drop versions that nobody reads any more, and half-made ones."""
        with self._changing() as table:
            if table is not None:
                # Old versions would double the disk's use after each change.
                # A reader in the middle of one begins again with the newest.
                # What no version has was left by a writer that was killed:
                # nobody else writes now.
                table.optimize(cleanup_older_than=timedelta(milliseconds=1),
                               delete_unverified=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other writers out for several changes; UserError where another
        process is writing."""
        try:
            held = self._lock.acquire()  # nested calls of one process succeed
        except Timeout:
            raise UserError(
                f'another process is writing to the index {self.path}; wait '
                'until it is done (searching works meanwhile)') from None
        with held:
            yield

    @contextmanager
    def _changing(self) -> Iterator[Any]:
        with self.writing():
            try:
                yield self._open()
            except RuntimeError as error:  # as LanceDB has it: a full disk
                raise UserError(f'the index {self.path} cannot be changed: '
                                f'{first_line(error)[:200]}') from error

    def _read(self, use: Callable[[Any], Any]) -> Any:
        """Return what ``use`` makes of the table, None without one; UserError
        where the files are damaged."""
        for again in False, True:
            try:
                table = self._open()
                return None if table is None else use(table)
            except (RuntimeError, OSError, ValueError) as error:
                if again:  # so it is not just a version that compact() deleted
                    raise UserError(
                        f'the index {self.path} cannot be read: '
                        f'{first_line(error)[:200]}; if it is damaged, index '
                        'the videos again') from error

    def _open(self) -> Any:
        if not osp.isdir(osp.join(self.path, f'{_TABLE}.lance')):
            return None
        table = self._db.open_table(_TABLE)
        kinds = {field.name: field.type for field in table.schema}
        expected = _schema(self.identity.embed_dim)
        if kinds != {field.name: field.type for field in expected}:
            raise ValueError(f'its columns are {kinds}')
        return table


def _rows(entries: Sequence[Entry], dim: int) -> Any:
    """Make an Arrow table with a row for each embedding [``dim``]."""
    import pyarrow as pa
    vectors = np.concatenate([entry.embeddings for entry in entries])
    bad = ~(np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3)
    if bad.any():  # NaN, too
        raise ValueError(f'{bad.sum()} of {len(vectors)} embeddings are not '
                         'of unit length')
    rows = []
    for entry in entries:
        key = _key(entry.path)
        rows += [(f'{key}:{i}', key, entry.path, *entry.state, *span)
                 for i, span in enumerate(entry.spans)]
    return pa.table(
        [*map(list, zip(*rows)), pa.FixedSizeListArray.from_arrays(
            vectors.astype(np.float32).reshape(-1), dim)], _schema(dim))


def _schema(dim: int) -> Any:
    import pyarrow as pa
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    return pa.schema(dict(id=text, key=text, path=text, size=whole,
                          mtime_ns=whole, window=real, start=real, end=real,
                          vector=pa.list_(pa.float32(), dim)))


def _hit(row: Dict[str, Any]) -> Hit:
    """Check a row, which may be anybody's; distances are 1 - cosine."""
    span = start, end = row['start'], row['end']
    if row['path'] is None or span != (None, None) and (
            None in span or not 0 <= start <= end < 1e9):
        raise ValueError(f'a row has {row}')
    return Hit(row['path'], start, end, 1 - row['_distance'])


def _of_videos(paths: Sequence[str]) -> str:
    """Make a LanceDB filter for the rows of some videos.

    A name may hold anything, and LanceDB 0.40 does not quote a backslash
    before a quotation mark, so the filter is about hashes of names.
    """
    return 'key IN ({})'.format(', '.join(f"'{_key(p)}'" for p in paths))


def _key(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:32]


def _ann_of(table: Any) -> Optional[str]:
    kinds = dict(IvfPq='IVF_PQ', IvfFlat='IVF_FLAT')  # by LanceDB's names
    for index in table.list_indices():
        if 'vector' in index.columns:
            return kinds.get(index.index_type, index.index_type)
    return None
