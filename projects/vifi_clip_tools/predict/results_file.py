"""A file of predictions that grows line by line, and goes on after a stop.

``results.jsonl.meta.json`` beside it says what the predictions were made
with; ``results.jsonl.part0``, ... are of several processes at work.
"""
import fcntl
import os
import os.path as osp
import secrets
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .predict_lines import Lines, Place
from .predict_record import (check_ours, check_same, meta_path, part_paths,
                             read_record, write_record)


class PredictionFile:
    """Predictions on disk.

    One process calls :meth:`prepare` and, when all have finished writing,
    :meth:`merge`.

    Args:
        out (str): ``.jsonl`` or ``.csv`` file.
        topk (int): Labels of each video.
    """

    def __init__(self, out: str, topk: int) -> None:
        self.out = out
        self.lines = Lines(out.lower().endswith('.csv'), topk)
        self._lock: Any = None

    def prepare(self, record: Mapping[str, Any], overwrite: bool) -> bool:
        """Make ready for more lines.

        Args:
            record (Mapping[str, Any]): What the predictions are made with.
            overwrite (bool): Forget what is there.

        Returns:
            bool: There is work to go on with.

        Raises:
            ValueError: What is there was made otherwise, or another process
                is writing to it.
        """
        meta = meta_path(self.out)
        check_ours(self.out, overwrite)
        if osp.exists(meta):
            self._take_lock(meta)
        found = [p for p in [self.out, *self._parts()] if osp.exists(p)]
        if overwrite:
            for path in found:
                os.remove(path)
            found = []
        elif found:
            check_same(self.out, record)
        if not found:
            write_record(self.out, record)
            self._take_lock(meta)
        self._gather(None)
        return bool(found)

    def stems(self) -> Dict[str, str]:
        """Names of the pictures of each video, by the video's name."""
        return read_record(self.out).get('stems', {})

    def keep_stems(self, stems: Mapping[str, str]) -> None:
        """Remember names of pictures: those files are ours from now on."""
        record = read_record(self.out)
        if record.get('stems', {}) == stems:
            return
        write_record(self.out, dict(record, stems=dict(stems)))
        self._take_lock(meta_path(self.out))

    def _take_lock(self, path: str) -> None:
        """The kernel's, which ends with the process, however that ends."""
        self.close()
        self._lock = open(path, 'rb')
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f'another process is writing to {self.out}; '
                             'wait for it, or choose another name') from None
        except OSError:
            pass  # a file system without locks

    def close(self) -> None:
        """Let other processes write."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> 'PredictionFile':
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def done(self) -> set:
        """Names of the videos that have a line without an error."""
        return {place.name for place in self.lines.places(self.out)
                if not place.error}

    def _parts(self) -> List[str]:
        return part_paths(self.out)

    def _gather(self, order: Optional[Sequence[str]]) -> None:
        """Everything that is whole into one file, a line for each video.

        Args:
            order (Sequence[str], optional): Names in the order wanted; lines
                of others come before. Defaults to None: lines with errors
                are left out, since those videos are tried again.
        """
        sources = [self.out] if osp.exists(self.out) else []
        sources += self._parts()
        kept: Dict[str, Tuple[str, Place]] = {}
        for source in sources:
            for place in self.lines.places(source):
                before = kept.get(place.name)
                if before is None or before[1].error:
                    kept[place.name] = source, place
        if order is None:
            names = [n for n, (_, place) in kept.items() if not place.error]
        else:
            wanted = set(order)
            names = [n for n in kept if n not in wanted]
            names += [n for n in dict.fromkeys(order) if n in kept]
        self._rewrite([kept[name] for name in names])
        for part in self._parts():
            os.remove(part)

    def _rewrite(self, places: Sequence[Tuple[str, Place]]) -> None:
        folder = osp.dirname(osp.abspath(self.out))
        new = osp.join(folder, f'.vifi_clip_{secrets.token_hex(8)}.tmp')
        files: Dict[str, Any] = {}
        try:
            with open(new, 'xb') as target:
                target.write(self.lines.header)
                for source, place in places:
                    if source not in files:
                        files[source] = open(source, 'rb')
                    files[source].seek(place.start)
                    target.write(files[source].read(place.end - place.start))
            os.replace(new, self.out)
        finally:
            for file in files.values():
                file.close()
            if osp.exists(new):
                os.remove(new)

    def writer(self, rank: int, world: int) -> 'Writer':
        """Where a process writes its lines."""
        path = self.out if world == 1 else f'{self.out}.part{rank}'
        return Writer(path, self.lines)

    def merge(self, order: Sequence[str]) -> List[Tuple[str, str]]:
        """Put all lines together, in the order of the inputs.

        Args:
            order (Sequence[str]): Names of the videos.

        Returns:
            list[tuple[str, str]]: Names and errors of those that failed.
        """
        self._gather(order)
        wanted = set(order)
        return [(place.name, place.error)
                for place in self.lines.places(self.out)
                if place.error and place.name in wanted]


class Writer:
    """Adds lines to a file, each on disk before the next is made.

    Args:
        path (str): File to add to.
        lines (Lines): Its format.
    """

    def __init__(self, path: str, lines: Lines) -> None:
        self._lines, self._file = lines, open(path, 'ab')
        if not self._file.tell():
            self._put(lines.header)

    def add(self, result: Mapping[str, Any]) -> None:
        """Add what :meth:`ViFiCLIPInferencer.predict` gave of a video."""
        self._put(self._lines.encode(result))

    def _put(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()

    def __enter__(self) -> 'Writer':
        return self

    def __exit__(self, *error) -> None:
        self._file.close()
