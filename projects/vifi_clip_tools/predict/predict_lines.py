"""Lines of a file of predictions: JSON, or CSV for spreadsheets."""
import csv
import io
import json
import os
from typing import Any, Iterator, List, Mapping, NamedTuple

_DIGITS = 6  # of a probability


class Place(NamedTuple):
    """Where a video's line is.

    Attributes:
        name (str): The video.
        error (str): Why it could not be read; empty if it could.
        start, end (int): Bytes of the line.
    """

    name: str
    error: str
    start: int
    end: int


def reason_of(result: Mapping[str, Any]) -> str:
    """Why a video could not be read, in one line and without its name."""
    error = str(result['error']).removeprefix(
        f'{result["video"]} cannot be read: ')
    return ' '.join(error.split())


def _is_result(content: Mapping[str, Any]) -> bool:
    """Whether a line's content is a prediction, or says why there is none."""
    if not isinstance(content['video'], str):
        return False
    if 'error' in content:
        return isinstance(content['error'], str) and bool(content['error'])
    return bool(content['scores']) and all(
        isinstance(score, (int, float)) for score in content['scores'])


def _is_number(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


class Lines:
    """How predictions are written and found again.

    Args:
        table (bool): CSV with a header and the columns ``video``, ``label``,
            ``score``, ``error``, ``label_1``, ``score_1``, ...; otherwise
            JSON with ``video``, ``label``, ``labels``, ``scores`` or
            ``error``.
        topk (int): Labels of each video.
    """

    def __init__(self, table: bool, topk: int) -> None:
        self.table, self.topk = table, topk
        self.columns = ['video', 'label', 'score', 'error']
        for i in range(1, topk + 1):
            self.columns += [f'label_{i}', f'score_{i}']
        self.header = self._row(self.columns) if table else b''

    def encode(self, result: Mapping[str, Any]) -> bytes:
        """A line of one video, with its end."""
        error = reason_of(result) if 'error' in result else ''
        if not self.table:
            return self._object(result, error)
        if error:
            row = [result['video'], '', '', error]
        else:
            scores = [f'{score:.{_DIGITS}f}' for score in result['scores']]
            row = [result['video'], result['label'], scores[0], '']
            for pair in zip(result['labels'], scores):
                row += pair
        return self._row(row + [''] * (len(self.columns) - len(row)))

    def _object(self, result: Mapping[str, Any], error: str) -> bytes:
        if error:
            content = dict(video=result['video'], error=error)
        else:
            scores = [round(score, _DIGITS) for score in result['scores']]
            content = dict(result, scores=scores)
        try:
            text = json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # a name that is not UTF-8
            text = json.dumps(content).encode()
        return text + b'\n'

    @staticmethod
    def _row(values: List[Any]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator='\n').writerow(values)
        return text.getvalue().encode(errors='surrogateescape')

    def places(self, path: str) -> Iterator[Place]:
        """The whole lines of a file; what a stop cut in half is left out.

        Args:
            path (str): File of predictions.

        Raises:
            ValueError: It holds something else.
        """
        with open(path, 'rb') as file:
            whole = os.path.getsize(path)
            found = self._rows(file) if self.table else self._objects(file)
            for number, place in enumerate(found, 1):
                if place is not None:
                    yield place
                elif file.tell() < whole:
                    raise ValueError(
                        f'{path}, line {number}, is no prediction of this '
                        'command; take it out, or add --overwrite')

    def _objects(self, file) -> Iterator[Any]:
        start = 0
        for line in iter(file.readline, b''):
            place, end = None, start + len(line)
            try:
                content = json.loads(line)
                if line.endswith(b'\n') and _is_result(content):
                    place = Place(content['video'], content.get('error', ''),
                                  start, end)
            except (ValueError, KeyError, TypeError, AttributeError):
                pass
            yield place
            start = end

    def _rows(self, file) -> Iterator[Any]:
        ends = [0, 0]  # of what csv has read, and a name may hold line ends
        last = b'\n'

        def read() -> Iterator[str]:
            nonlocal last
            for line in iter(file.readline, b''):
                ends[1], last = ends[1] + len(line), line
                yield line.decode(errors='surrogateescape')

        for row in csv.reader(read()):
            start, ends[0] = ends
            if row == self.columns and start == 0:
                continue
            whole = (len(row) == len(self.columns) and last.endswith(b'\n')
                     and (row[3] or _is_number(row[2])))
            yield Place(row[0], row[3], start, ends[1]) if whole else None
