"""Tables in Markdown and CSV."""
import csv
import io
from typing import Any, Iterable, Sequence

_MARKS = dict(l='---', r='---:')


def markdown_table(header: Sequence[Any], rows: Iterable[Sequence[Any]],
                   align: str = '') -> str:
    """Write a table in Markdown, without a line break at the end.

    ``align`` has 'l' or 'r' for each column; without it, cells are padded,
    so that the text itself reads as a table.
    """
    cells = [[str(cell) for cell in line] for line in (header, *rows)]
    if align:
        marks = '| ' + ' | '.join(_MARKS[letter] for letter in align) + ' |'
    else:
        widths = [max(map(len, column)) for column in zip(*cells)]
        cells = [[cell.ljust(width) for cell, width in zip(line, widths)]
                 for line in cells]
        marks = '|' + '|'.join('-' * (width + 2) for width in widths) + '|'
    head, *lines = ['| ' + ' | '.join(line) + ' |' for line in cells]
    return '\n'.join([head.replace('|  |', '| |'), marks, *lines])


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Write rows as CSV, each with a line break at its end."""
    out = io.StringIO()
    csv.writer(out, lineterminator='\n').writerows(rows)
    return out.getvalue()
