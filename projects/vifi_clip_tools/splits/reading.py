"""Text and tables of annotations, read with line numbers."""
import hashlib
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import csv_rows, read_text


def read_source(path: Path) -> str:
    """Read a UTF-8 file; a byte order mark and Windows line ends are fine.

    Args:
        path (Path): File to read.

    Returns:
        str: Its text, with ``\\n`` at the line ends.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If it is empty or not UTF-8.
    """
    try:
        text = read_text(path)
    except ValueError as error:
        cause = error.__cause__
        if not isinstance(cause, UnicodeDecodeError):
            raise
        line = cause.object[:cause.start].count(b'\n') + 1
        value = cause.object[cause.start:cause.end]
        raise UserError(f'{path}, line {line}: bytes {value!r} are not UTF-8 '
                        'text; save the file as UTF-8') from error
    if not text.strip():
        raise UserError(f'{path}: the file is empty; get a complete copy')
    return text


def read_lines(path: Path) -> List[Tuple[str, str]]:
    """Read the lines of a file, with the place of each for messages.

    Args:
        path (Path): File to read.

    Returns:
        list[tuple[str, str]]: Place ('FILE, line 3') and stripped line. Blank
        lines are passed over.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If it is empty or not UTF-8.
    """
    # Not splitlines(), which also splits inside names, at '\x85' say.
    lines = enumerate(read_source(path).split('\n'), start=1)
    return [(f'{path}, line {number}', line.strip())
            for number, line in lines if line.strip()]


def read_table(path: Path,
               required: Sequence[str],
               optional: Sequence[str] = ()
               ) -> Iterator[Tuple[str, Dict[str, str]]]:
    """Read a CSV file with a header.

    Args:
        path (Path): File to read.
        required (Sequence[str]): Columns that must be there, in any order.
        optional (Sequence[str]): Columns that may be there.

    Yields:
        tuple[str, dict[str, str]]: Place ('FILE, line 3') and stripped fields
        by column.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a quote is not closed.
        UserError: If it is empty, not UTF-8, has other columns, no rows, or a
            row of another length.
    """
    rows = csv_rows(read_source(path), path)
    header = [column.strip() for column in next(rows)[1]]
    _check_header(path, header, required, optional)
    empty = True
    for number, row in rows:
        if not ''.join(row).strip():
            continue
        place = f'{path}, line {number}'
        if len(row) != len(header):
            raise UserError(
                f'{place}: {len(row)} fields in {",".join(row)!r}, but '
                f'{len(header)} columns ({",".join(header)}); a value that '
                'holds a comma must stand in "quotes"')
        empty = False
        yield place, dict(zip(header, (value.strip() for value in row)))
    if empty:
        raise UserError(f'{path}: a header but no row; get a complete copy')


def _check_header(path: Path, header: Sequence[str], required: Sequence[str],
                  optional: Sequence[str]) -> None:
    known = {*required, *optional}
    if (not set(required) <= set(header) <= known
            or len(set(header)) < len(header)):
        may = f'; optional: {",".join(optional)}' if optional else ''
        raise UserError(f'{path}, line 1: the columns are '
                        f'{",".join(header)!r}; they must be '
                        f'{",".join(required)!r}{may}')


def find_file(folder: Path, patterns: Sequence[str], what: str) -> Path:
    """Find the one file of a folder that matches a pattern.

    Args:
        folder (Path): Folder to look in (not below it).
        patterns (Sequence[str]): Glob patterns; the first that matches wins.
        what (str): What the file is, for messages.

    Returns:
        Path: The file.

    Raises:
        FileNotFoundError: If there is none.
        UserError: If the folder is no folder, or a pattern matches several.
    """
    if not folder.is_dir():
        raise UserError(f'--annotations {folder}: no such folder; give the '
                        'folder that the official annotation files are in')
    for pattern in patterns:
        found = sorted(p for p in folder.glob(pattern) if p.is_file())
        if len(found) > 1:
            names = ', '.join(path.name for path in found)
            raise UserError(f'{folder}: {names} could all be {what}; keep '
                            'one of them there')
        if found:
            return found[0]
    raise FileNotFoundError(f'{folder}: no {what} there (looked for '
                            f'{", ".join(patterns)}); put the official file '
                            'there under its own name')


def sha256(data: bytes) -> str:
    """The SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
