"""JSON, YAML, CSV and plain text, with errors that name the line; writing."""
import csv
import glob
import hashlib
import io
import json
import os
import shutil
import tempfile
import unicodedata
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import (Any, Dict, Iterator, List, Optional, Sequence, Tuple,
                    Union)

import yaml

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_NESTED = ': lists or mappings are nested too deeply; get an intact copy'


def read_text(path: Path, newline: Optional[str] = None) -> str:
    """Read a UTF-8 file, with or without a byte order mark; ``newline`` is
    that of ``open``. FileNotFoundError if there is none, ValueError if it is
    not UTF-8."""
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a folder; give a file in it')
    if not path.is_file():
        raise FileNotFoundError(f'no such file: {path}; correct the path '
                                '(it is taken from the working directory)')
    try:
        with path.open(encoding='utf-8-sig', newline=newline) as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not UTF-8 text ({error}); save it as '
                         'UTF-8') from error


def holds_control(text: str) -> bool:
    """Return whether a text holds a line break or control character: readers
    disagree on which of them end a line, and labels are line numbers."""
    return not text.isprintable() and any(
        unicodedata.category(c) in ('Cc', 'Cs', 'Zl', 'Zp') for c in text)


def csv_rows(text: str, path: Path) -> Iterator[Tuple[int, List[str]]]:
    """Yield the rows of CSV text: the number of the line that each ends at,
    and its fields. ValueError names the ``path`` and line of a quote that is
    not closed, or is followed by more text."""
    reader, end = csv.reader(io.StringIO(text), strict=True), 0
    try:
        for row in reader:
            end = reader.line_num
            yield end, row
    except csv.Error as error:
        raise ValueError(f'{path}, line {end + 1}: not valid CSV ({error}); '
                         'close and double the quotes there') from error


def csv_table(path: Path, required: Sequence[str],
              optional: Sequence[str] = ()
              ) -> Iterator[Tuple[int, Dict[str, str]]]:
    """Read a CSV file with a header: line and fields, by column, of each row.

    Blank lines are passed over, and spaces around a value. Columns may come
    in any order. ValueError for other columns than those that are
    ``required`` and ``optional``, for a row with more or fewer fields than
    the header, or without any row.
    """
    rows = csv_rows(read_text(path), path)
    header = [column.strip() for column in next(rows, (1, []))[1]]
    if (not set(required) <= set(header) <= {*required, *optional}
            or len(set(header)) < len(header)):
        may = f'; optional: {",".join(optional)}' if optional else ''
        raise ValueError(f'{path}, line 1: the columns are '
                         f'{",".join(header)!r}; they must be '
                         f'{",".join(required)!r}{may}')
    empty = True
    for number, row in rows:
        if not ''.join(row).strip():
            continue
        if len(row) != len(header):
            raise ValueError(
                f'{path}, line {number}: {len(row)} fields in '
                f'{",".join(row)!r}, but {len(header)} columns '
                f'({",".join(header)}); put values with a comma in "quotes"')
        empty = False
        yield number, dict(zip(header, (value.strip() for value in row)))
    if empty:
        raise ValueError(f'{path}: a header but no row; get a complete copy')


def read_json(path: Path) -> Any:
    """Read a JSON file; ValueError if it is none or repeats a key."""
    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}, line {error.lineno}: not valid JSON: '
                         f'{error.msg}') from error
    except ValueError as error:  # a repeated key; a number without end
        raise ValueError(f'{path}: {error}') from error
    except RecursionError:
        raise ValueError(f'{path}{_NESTED}') from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe loader that refuses a repeated key instead of dropping one."""

    def construct_mapping(self, node, deep=False):
        mapping = super().construct_mapping(node, deep)
        pairs = [(self.construct_object(key, deep=True), None)
                 for key, _ in node.value]
        try:
            _unique_keys(pairs)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(
                None, None, str(error), node.start_mark) from None
        return mapping


def read_yaml(path: Path) -> Any:
    """Read a YAML file; ValueError if it is none, repeats a key, or is not
    of plain data."""
    text, loader = read_text(path), None
    try:
        loader = _UniqueKeyLoader(text)
        return loader.get_single_data()
    except yaml.reader.ReaderError as error:
        line = text.count('\n', 0, error.position) + 1
        raise ValueError(f'{path}, line {line}: not valid YAML: it holds the '
                         f'character #x{error.character:04x}') from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f', line {mark.line + 1}' if mark else ''
        raise ValueError(f'{path}{line}: not valid YAML: '
                         f'{error.problem or error.context}') from error
    except RecursionError:
        raise ValueError(f'{path}{_NESTED}') from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError,
            yaml.YAMLError) as error:  # !!int x, !!bool x, 2001-99-99
        raise ValueError(f'{path}: not valid YAML: a value is not of its '
                         f'type ({error})') from error
    finally:
        if loader:
            loader.dispose()


def _unique_keys(pairs: List[Tuple[Any, Any]]) -> Dict[Any, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'key {repeated!r} appears {keys.count(repeated)} '
                         'times; join them into one')
    return result


def write_bytes(path: Union[str, Path], data: Union[bytes, memoryview]
                ) -> None:
    """Write a file so that it appears whole or not at all: a process that is
    killed meanwhile leaves the previous one. Missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name, so that the next run replaces what a killed run
    # left; one process at a time writes a file.
    temporary = path.with_name(f'.{path.name}.tmp')
    try:
        with temporary.open('wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Union[str, Path], text: str) -> None:
    """Write text as UTF-8, as :func:`write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Union[str, Path], value: Any) -> None:
    """Write a value as indented JSON with a line end, as :func:`write_bytes`
    does. What UTF-8 cannot hold (in the name of a file) is escaped."""
    try:
        data = json.dumps(value, indent=1, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        data = json.dumps(value, indent=1).encode()
    write_bytes(path, data + b'\n')


@contextmanager
def temporary_folder(parent: Union[str, Path],
                     prefix: str = '.vifi_clip_') -> Iterator[Path]:
    """Make a folder for unfinished work, with a random name, and remove it at
    the end. What killed processes left beside it goes, too: the system holds
    a lock on a folder for as long as a process lives that uses it."""
    for path in glob.glob(f'{glob.escape(str(Path(parent, prefix)))}'
                          + 8 * '[a-z0-9_]'):  # as mkdtemp draws names
        with suppress(OSError):  # in use, no folder of ours, or no locks here
            lock = _lock(path)
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            lock = _lock(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # another process takes it for left
        except OSError:  # without locks nobody removes what others use
            lock = os.open(os.devnull, os.O_RDONLY)
        if folder.exists():
            break
        os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock(folder: Union[str, Path]) -> int:
    """Lock a folder of this user's, and return the descriptor that holds the
    lock, also in forks; an OSError if that cannot be."""
    if fcntl is None:
        raise OSError('this system has no flock')
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(lock).st_uid != os.geteuid():
            raise PermissionError(f'{folder} belongs to another user')
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


@contextmanager
def replacing(path: Union[str, Path]) -> Iterator[Path]:
    """Yield where to make a file or a folder, which takes the place of
    ``path`` at the end; after an error ``path`` is as it was."""
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path.parent) as folder:
        new, old = folder / path.name, folder / f'{path.name}.old'
        yield new
        if new.is_dir() and path.exists():
            os.replace(path, old)
        try:
            os.replace(new, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise


def sha256_of(path: Union[str, Path]) -> str:
    """Return the SHA-256 digest of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
