"""A file of predictions that grows line by line, and goes on after a stop.

``results.jsonl.meta.json`` beside it says what the predictions were made
with; ``results.jsonl.part0``, ... are of several processes at work.
"""
import csv
import glob
import io
import json
import os
import os.path as osp
import re
from contextlib import ExitStack, contextmanager
from typing import (Any, BinaryIO, Callable, Dict, Iterator, List, Mapping,
                    NamedTuple, Optional, Sequence, Tuple)

from filelock import FileLock, Timeout

from projects.vifi_clip.apis.identity import NOTES, differences
from projects.vifi_clip.files import replacing, write_json
from ..cli.outputs import check_target

SUFFIXES = ('.jsonl', '.csv')
_DIGITS = 6  # of a probability


def check_out(out: str, overwrite: bool,
              sources: Mapping[str, Optional[str]]) -> None:
    """Refuse an output that cannot be written, or files that are not ours.

    ``overwrite`` is for the file that was named, not for those beside it.
    ``sources`` are files that are read, by option.
    """
    check_target('--out', out, SUFFIXES)
    meta = f'{out}.meta.json'
    for option, source in sources.items():
        if source and osp.exists(source) and any(
                osp.samefile(source, path) for path in (out, meta)
                if osp.exists(path)):
            raise ValueError(f'--out {out} would write over {option} '
                             f'{source}; choose another name')
    if len(osp.basename(meta).encode(errors='surrogateescape')) > 250:
        raise ValueError(f'--out {out} cannot be written, with .meta.json '
                         'beside it: its name is too long')
    if osp.lexists(meta):
        read_record(meta)
    elif osp.exists(out) and not overwrite:
        raise ValueError(f'--out {out} exists and was not written by this '
                         f'command (no {meta}); choose another name, or add '
                         '--overwrite')
    start = (b'video,label,score,error' if out.lower().endswith('.csv') else
             b'{"video": ')
    for part in _part_paths(out):
        with open(part, 'rb') as file:  # cut, perhaps, before it could begin
            ours = osp.exists(meta) and start.startswith(
                file.read(len(start)))
        if not ours:
            raise ValueError(f'{part} was not written by this command; move '
                             'it away, or choose another --out')


def _part_paths(out: str) -> List[str]:
    """Return the files that processes at work write beside the file."""
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
        raise ValueError(f'{meta} is damaged, or not written by this command; '
                         'move it away, or choose another --out') from None


class Line(NamedTuple):
    """Where the line of a video is."""

    name: str
    error: str  # why the video could not be read; empty if it could
    start: int  # bytes
    end: int


class ResultsFile:
    """Predictions on disk: CSV with a header, or a JSON object a line.

    ``out`` is a .jsonl or .csv file, ``topk`` the labels of each video. One
    process calls :meth:`prepare` and, when all have finished writing,
    :meth:`merge`.
    """

    def __init__(self, out: str, topk: int) -> None:
        self.out, self.meta = out, f'{out}.meta.json'
        self.table = out.lower().endswith('.csv')
        self.columns = ['video', 'label', 'score', 'error']
        for i in range(1, topk + 1):
            self.columns += [f'label_{i}', f'score_{i}']
        self.header = _row(self.columns) if self.table else b''
        self._lock = FileLock(f'{out}.lock', timeout=0)

    def prepare(self, record: Mapping[str, Any], overwrite: bool) -> bool:
        """Make ready for more lines, of a model that ``record`` describes;
        return whether there is work to go on with.

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
            raise ValueError(f'--out {self.out} was made with other settings '
                             f'({"; ".join(differs)}); choose another name, '
                             'or add --overwrite')
        self._gather(None)
        return bool(sources)

    def stems(self) -> Dict[str, str]:
        """Return the names of the pictures of each video, below a folder."""
        stems = read_record(self.meta).get('stems')
        return {name: stem for name, stem in stems.items()
                if isinstance(stem, str) and osp.basename(stem) == stem
                } if isinstance(stems, dict) else {}

    def keep_stems(self, stems: Mapping[str, str]) -> None:
        """Remember names of pictures: those files are ours from now on."""
        record = read_record(self.meta)
        if record.get('stems', {}) != stems:
            write_json(self.meta, dict(record, stems=dict(stems)))

    def done(self) -> set:
        """Return names of the videos that have a line without an error."""
        return {line.name for line in self.lines(self.out) if not line.error}

    @contextmanager
    def writer(self, rank: int,
               world: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Open the file that a process adds lines to. Yielded is what adds a
        result, which is on disk before the next is made."""
        path = self.out if world == 1 else f'{self.out}.part{rank}'
        with open(path, 'ab') as file:
            if not file.tell():
                file.write(self.header)
                file.flush()

            def add(result: Mapping[str, Any]) -> None:
                file.write(self.encode(result))
                file.flush()

            yield add

    def merge(self, order: Sequence[str]) -> List[Tuple[str, str]]:
        """Put all lines together, in the order of the inputs; return names
        and errors of the videos that failed."""
        kept = self._gather(order)
        return [(name, kept[name][1].error) for name in dict.fromkeys(order)
                if name in kept and kept[name][1].error]

    def _sources(self) -> List[str]:
        """Return the file, if there, and what processes wrote beside it."""
        return [self.out][:osp.exists(self.out)] + _part_paths(self.out)

    def _gather(self, order: Optional[Sequence[str]]
                ) -> Dict[str, Tuple[str, Line]]:
        """Put everything that is whole into one file, a line for each video:
        in an order, after all others; or without one, and without errors,
        since those videos are tried again."""
        kept: Dict[str, Tuple[str, Line]] = {}
        for source in self._sources():
            for line in self.lines(source):
                if line.name not in kept or kept[line.name][1].error:
                    kept[line.name] = source, line
        if order is None:
            names = [n for n, (_, line) in kept.items() if not line.error]
        else:
            last = dict.fromkeys(order)
            names = [n for n in kept if n not in last]
            names += [n for n in last if n in kept]
        with replacing(self.out) as new, ExitStack() as stack:
            target = stack.enter_context(open(new, 'xb'))
            files = {source: stack.enter_context(open(source, 'rb'))
                     for source in self._sources()}
            target.write(self.header)
            for source, line in map(kept.get, names):
                # one by one: there may be more than memory holds
                files[source].seek(line.start)
                target.write(files[source].read(line.end - line.start))
        for part in _part_paths(self.out):
            os.remove(part)
        return kept

    def __enter__(self) -> 'ResultsFile':
        return self

    def __exit__(self, *error) -> None:
        if self._lock.is_locked:
            os.remove(self._lock.lock_file)
            self._lock.release()

    def encode(self, result: Mapping[str, Any]) -> bytes:
        """Turn a result of ``ViFiCLIPInferencer.predict`` into a line."""
        error = result.get('error', '')
        scores = [round(score, _DIGITS) for score in result.get('scores', ())]
        if self.table:
            texts = [f'{score:.{_DIGITS}f}' for score in scores]
            row = [result['video'], result.get('label', ''), *texts[:1],
                   *[''] * (not texts), error]
            for pair in zip(result.get('labels', ()), texts):
                row += pair
            return _row(row + [''] * (len(self.columns) - len(row)))
        content = dict(result) if error else dict(result, scores=scores)
        try:
            return json.dumps(content, ensure_ascii=False).encode() + b'\n'
        except UnicodeEncodeError:  # a name that is not UTF-8
            return json.dumps(content).encode() + b'\n'

    def lines(self, path: str) -> Iterator[Line]:
        """Find the whole lines of a file; what a stop cut in half is left out.

        Raises:
            ValueError: The file holds something else.
        """
        with open(path, 'rb') as file:
            size = os.path.getsize(path)
            for number, line in (self._rows if self.table else
                                 _objects)(file):
                file.seek(-1, os.SEEK_CUR)  # without its end, it was cut
                if file.read(1) == b'\n' and line is not None:
                    yield line
                elif file.tell() < size:
                    raise ValueError(f'{path}, line {number}: no prediction; '
                                     'remove it, or add --overwrite')

    def _rows(self, file: BinaryIO) -> Iterator[Tuple[int, Optional[Line]]]:
        start, number = 0, 1  # of a row; a name may hold line ends
        rows = csv.reader(line.decode(errors='surrogateescape')
                          for line in iter(file.readline, b''))
        try:
            for row in rows:
                end = file.tell()
                if row != self.columns or start:
                    yield number, self._line(row, start, end)
                start, number = end, rows.line_num + 1
        except csv.Error:  # a field that is too long
            yield number, None

    def _line(self, row: List[str], start: int, end: int) -> Optional[Line]:
        try:
            if len(row) == len(self.columns) and (
                    row[3] or 0 <= float(row[2]) <= 1):
                return Line(row[0], row[3], start, end)
        except ValueError:  # no score
            pass
        return None


def _row(values: List[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    # Asked for '\n' alone, it would not quote '\r', which no reader takes.
    line = text.getvalue().removesuffix('\r\n') + '\n'
    return line.encode(errors='surrogateescape')


def _objects(file: BinaryIO) -> Iterator[Tuple[int, Optional[Line]]]:
    for number, line in enumerate(iter(file.readline, b''), 1):
        end = file.tell()
        try:
            content = json.loads(line)
            error, scores = content.get('error', ''), content.get('scores')
            whole = (isinstance(error, str)
                     and isinstance(content['video'], str)
                     and bool(error or scores)
                     and ('error' not in content or error)
                     and all(isinstance(s, (int, float))
                             for s in scores or ()))
        except (ValueError, KeyError, TypeError, AttributeError,
                RecursionError):
            whole = False
        yield number, (Line(content['video'], error, end - len(line), end)
                       if whole else None)
