"""Class lists, read and checked."""
import re
import unicodedata
import warnings
from pathlib import Path
from typing import (Any, Dict, Iterable, List, NamedTuple, Optional, Sequence,
                    Union)

from ..files import csv_table, holds_control, read_json, read_text, read_yaml
from .path_hints import INVISIBLE

PathLike = Union[str, Path]
_TREES = {'.json': read_json, '.yaml': read_yaml, '.yml': read_yaml}
_QUOTED = re.compile(r'\s*(["\'])((?:(?!\1).)*)\1\s*')
# A number before a name, as in '0 chop', '0,chop', '0: chop'; after one.
_NUMBERED = {
    'before': re.compile(
        r'[\[(]?(?P<id>\d{1,9})(?:\s*[\]).:,;=|]\s*|\s+(?:-\s+)?)'
        r'(?P<name>\S.*)'),
    'after': re.compile(r'(?P<name>.*[^\s:,;=|])'
                        r'(?:\s*[:,;=|]\s*|\s+(?:-\s+)?)(?P<id>\d{1,9})')}
_HEADERS = ('class', 'class name', 'classes', 'label', 'labels', 'name',
            'names')
_QUOTE_IT = 'put the name in "quotes" if this is intended'


class _Entry(NamedTuple):
    """A class name as it stands in a file, and where."""

    name: Any
    place: str


def read_class_list(path: PathLike) -> List[str]:
    """Read the K class names of a data set, in the spelling of
    :func:`clean_class_name`; the index of a name is its label.

    - ``.txt``: one name per line, the first line is label 0; or a running
      number before or behind every name, from 0 or 1, lines in any order;
    - ``.csv``: header ``id,name``, ids 0..K-1 or 1..K in any order;
    - ``.json``, ``.yaml``, ``.yml``: a list of names, or a mapping of ids to
      names or names to ids.

    ValueError if the file is malformed or of another kind, lists no class,
    or holds an empty or repeated name, or several in one place.
    """
    return _checked(read_entries(path), str(path))


def read_entries(path: PathLike) -> List[_Entry]:
    """Read a file of :func:`read_class_list` without a check of its names;
    each comes with its place."""
    path = Path(path)
    suffix = _suffix(path, ('.txt', '.csv', *_TREES))
    if suffix == '.csv':
        rows = [(row['id'], _Entry(row['name'], f'line {number}'))
                for number, row in csv_table(path, ('id', 'name'))]
        return _by_id(rows, str(path))
    if suffix == '.txt':
        return _read_lines(path)
    return _read_tree(_TREES[suffix](path), str(path))


def parse_class_names(text: str, source: str) -> List[str]:
    """Read names with commas between, as those of a ``.txt`` file;
    ``source`` is named in errors."""
    _refuse_trees(text, source)
    return _checked(_without_ids([
        _Entry(name, f'item {i}') for i, name in enumerate(split_names(text))
    ], source), source)


def split_names(text: str) -> List[str]:
    """Split a text at its commas, but those in "quotes"."""
    return re.findall(r'(\s*(?:\d+[\s.:)=|-]*)?"[^"]*"\s*|[^,]*),',
                      f'{text},')


def is_sentences(value: Any) -> bool:
    """Return whether a value is a list of texts, not empty and none blank."""
    return isinstance(value, list) and bool(value) and all(
        isinstance(text, str) and text.strip() for text in value)


def check_class_names(names: Sequence[str], source: str,
                      places: Optional[Sequence[str]] = None) -> List[str]:
    """Check that names, in label order, can serve as a label set; return them
    in the spelling of :func:`clean_class_name`.

    Messages name the ``source``, and where in it a name stands (``places``,
    by default "item 0", ...). ValueError if there is no name, or one is not a
    string, is empty, holds a line break or control character, or equals an
    earlier one. Warns of names that are numbers.
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
            raise ValueError(f'{source}, {place}: class name {name!r:.80} is '
                             f'{_kind(name)}, not text; put it in quotes')
        name = clean_class_name(name, f'{source}, {place}')
        if name in first_place:
            raise ValueError(
                f'{source}: class name {name!r:.200} appears both at '
                f'{first_place[name]} and at {place}; rename one or remove it '
                '(labels after it move up)')
        first_place[name] = place
    _warn_of_numbers(list(first_place))
    return list(first_place)


def clean_class_name(name: str, place: str) -> str:
    """Return a class name in the one spelling in which names are compared:
    Unicode's NFC, single spaces, without spaces or quotes around it and
    without invisible characters. ValueError if nothing is left, or it would
    end a line; ``place`` is where it stands."""
    name = name.strip()
    if holds_control(name):
        raise ValueError(f'{place}: class name {name!r:.200} holds a line '
                         'break or control character; is a quote missing?')
    # The tokenizer does the same, but for the invisible characters.
    name = unicodedata.normalize('NFC', INVISIBLE.sub('', name))
    quoted = _QUOTED.fullmatch(name)
    name = ' '.join((quoted[2] if quoted else name).split())
    if not name:
        raise ValueError(f'{place}: empty class name; give the class a name '
                         'or remove the entry')
    return name


def check_one_class(name: str, place: str) -> None:
    """Raise ValueError if a name out of a file is several, as in
    'lecture;indoor'."""
    sign = re.search('[;|]', name)
    if sign and not _QUOTED.fullmatch(name):
        raise ValueError(
            f'{place}: class name {name!r:.200} holds {sign[0]!r}; several '
            'labels of one video (multi-label lists) are not supported. '
            f'Write one class name there, or {_QUOTE_IT}')


def _checked(entries: Sequence[_Entry], source: str) -> List[str]:
    for name, place in entries:
        if isinstance(name, str):
            check_one_class(name, f'{source}, {place}')
    return check_class_names([entry.name for entry in entries], source,
                             [entry.place for entry in entries])


def _warn_of_numbers(names: Sequence[str]) -> None:
    """Warn of numbers in place of names, or before all of them, where they
    were not taken off."""
    number = next((name for name in names
                   if re.fullmatch(r'[+-]?\d+(\.\d+)?', name)), None)
    if number:
        warnings.warn(f'the class name {number!r} is a number: the model reads'
                      f' "a photo of a {number}"; give words')
    found = list(map(_NUMBERED['before'].fullmatch, names))
    if all(found) and len(found) > 1 and _run([int(m['id']) for m in found]):
        warnings.warn(
            f'all class names begin with a running number, such as '
            f'{names[0]!r}: the model reads it too; leave the numbers out')


def _read_lines(path: Path) -> List[_Entry]:
    # Blank lines at the end are an editor's habit; one in between would
    # shift labels, so it stays and fails the check for empty names.
    # Not splitlines(), which also splits inside names, at '\x85' say.
    text = read_text(path, newline='').replace('\r\n', '\n').rstrip()
    lines = text.split('\n') if text else []
    entries = [_Entry(line, f'line {i}') for i, line in enumerate(lines, 1)]
    for name, place in entries:
        start = name.strip()
        if start.startswith(('#', '//')) or place == 'line 1' and (
                start.replace('_', ' ').casefold() in _HEADERS):
            raise ValueError(
                f'{path}, {place}: {name!r:.200} looks like a comment or a '
                'heading, which would count as a class; remove it, or '
                f'{_QUOTE_IT}')
    _refuse_trees(text, str(path))
    return _without_ids(entries, str(path))


def _refuse_trees(text: str, source: str) -> None:
    """Refuse JSON, YAML and a list of points."""
    if re.match(r'\s*[\[{](\s*["\'\[{\]}]|[\d,\s]*\]$)|---\s', text) or all(
            re.match(r'\s*[-+*\u2022]\s', line) for line in text.split('\n')):
        raise ValueError(f'{source} looks like JSON or YAML; give a file of '
                         'that kind (.json, .yaml), or plain names')


def _read_tree(tree: Any, source: str) -> List[_Entry]:
    """Entries of a list of names, or of a mapping between ids and names."""
    if isinstance(tree, list):
        return [_Entry(name, f'item {i}') for i, name in enumerate(tree)]
    if not isinstance(tree, dict):
        raise ValueError(f'{source}: expected a list of class names, or a '
                         f'mapping of ids and names, got {_kind(tree)}')
    names_first = all(type(value) is int for value in tree.values())
    if all(map(_is_id, tree)) and not names_first:
        pairs = list(tree.items())
    else:
        pairs = [(number, name) for name, number in tree.items()]
        odd = next((pair for pair in pairs if not _is_id(pair[0])), None)
        if odd:
            raise ValueError(
                f'{source}: {odd[1]!r:.80} has {odd[0]!r:.80}, which is not '
                'an id: class lists are lists of names, or dicts of ids and '
                'names: {"0": "chop", "1": "stir"} or {"chop": 0, "stir": 1}')
    return _by_id([(number, _Entry(name, f'item {i}'))
                   for i, (number, name) in enumerate(pairs)], source)


def _is_id(value: Any) -> bool:
    return type(value) is int or isinstance(value, str) and value.isdecimal()


def _by_id(rows: Sequence[tuple], source: str) -> List[_Entry]:
    """Sort entries by their ids, which must be 0..K-1 or 1..K."""
    places: Dict[int, str] = {}
    for text, (_, place) in rows:
        if not re.fullmatch(r'\d{1,9}', str(text)):
            raise ValueError(f'{source}, {place}: id {text!r:.80} is not a '
                             'whole number from 0')
        other = places.setdefault(int(text), place)
        if other != place:
            raise ValueError(f'{source}: id {text} appears both at {other} '
                             f'and at {place}; each class needs its own id')
    if not _run(list(places)):
        count, first = len(places), int(0 not in places)
        missing = min(set(range(first, first + count)) - set(places))
        raise ValueError(f'{source}: {count} classes, so ids must be '
                         f'{first}..{first + count - 1}, but id {missing} is '
                         'missing')
    return [entry for _, entry in sorted(rows, key=lambda row: int(row[0]))]


def _run(ids: Sequence[int]) -> bool:
    """Return whether numbers are 0..K-1 or 1..K, in any order."""
    return sorted(ids) in ([*range(len(ids))], [*range(1, len(ids) + 1)])


def _without_ids(entries: List[_Entry], source: str) -> List[_Entry]:
    """Take a running number before or behind each name for its label.

    Names may hold numbers of their own ('1 on 1', 'level 2'). What looks like
    a numbering and is none all the way is refused.
    """
    only = entries[0].name if len(entries) == 1 else ''
    if re.search('[,\uff0c\u3001]', only) and not _QUOTED.fullmatch(only):
        raise ValueError(f'{source}: {only!r:.80} is one class name; write '
                         f'one per line in a file, or {_QUOTE_IT}')
    for side, pattern in _NUMBERED.items():
        found = {i: match for i, (name, _) in enumerate(entries)
                 if (match := pattern.fullmatch(name.strip()))}
        ids = {i: int(match['id']) for i, match in found.items()}
        names = {match['name'] for match in found.values()}
        if not _is_numbering(ids, len(names), len(entries), side):
            continue
        try:
            if len(ids) < len(entries):
                other = next(i for i in range(len(entries)) if i not in ids)
                raise ValueError(
                    f'{source}, {entries[other].place}: '
                    f'{entries[other].name!r:.80} has no number {side} it, '
                    f'unlike {found[min(found)][0]!r:.80}')
            rows = [(found[i]['id'], _Entry(found[i]['name'], entry.place))
                    for i, entry in enumerate(entries)]
            entries = _by_id(rows, source)
            check_class_names([entry.name for entry in entries], source,
                              [entry.place for entry in entries])
        except ValueError as error:
            raise ValueError(
                f'{error}. Number all names or none, or put names in "quotes" '
                'if numbers belong to them') from error
        warnings.warn(
            f'{source}: the numbers {side} the names are taken for labels, '
            f'{rows[0][0]} for {rows[0][1].name!r:.80}; put the names in '
            '"quotes" if the numbers belong to them')
        break
    return entries


def _is_numbering(ids: Dict[int, int], names: int, count: int,
                  side: str) -> bool:
    """Return whether numbers, by the place of their entry among ``count``,
    look meant as labels; without them there are so many different names."""
    numbers = list(ids.values())
    whole = len(ids) == count
    if not ids or count == 1:
        return False
    if whole and (side == 'before' or names > 1 and _run(numbers)):
        return True
    if names < len(ids):  # as in 'step 1', 'step 2', they tell them apart
        return False
    # how many are that of their place, from 0 or 1, or behind a heading
    steps = [number - i for i, number in ids.items()]
    counted = max(steps.count(step) for step in (-1, 0, 1))
    if counted == len(ids):
        return counted > 1 or 0 in numbers
    if side == 'after':
        return whole and 2 * counted > count
    return 2 * len(ids) > count and min(numbers) < 2 and max(numbers) <= count


def _suffix(path: Path, known: Iterable[str]) -> str:
    suffix = path.suffix.lower()
    if suffix not in known:
        raise ValueError(f'{path}: cannot read a {suffix or "nameless"} file '
                         f'here; use one of {", ".join(known)}')
    return suffix


def _kind(value: Any) -> str:
    return 'nothing' if value is None else f'a {type(value).__name__}'
