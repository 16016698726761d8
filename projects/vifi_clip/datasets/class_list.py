"""Class lists and per-class descriptions, read and checked."""
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from ..files import csv_table, holds_control, read_json, read_text, read_yaml

PathLike = Union[str, Path]
_TREES = {'.json': read_json, '.yaml': read_yaml, '.yml': read_yaml}


def read_class_list(path: PathLike) -> List[str]:
    """Read the K class names of a data set, without surrounding spaces; the
    index of a name is its label.

    - ``.txt``: one name per line, the first line is label 0;
    - ``.csv``: header ``id,name``, ids 0..K-1 in any order;
    - ``.json``, ``.yaml``, ``.yml``: a list of names.

    ValueError if the file is malformed or of another kind, lists no class,
    or holds an empty or repeated name.
    """
    path, places = Path(path), None
    suffix = _suffix(path, ('.txt', '.csv', *_TREES))
    if suffix == '.csv':
        names, places = _read_csv(path)
    elif suffix == '.txt':
        # Blank lines at the end are an editor's habit; one in between would
        # shift labels, so it stays and fails the check for empty names.
        # Not splitlines(), which also splits inside names, at '\x85' say.
        text = read_text(path, newline='').replace('\r\n', '\n').rstrip()
        names = text.split('\n') if text else []
        places = [f'line {i}' for i in range(1, len(names) + 1)]
    else:
        names = _TREES[suffix](path)
    return check_class_names(names, str(path), places)


def read_class_descriptions(path: PathLike) -> Dict[str, List[str]]:
    """Read the sentences that describe each class, in the file's order and
    without surrounding spaces, from a ``.json``, ``.yaml`` or ``.yml`` file
    that maps each class name to a list of them.

    ValueError if the file is malformed, a class is repeated or empty, or a
    class has no sentence or an empty one.
    """
    data = _TREES[_suffix(Path(path), _TREES)](Path(path))
    if not isinstance(data, dict):
        raise ValueError(f'{path}: expected a mapping from class name to a '
                         f'list of sentences, got {_kind(data)}')
    for name, sentences in data.items():
        if not is_sentences(sentences):
            raise ValueError(f'{path}: class {name!r}: expected a list of at '
                             f'least one sentence, got {sentences!r}')
    names = check_class_names(list(data), str(path))
    return {name: [text.strip() for text in sentences]
            for name, sentences in zip(names, data.values())}


def is_sentences(value: Any) -> bool:
    """Return whether a value is a list of texts, not empty and none blank."""
    return isinstance(value, list) and bool(value) and all(
        isinstance(text, str) and text.strip() for text in value)


def check_class_names(names: Sequence[str], source: str,
                      places: Optional[Sequence[str]] = None) -> List[str]:
    """Check that names, in label order, can serve as a label set; return them
    without surrounding spaces.

    Messages name the ``source``, and where in it a name stands (``places``,
    by default "item 0", ...). ValueError if there is no name, or one is not a
    string, is empty, holds a line break or control character, or equals an
    earlier one.
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise ValueError(f'{source}: expected a list of class names, got '
                         f'{_kind(names)}')
    if not names:
        raise ValueError(f'{source}: no class names; list at least one')
    places = places or [f'item {i}' for i in range(len(names))]
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
    """Raise ValueError if a class name, which stands at a place, is empty or
    would end a line."""
    if not name:
        raise ValueError(f'{place}: empty class name; give the class a name '
                         'or take the entry out')
    if holds_control(name):
        raise ValueError(f'{place}: class name {name!r} holds a line break or '
                         'control character; is a quote missing?')


def _read_csv(path: Path) -> Tuple[List[str], List[str]]:
    classes: Dict[int, Tuple[str, str]] = {}  # name and place
    for number, row in csv_table(path, ('id', 'name')):
        label, place = row['id'], f'line {number}'
        if not (label.isascii() and label.isdigit()):
            raise ValueError(f'{path}, {place}: id {label!r} is not a whole '
                             'number from 0')
        other = classes.setdefault(int(label), (row['name'], place))[1]
        if other != place:
            raise ValueError(f'{path}: id {label} stands both at {other} and '
                             f'at {place}; each class needs its own id')
    missing = set(range(len(classes))) - set(classes)
    if missing:
        raise ValueError(f'{path}: {len(classes)} classes, so ids must be '
                         f'0..{len(classes) - 1}, but id {min(missing)} is '
                         'missing')
    names, places = zip(*(classes[label] for label in range(len(classes))))
    return list(names), list(places)


def _suffix(path: Path, known: Iterable[str]) -> str:
    suffix = path.suffix.lower()
    if suffix not in known:
        raise ValueError(f'{path}: cannot read a {suffix or "nameless"} file '
                         f'here; use one of {", ".join(known)}')
    return suffix


def _kind(value: Any) -> str:
    return 'nothing' if value is None else f'a {type(value).__name__}'
