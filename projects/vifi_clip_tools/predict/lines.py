"""Lines of a file of predictions: JSON, or CSV for spreadsheets."""
import csv
import io
import json
import os
from typing import Any, BinaryIO, Iterator, List, Mapping, NamedTuple, Optional

_DIGITS = 6  # of a probability


class Place(NamedTuple):
    """Where a video's line is."""

    name: str
    error: str  # why the video could not be read; empty if it could
    start: int  # bytes
    end: int


class Lines:
    """Format of predictions, to write them and to find them again.

    Args:
        table (bool): CSV with a header; otherwise a JSON object a line.
        topk (int): Labels of each video.
    """

    def __init__(self, table: bool, topk: int) -> None:
        self.table = table
        self.columns = ['video', 'label', 'score', 'error']
        for i in range(1, topk + 1):
            self.columns += [f'label_{i}', f'score_{i}']
        self.header = _row(self.columns) if table else b''

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

    def places(self, path: str) -> Iterator[Place]:
        """Find the whole lines of a file; what a stop cut in half is left out.

        Raises:
            ValueError: The file holds something else.
        """
        with open(path, 'rb') as file:
            size = os.path.getsize(path)
            places = self._rows(file) if self.table else _objects(file)
            for number, place in enumerate(places, 1):
                if place is not None:
                    yield place
                elif file.tell() < size:
                    raise ValueError(
                        f'{path}, line {number}, is no prediction of this '
                        'command; take it out, or add --overwrite')

    def _rows(self, file: BinaryIO) -> Iterator[Optional[Place]]:
        end, last = 0, b'\n'  # of what csv has read

        def read() -> Iterator[str]:
            nonlocal end, last
            for last in iter(file.readline, b''):
                end += len(last)
                yield last.decode(errors='surrogateescape')

        start = 0  # of a row; a name may hold line ends
        for row in csv.reader(read()):
            if row != self.columns or start:
                whole = (len(row) == len(self.columns)
                         and last.endswith(b'\n')
                         and (row[3] or _is_probability(row[2])))
                yield Place(row[0], row[3], start, end) if whole else None
            start = end


def _row(values: List[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerow(values)
    return text.getvalue().encode(errors='surrogateescape')


def _objects(file: BinaryIO) -> Iterator[Optional[Place]]:
    end = 0
    for line in iter(file.readline, b''):
        start, end = end, end + len(line)
        try:
            content = json.loads(line)
            error, scores = content.get('error', ''), content.get('scores')
            whole = (line.endswith(b'\n') and isinstance(error, str)
                     and isinstance(content['video'], str)
                     and bool(error or scores)
                     and ('error' not in content or error)
                     and all(isinstance(s, (int, float))
                             for s in scores or ()))
        except (ValueError, KeyError, TypeError, AttributeError):
            whole = False
        yield Place(content['video'], error, start, end) if whole else None


def _is_probability(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
