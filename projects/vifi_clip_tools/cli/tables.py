"""Tables in Markdown."""
from typing import Any, Iterable, Sequence

_MARKS = dict(l='---', r='---:')


def markdown_table(header: Sequence[Any], rows: Iterable[Sequence[Any]],
                   align: str = '') -> str:
    """Write a table in Markdown.

    Args:
        header (Sequence): Title of each column.
        rows (Iterable[Sequence]): The cells of each row.
        align (str): 'l' or 'r' for each column. Defaults to '': cells are
            padded instead, so that the text itself reads as a table.

    Returns:
        str: Lines without a line break at the end.
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
