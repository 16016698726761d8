"""Embeddings of videos on disk: LanceDB's table behind a small interface.

LanceDB runs inside the process, keeps vectors and their columns together in
Arrow files, and makes every change a new version that appears whole or not at
all: a writer that is killed leaves the last one, and readers never wait.
"""
from __future__ import annotations

import os.path as osp
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import (Any, Callable, ContextManager, Dict, Iterator, List,
                    Optional, Sequence)

import numpy as np

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.errors import need
from . import folder, nearest
from projects.vifi_clip.apis.identity import Identity
from .rows import Entry, Hit, State, of_videos, to_table

TABLE = 'embeddings'
# Old versions would double the disk's use after each change. A reader that
# is in the middle of one begins again with the newest.
_KEEP_VERSIONS = timedelta(milliseconds=1)


class VideoIndex:
    """An index of videos in a folder.

    Any number of processes may search while one writes.

    Args:
        path (str): The folder; :meth:`create` makes one.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The folder holds something else.
        UserError: LanceDB is not installed.
    """

    def __init__(self, path: str) -> None:
        self.path = osp.abspath(path)
        record = folder.read_record(self.path)
        try:
            self.identity = Identity.from_dict(record['identity'])
        except (KeyError, TypeError) as error:
            raise UserError(
                f'{self.path}/index.json is damaged ({error}); make the '
                'index anew in another folder') from error
        lancedb = need('lancedb', 'search')
        # 0: a reader that lives long, such as the web page, sees what others
        # write.
        self._db = lancedb.connect(
            self.path, read_consistency_interval=timedelta(0))
        self._table: Any = None
        self._locked = False

    @classmethod
    def create(cls, path: str, identity: Identity) -> VideoIndex:
        """Make an empty index for the embeddings of one model."""
        need('lancedb', 'search')
        folder.write_record(osp.abspath(path), identity.to_dict())
        return cls(path)

    def __len__(self) -> int:
        """Number of embeddings; a video has one for each window."""
        return self._read(lambda table: table.count_rows(), 0)

    def videos(self) -> Dict[str, State]:
        """The videos in the index, by absolute path."""
        columns = ['path', *State._fields]
        rows = self._read(lambda table: table.search().select(columns).limit(
            None).to_arrow())
        if rows is None:
            return {}
        values = [rows.column(name).to_pylist() for name in columns]
        return {path: State(*state) for path, *state in zip(*values)}

    def check(self, identity: Identity) -> None:
        """See that a model is the one that made the embeddings.

        Raises:
            UserError: It is another.
        """
        found = self.identity.differences(identity)
        if found:
            raise UserError(
                f'the index {self.path} was made with another model:\n'
                f'  the index: {self.identity}\n  this model: {identity}\n'
                f'They differ in {"; ".join(found)}.\nGive the model of the '
                'index, or make a new index with --index')

    def add(self, entries: Sequence[Entry]) -> None:
        """Add videos, or put new embeddings in place of what they had.

        One commit: it is done for all of them or for none.

        Raises:
            ValueError: An embedding is not of unit length, or not of D.
            UserError: Another process is writing.
        """
        if not entries:
            return
        rows = to_table(entries, self.identity.embed_dim)
        old = of_videos([entry.path for entry in entries])
        with self._changing() as table:
            if table is None:
                self._table = self._db.create_table(TABLE, rows)
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
                table.delete(of_videos(paths[i:i + 500]))

    def search(self,
               vector: np.ndarray,
               topk: int = 10,
               exact: Optional[bool] = None) -> List[Hit]:
        """The embeddings nearest to a vector.

        Args:
            vector (np.ndarray): [D], of any length but 0.
            topk (int): How many. Defaults to 10.
            exact (bool, optional): Compare with every embedding. By default
                so, unless :meth:`build_ann` was called.

        Returns:
            list[Hit]: Best first; fewer than ``topk`` in a small index.

        Raises:
            ValueError: ``vector`` has another size, or no direction.
        """
        query = self._unit(vector)
        if topk < 1:
            raise ValueError(f'topk must be at least 1, got {topk}')
        topk = min(topk, max(len(self), 1))  # LanceDB has a largest one
        names = ['path', 'start', 'end', '_distance']

        def run(table: Any) -> Any:
            flat = nearest.kind_of(table) is None if exact is None else exact
            return nearest.query(table, query, topk,
                                 flat).select(names).to_arrow()

        found = self._read(run)
        if found is None:
            return []
        rows = zip(*(found.column(name).to_pylist() for name in names))
        return [
            Hit(path, start, end, 1 - distance)
            for path, start, end, distance in rows
        ]

    @property
    def ann(self) -> Optional[str]:
        """Kind of the approximate index, None where search is exact."""
        return self._read(nearest.kind_of)

    def build_ann(self, kind: str = nearest.DEFAULT) -> None:
        """Make searches approximate and fast; see :mod:`.nearest`.

        Raises:
            ValueError: Too few embeddings to gain from it.
        """
        with self._changing() as table:
            nearest.build(table, kind)

    def compact(self) -> None:
        """Join small files, take new rows into the approximate index, and
        drop versions that nobody reads any more."""
        with self._changing() as table:
            if table is not None:
                table.optimize(cleanup_older_than=_KEEP_VERSIONS)

    def writing(self) -> ContextManager[None]:
        """Keep other writers out for several changes."""
        return nullcontext() if self._locked else self._lock()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with folder.writing(self.path):
            self._locked = True
            try:
                yield
            finally:
                self._locked = False

    @contextmanager
    def _changing(self) -> Iterator[Any]:
        with self.writing():
            try:
                yield self._open()
            except RuntimeError as error:  # as LanceDB has it: a full disk
                raise UserError(f'the index {self.path} cannot be changed: '
                                f'{_first_line(error)}') from error

    def _read(self, use: Callable[[Any], Any], empty: Any = None) -> Any:
        """What ``use`` makes of the table; ``empty`` if there is none yet.

        Raises:
            UserError: The files are damaged.
        """
        for again in False, True:
            try:
                table = self._open()
                return empty if table is None else use(table)
            except (RuntimeError, OSError, ValueError) as error:
                if again:
                    raise UserError(
                        f'the index {self.path} cannot be read: '
                        f'{_first_line(error)}. If it is damaged, remove it '
                        'and index the videos again') from error
                self._table = None  # its version may just have gone

    def _open(self) -> Any:
        if self._table is None and osp.isdir(
                osp.join(self.path, f'{TABLE}.lance')):
            self._table = self._db.open_table(TABLE)
        return self._table

    def _unit(self, vector: np.ndarray) -> np.ndarray:
        vector = np.asarray(vector, np.float32).reshape(-1)
        if len(vector) != self.identity.embed_dim:
            raise ValueError(f'the index {self.path} has embeddings of '
                             f'{self.identity.embed_dim} numbers, the query '
                             f'{len(vector)}')
        length = np.linalg.norm(vector)
        if not np.isfinite(length) or length == 0:
            raise ValueError(f'a query of length {length} has no direction')
        return vector / length


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ['no message'])[0][:200]
