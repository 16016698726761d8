"""A file of predictions that grows line by line, and goes on after a stop.

``results.jsonl.meta.json`` beside it says what the predictions were made
with; ``results.jsonl.part0``, ... are of several processes at work.
"""
import glob
import json
import os
import os.path as osp
import re
import secrets
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from filelock import FileLock, Timeout

from projects.vifi_clip.apis.identity import NOTES, differences
from projects.vifi_clip.files import write_json
from ..cli.outputs import check_target
from .lines import Lines, Place

SUFFIXES = ('.jsonl', '.csv')


def check_out(out: str, overwrite: bool,
              sources: Mapping[str, Optional[str]]) -> None:
    """Refuse an output that cannot be written, or files that are not ours.

    ``overwrite`` is for the file that was named, not for those beside it.
    ``sources`` are files that are read, by option.
    """
    check_target('--out', out, SUFFIXES)
    meta = f'{out}.meta.json'
    for option, source in sources.items():
        for path in out, meta:
            if (source and osp.exists(source) and osp.exists(path)
                    and osp.samefile(source, path)):
                raise ValueError(f'--out {out} would write over {option} '
                                 f'{source}; choose another name')
    if len(osp.basename(meta).encode(errors='surrogateescape')) > 250:
        raise ValueError(f'--out {out} cannot be written, with .meta.json '
                         'beside it: its name is too long')
    if osp.lexists(meta):
        read_record(meta)
    elif osp.exists(out) and not overwrite:
        raise ValueError(f'--out {out} exists and is no unfinished work of '
                         f'this command (there is no {meta}); '
                         'choose another name, or add --overwrite')
    start = (b'video,label,score,error' if out.lower().endswith('.csv') else
             b'{"video": ')
    for part in _part_paths(out):
        with open(part, 'rb') as file:  # cut, perhaps, before it could begin
            ours = osp.exists(meta) and start.startswith(
                file.read(len(start)))
        if not ours:
            raise ValueError(f'{part} is not of this command, which would '
                             'write there; move it away, or choose another '
                             '--out')


def _part_paths(out: str) -> List[str]:
    """Files that processes at work write beside the file."""
    return sorted(path for path in glob.glob(f'{glob.escape(out)}.part*')
                  if re.fullmatch(r'\d+', path[len(f'{out}.part'):]))


def read_record(meta: str) -> Dict[str, Any]:
    """Read what a file of predictions was made with."""
    try:
        with open(meta, encoding='utf-8') as file:
            record = json.load(file)
        if not isinstance(record, dict) or 'weights' not in record:
            raise ValueError
        return record
    except (OSError, ValueError, RecursionError):
        raise ValueError(f'{meta} is damaged, or not of this command; move '
                         'it away, or choose another --out') from None


class ResultsFile:
    """Predictions on disk.

    One process calls :meth:`prepare` and, when all have finished writing,
    :meth:`merge`.

    Args:
        out (str): ``.jsonl`` or ``.csv`` file.
        topk (int): Labels of each video.
    """

    def __init__(self, out: str, topk: int) -> None:
        self.out, self.meta = out, f'{out}.meta.json'
        self.lines = Lines(out.lower().endswith('.csv'), topk)
        self._lock = FileLock(f'{out}.lock', timeout=0)

    def prepare(self, record: Mapping[str, Any], overwrite: bool) -> bool:
        """Make ready for more lines, of a model that ``record`` describes.

        Returns:
            bool: There is work to go on with.

        Raises:
            ValueError: What is there was made otherwise, or another process
                is writing to it.
        """
        try:
            self._lock.acquire()
        except Timeout:
            raise ValueError(f'another process is writing to {self.out}; '
                             'wait for it, or choose another name') from None
        sources = self._sources()
        if overwrite:
            for path in sources:
                os.remove(path)
            sources = []
        if not sources:
            write_json(self.meta, record)
        made = read_record(self.meta)
        differs = differences(made, record, (*NOTES, 'stems', 'pictures'))
        if made.get('pictures') != record.get('pictures'):
            differs.append('--save-video, --timeline, --window or --stride '
                           'differ')
        if differs:
            raise ValueError(f'--out {self.out} was made otherwise than asked '
                             f'now ({"; ".join(differs)}); choose another '
                             'name, or add --overwrite')
        self._gather(None)
        return bool(sources)

    def stems(self) -> Dict[str, str]:
        """Return the names of the pictures of each video."""
        return read_record(self.meta).get('stems', {})

    def keep_stems(self, stems: Mapping[str, str]) -> None:
        """Remember names of pictures: those files are ours from now on."""
        record = read_record(self.meta)
        if record.get('stems', {}) != stems:
            write_json(self.meta, dict(record, stems=dict(stems)))

    def done(self) -> set:
        """Return names of the videos that have a line without an error."""
        return {place.name for place in self.lines.places(self.out)
                if not place.error}

    def writer(self, rank: int, world: int) -> 'Writer':
        """Open the file that a process adds its lines to."""
        path = self.out if world == 1 else f'{self.out}.part{rank}'
        return Writer(path, self.lines)

    def merge(self, order: Sequence[str]) -> List[Tuple[str, str]]:
        """Put all lines together, in the order of the inputs.

        Returns:
            list[tuple[str, str]]: Names and errors of those that failed.
        """
        kept = self._gather(order)
        return [(name, kept[name][1].error) for name in dict.fromkeys(order)
                if name in kept and kept[name][1].error]

    def _sources(self) -> List[str]:
        """The file, if it is there, and what processes wrote beside it."""
        return [self.out][:osp.exists(self.out)] + _part_paths(self.out)

    def _gather(self, order: Optional[Sequence[str]]
                ) -> Dict[str, Tuple[str, Place]]:
        """Put everything that is whole into one file, a line for each video:
        in an order, after all others; or without one, and without errors,
        since those videos are tried again."""
        kept: Dict[str, Tuple[str, Place]] = {}
        for source in self._sources():
            for place in self.lines.places(source):
                before = kept.get(place.name)
                if before is None or before[1].error:
                    kept[place.name] = source, place
        if order is None:
            names = [n for n, (_, place) in kept.items() if not place.error]
        else:
            last = dict.fromkeys(order)
            names = [n for n in kept if n not in last]
            names += [n for n in last if n in kept]
        self._rewrite([kept[name] for name in names])
        for part in _part_paths(self.out):
            os.remove(part)
        return kept

    def _rewrite(self, places: Sequence[Tuple[str, Place]]) -> None:
        """Copy lines one by one: there may be more than memory holds."""
        new = osp.join(osp.dirname(osp.abspath(self.out)),
                       f'.vifi_clip_{secrets.token_hex(8)}.tmp')
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

    def __enter__(self) -> 'ResultsFile':
        return self

    def __exit__(self, *error) -> None:
        if self._lock.is_locked:
            os.remove(self._lock.lock_file)
            self._lock.release()


class Writer:
    """Adds lines to a file, each on disk before the next is made."""

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
