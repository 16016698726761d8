"""Class lists and per-class descriptions, read and checked."""
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

from ..files import csv_rows, holds_control, read_json, read_text, read_yaml

PathLike = Union[str, Path]
# Names, and where each stands ('line 3') for messages.
Placed = Tuple[List[Any], List[str]]


def read_class_list(path: PathLike) -> List[str]:
    """Read the class names of a data set; the index of a name is its label.

    Args:
        path (str | Path): One of

            - ``.txt``: one name per line, the first line is label 0;
            - ``.csv``: header ``id,name``, ids 0..K-1 in any order;
            - ``.json``, ``.yaml``, ``.yml``: a list of names.

    Returns:
        list[str]: The K names, without surrounding spaces.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is malformed or of another kind, lists no
            class, or holds an empty or repeated name.
    """
    names, places = _reader(path, _LIST_READERS)(Path(path))
    return check_class_names(names, str(path), places)


def read_class_descriptions(path: PathLike) -> Dict[str, List[str]]:
    """Read the sentences that describe each class.

    Args:
        path (str | Path): ``.json``, ``.yaml`` or ``.yml`` file that maps
            each class name to a list of sentences.

    Returns:
        dict[str, list[str]]: Sentences by class name, in the file's order,
        without surrounding spaces.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is malformed, a class is repeated or empty,
            or a class has no sentence or an empty one.
    """
    data = _reader(path, _TREE_READERS)(Path(path))
    if not isinstance(data, dict):
        raise ValueError(f'{path}: expected a mapping from class name to a '
                         f'list of sentences, got {_kind(data)}')
    names = check_class_names(list(data), str(path))
    return {
        name: _check_sentences(sentences, f'{path}: class {name!r}')
        for name, sentences in zip(names, data.values())
    }


def check_class_names(names: Sequence[str],
                      source: str,
                      places: Optional[Sequence[str]] = None) -> List[str]:
    """Check that class names can serve as a label set.

    Args:
        names (Sequence[str]): Names in label order.
        source (str): Where they come from, for messages.
        places (Sequence[str], optional): Where each name stands in the
            source. Defaults to "item 0", "item 1", ...

    Returns:
        list[str]: The names without surrounding spaces.

    Raises:
        ValueError: If there is no name, or one is not a string, is empty,
            holds a line break or control character, or equals an earlier one.
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise ValueError(f'{source}: expected a list of class names, got '
                         f'{_kind(names)}')
    if not names:
        raise ValueError(f'{source}: no class names; list at least one')
    if places is None:
        places = [f'item {i}' for i in range(len(names))]
    first_place: Dict[str, str] = {}
    for name, place in zip(names, places):
        if not isinstance(name, str):
            raise ValueError(f'{source}, {place}: class name {name!r} is '
                             f'{_kind(name)}, not text; put it in quotes')
        name = name.strip()
        check_class_name(name, f'{source}, {place}')
        if name in first_place:
            raise ValueError(
                f'{source}: class name {name!r} stands both at '
                f'{first_place[name]} and at {place}; rename one or take it '
                'out (labels after it move up)')
        first_place[name] = place
    return list(first_place)


def check_class_name(name: str, place: str) -> None:
    """Check that a class name can stand in a class list.

    Args:
        name (str): The name, without surrounding spaces.
        place (str): Where it stands, for messages.

    Raises:
        ValueError: If it is empty, or would end a line.
    """
    if not name:
        raise ValueError(f'{place}: empty class name; give the class a name '
                         'or take the entry out')
    if holds_control(name):
        raise ValueError(f'{place}: class name {name!r} holds a line break or '
                         'control character; take it out (a quote is '
                         'missing?)')


def _check_sentences(sentences: Any, where: str) -> List[str]:
    if not isinstance(sentences, list) or not sentences:
        raise ValueError(f'{where}: expected a list of at least one '
                         f'sentence, got {sentences!r}')
    for i, sentence in enumerate(sentences):
        if not isinstance(sentence, str) or not sentence.strip():
            raise ValueError(f'{where}, sentence {i}: expected text, got '
                             f'{sentence!r}; write a sentence or take it out')
    return [sentence.strip() for sentence in sentences]


def _read_txt(path: Path) -> Placed:
    # Blank lines at the end are an editor's habit; one in between would
    # shift labels, so it stays and fails the check for empty names.
    # Not splitlines(), which also splits inside names, at '\x85' say.
    text = read_text(path, newline='').replace('\r\n', '\n').rstrip()
    lines = text.split('\n') if text else []
    return lines, [f'line {i}' for i in range(1, len(lines) + 1)]


def _read_csv(path: Path) -> Placed:
    rows = csv_rows(read_text(path), path)
    header = [column.strip() for column in next(rows, (1, []))[1]]
    if sorted(header) != ['id', 'name']:
        raise ValueError(f'{path}, line 1: the header is {",".join(header)!r}'
                         "; it must be 'id,name'")
    found: Dict[int, Tuple[str, str]] = {}
    for number, row in rows:
        if not ''.join(row).strip():
            continue
        place = f'line {number}'
        label, name = _parse_csv_row(row, header, f'{path}, {place}')
        if label in found:
            raise ValueError(f'{path}: id {label} stands both at '
                             f'{found[label][1]} and at {place}; each class '
                             'needs its own id')
        found[label] = name, place
    _check_ids(found, path)
    placed = [found[label] for label in range(len(found))]
    return [name for name, _ in placed], [place for _, place in placed]


def _parse_csv_row(row: List[str], header: List[str],
                   where: str) -> Tuple[int, str]:
    if len(row) != len(header):
        raise ValueError(
            f'{where}: {len(row)} columns in {",".join(row)!r}, expected 2 '
            '(id,name); a name that holds a comma must stand in "quotes"')
    fields = dict(zip(header, row))
    label = fields['id'].strip()
    if not (label.isascii() and label.isdigit()):
        raise ValueError(f'{where}: id {label!r} is not a whole number from 0')
    return int(label), fields['name']


def _check_ids(found: Dict[int, Tuple[str, str]], path: Path) -> None:
    for label, (name, place) in found.items():
        if label >= len(found):
            missing = min(set(range(len(found))) - set(found))
            raise ValueError(
                f'{path}, {place}: id {label} ({name!r}), but the list has '
                f'{len(found)} classes, so ids must be 0..{len(found) - 1}; '
                f'id {missing} is missing')


def _list_of(read_tree: Callable[[Path], Any]) -> Callable[[Path], Placed]:

    def read(path: Path) -> Placed:
        data = read_tree(path)
        if not isinstance(data, list):
            raise ValueError(f'{path}: expected a list of class names, got '
                             f'{_kind(data)}')
        return data, [f'item {i}' for i in range(len(data))]

    return read


_TREE_READERS = {
    '.json': read_json,
    '.yaml': read_yaml,
    '.yml': read_yaml,
}
_LIST_READERS = {
    '.txt': _read_txt,
    '.csv': _read_csv,
    **{suffix: _list_of(read) for suffix, read in _TREE_READERS.items()},
}


def _reader(path: PathLike, readers: Dict[str, Callable]) -> Callable:
    suffix = Path(path).suffix.lower()
    if suffix not in readers:
        raise ValueError(f'{path}: cannot read a {suffix or "nameless"} file '
                         f'here; use one of {", ".join(readers)}')
    return readers[suffix]


def _kind(value: Any) -> str:
    return 'nothing' if value is None else f'a {type(value).__name__}'
