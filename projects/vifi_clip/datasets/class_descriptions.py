"""Sentences that describe classes: read from files, and found by class names.

A language model wrote them beforehand, as "Brush hair: A person is using a
brush to style their hair".
"""
import difflib
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import (Dict, List, Mapping, NamedTuple, Optional, Sequence,
                    Union)

from ..files import read_json, read_yaml
from .class_list import (PathLike, check_class_names, is_sentences,
                         read_entries)

_TREES = {'.json': read_json, '.yaml': read_yaml, '.yml': read_yaml}
_NEAR = 0.9  # difflib's ratio of "driving a car" and "driving car" is 0.95
Descriptions = Dict[str, List[str]]  # sentences by name of class


class Description(NamedTuple):
    """What a file says of a class, and where."""

    name: Union[str, int]  # its name, '' if there is none, or its id
    texts: List[str]
    place: str


def read_class_descriptions(path: PathLike,
                            names: Optional[Sequence[str]] = None
                            ) -> Descriptions:
    """Read the sentences that describe each class, in the file's order.

    - A class list (:func:`read_class_list`) of "Name: A person ...", as the
      JSON of FROSTER and TC-CLIP and the CSV of TACO; the sentence is all of
      it, with the name.
    - ``.json``, ``.yaml``, ``.yml``: a mapping of names to a sentence or a
      list of sentences; or, as OST's, of ids to lists. That names no class,
      and is for the class list ``names`` alone.

    ValueError if the file is malformed, a class is repeated or empty, has no
    sentence, or an entry of a class list has no ":".
    """
    entries = read_descriptions(path)
    if all(type(entry.name) is int for entry in entries):
        if sorted(entry.name for entry in entries) != [
                *range(len(names or ()))]:
            raise ValueError(
                f'{path} describes {len(entries)} classes by ids alone; they '
                f'must be those of the class list, 0..{len(names or ()) - 1}')
        entries = [entry._replace(name=names[entry.name])
                   for entry in entries]
    for name, texts, place in entries:
        if name == '':
            raise ValueError(f'{path}, {place}: {texts[0]!r:.80} is not a name'
                             ', ":" and a sentence: "Name: A person ..."')
    found = check_class_names([entry.name for entry in entries], str(path),
                              [entry.place for entry in entries])
    return {name: [text.strip() for text in entry.texts]
            for name, entry in zip(found, entries)}


def read_descriptions(path: PathLike) -> List[Description]:
    """Read a file of :func:`read_class_descriptions` as it is: names are
    repeated, or '' where the form is another."""
    path = Path(path)
    read = _TREES.get(path.suffix.lower())
    tree = read(path) if read else None
    ids = isinstance(tree, dict) and all(str(k).isdecimal() for k in tree)
    if not isinstance(tree, dict) or ids and not any(
            isinstance(texts, list) for texts in tree.values()):
        return [_split(str(text), place) for text, place in read_entries(path)]
    names = tree if ids else check_class_names(list(tree), str(path))
    entries = []
    for i, (name, texts) in enumerate(zip(names, tree.values())):
        texts = [texts] if isinstance(texts, str) else texts
        if not is_sentences(texts):
            raise ValueError(f'{path}: class {name!r:.80}: expected a list of '
                             f'at least one sentence, got {texts!r:.80}')
        entries.append(
            Description(int(name) if ids else name, texts, f'item {i}'))
    return entries


def _split(text: str, place: str) -> Description:
    name, _, sentence = text.partition(':')
    return Description(name.strip() if sentence.strip() else '', [text], place)


def find_descriptions(files: Mapping[str, Descriptions],
                      names: Sequence[str]) -> List[List[str]]:
    """Find the sentences of the classes ``names``, in their order, in the
    first of ``files`` (by path) that describes all of them.

    Case, underscores, spaces and signs do not count. A class that is not
    found takes the one description of no other class that is spelt nearly so,
    with a warning. ValueError names the class that no file has.
    """
    matches: Dict[str, List[Optional[str]]] = {}
    for path in files:
        matches[path] = match_names(names, list(files[path]))
        if None not in matches[path]:
            break
    path, found = min(matches.items(), key=lambda item: item[1].count(None))
    described = files[path]
    if None in found:
        label = found.index(None)
        keys = {_key(name): name for name in described}
        near = difflib.get_close_matches(_key(names[label]), keys, 1)
        raise ValueError(
            f'No description for class {names[label]!r} (label {label}); '
            f'{path} has {len(described)} classes' +
            (f', and {keys[near[0]]!r} is near' if near else '') +
            ': add it, or name it like the class')
    other = [f'{theirs!r} for {ours!r}' for ours, theirs in zip(names, found)
             if _key(ours) != _key(theirs)]
    if other:
        warnings.warn(f'{path}: matched with nearly the same name: '
                      f'{", ".join(other)}')
    return [described[name] for name in found]


def match_names(names: Sequence[str],
                described: Sequence[str]) -> List[Optional[str]]:
    """Find for each class the name in a file that is meant, as
    :func:`find_descriptions` says; None where there is none."""
    keys = Counter(map(_key, described))
    by_key = {_key(name): name for name in described if keys[_key(name)] == 1}
    found = [name if name in described else by_key.get(_key(name))
             for name in names]
    left = [name for name in described if name not in found]
    for label in [i for i, name in enumerate(found) if name is None]:
        spelt = [_key(name) for name in left]
        near = difflib.get_close_matches(_key(names[label]), spelt, 2, _NEAR)
        if len(near) == 1:
            found[label] = left.pop(spelt.index(near[0]))
    return found


def spoken_name(name: str, sentence: str) -> str:
    """Return how a class is called in its sentence, before the ':': 'Band
    Marching' for 'BandMarching'; its own name where it is not there."""
    start, colon, _ = sentence.partition(':')
    same = colon and difflib.get_close_matches(
        _key(start), [_key(name)], cutoff=_NEAR)
    return start.strip() if same else name.replace('_', ' ')


def _key(name: str) -> str:
    return re.sub(r'[\W_]+', '', name).casefold() or name
