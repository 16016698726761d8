"""Checks between lists: leakage, halves, labels that contradict."""
import re
from typing import Dict, List, Sequence, Set, Tuple

from .checks import Videos
from .findings import Finding
from .fingerprint import find_look_alikes
from .lists import Entry, VideoList, may_not_share
from projects.vifi_clip.datasets.naming import UNKNOWN

_UCF_NAME = re.compile(r'(v_\w+_g\d+)_c\d+$')


def content_of(key: str, videos: Videos) -> str:
    """What tells a video's content apart: its digest, or else its path."""
    return videos[key].sha256 or f'path {key}'


def check_between(lists: Sequence[VideoList],
                  videos: Videos) -> List[Finding]:
    """What can be said of lists together.

    Args:
        lists (Sequence[VideoList]): All lists.
        videos (dict[str, Facts]): What is known of each video.

    Returns:
        list[Finding]: Leaks, look-alikes, shared classes, two labels.
    """
    pairs = [(a, b) for a in lists for b in lists if may_not_share(a, b)]
    halves = [(a, b) for a in lists for b in lists
              if (a.part, b.part) == ('base', 'novel')]

    def content(entry):
        return content_of(entry.key, videos)

    return ([_finding('train_test', *both) for both in _shared(pairs, content)]
            + [_finding('base_novel', *both)
               for both in _shared(halves, content)] + _groups(pairs) +
            _shared_classes(halves) + _two_labels(lists) +
            _look_alikes(lists, videos, pairs) + [
                Finding(
                    'not_checked', item.name, 'leakage: its name does not say '
                    'whether it is for training or testing; give it with '
                    '--train or --val')
                for item in lists if item.role == UNKNOWN
            ])


def leaking(lists: Sequence[VideoList], videos: Videos) -> Dict[str, Set[str]]:
    """Contents that each training list must do without, by its name."""
    return {
        a.name: {
            content_of(entry.key, videos)
            for b in lists if may_not_share(a, b) for entry in b.entries
        }
        for a in lists
    }


_Pairs = Sequence[Tuple[VideoList, VideoList]]


def _shared(pairs: _Pairs, identity) -> List[Tuple[List[str], List[str]]]:
    """What both lists of a pair hold: for each identity, keys and places."""
    index = {
        item.name: _by_identity(item, identity)
        for pair in pairs for item in pair
    }
    found: Dict[str, Tuple[Set[str], Dict[str, None]]] = {}
    for a, b in pairs:
        for same in index[a.name].keys() & index[b.name].keys():
            keys, places = found.setdefault(same, (set(), {}))
            for item in a, b:
                for entry in index[item.name][same]:
                    keys.add(entry.key)
                    places[item.place(entry)] = None
    return [(sorted(keys), list(places)) for keys, places in found.values()]


def _by_identity(item: VideoList, identity) -> Dict[str, List[Entry]]:
    index: Dict[str, List[Entry]] = {}
    for entry in item.entries:
        name = identity(entry)
        if name is not None:
            index.setdefault(name, []).append(entry)
    return index


def _finding(check: str, keys: List[str], places: List[str]) -> Finding:
    others = ', '.join(keys[1:])
    detail = f'same content as {others}' if others else 'the same path'
    return Finding(check, keys[0], detail, tuple(places))


def _groups(pairs: _Pairs) -> List[Finding]:

    def group(entry):
        stem = entry.key.rpartition('/')[2].rpartition('.')[0]
        found = _UCF_NAME.match(stem)
        return found and found[1]

    found = []
    for a, b in pairs:
        left, right = _by_identity(a, group), _by_identity(b, group)
        for name in sorted(left.keys() & right.keys()):
            detail = (f'{len(left[name])} clips in {a.name}, '
                      f'{len(right[name])} in {b.name}')
            where = a.place(left[name][0]), b.place(right[name][0])
            found.append(Finding('group_leak', name, detail, where))
    return found


def _shared_classes(halves: _Pairs) -> List[Finding]:
    files = {
        (a.class_file, b.class_file): (a, b)
        for a, b in halves if a.classes and b.classes
    }
    return [
        Finding('shared_class', name, '',
                (a.class_file.name, b.class_file.name))
        for a, b in files.values()
        for name in sorted(set(a.classes) & set(b.classes))
    ]


def _two_labels(lists: Sequence[VideoList]) -> List[Finding]:
    """By name of the class, as labels of base and novel lists restart."""
    seen: Dict[str, Dict[object, List[str]]] = {}
    for item in lists:
        for entry in item.entries:
            meaning = item.meaning(entry.label)
            if meaning is not None:
                known = seen.setdefault(entry.key, {})
                known.setdefault(meaning, []).append(item.place(entry))
    found = []
    for key, meanings in seen.items():
        kinds = _comparable(meanings)
        if len(kinds) > 1:
            detail = ' or '.join(sorted(map(_say, kinds)))
            where = [place for kind in kinds for place in meanings[kind]]
            found.append(Finding('two_labels', key, detail, tuple(where)))
    return found


def _comparable(meanings: Dict[object, List[str]]) -> List[object]:
    """Names can be compared; bare labels only within one part."""
    names = [m for m in meanings if isinstance(m, str)]
    if len(names) > 1:
        return names
    bare: Dict[str, List[object]] = {}
    for meaning in meanings:
        if not isinstance(meaning, str):
            bare.setdefault(meaning[1], []).append(meaning)
    return next((group for group in bare.values() if len(group) > 1), [])


def _say(meaning: object) -> str:
    return meaning if isinstance(meaning, str) else f'label {meaning[0]}'


def _look_alikes(lists: Sequence[VideoList], videos: Videos,
                 pairs: _Pairs) -> List[Finding]:
    # One file for each content: copies are reported as such.
    files = {
        facts.sha256: key for key, facts in sorted(videos.items())
        if facts.prints and facts.seconds
    }
    keys = sorted(files.values())
    groups = find_look_alikes([videos[key].prints for key in keys],
                              [videos[key].seconds for key in keys])
    group_of = {
        videos[keys[i]].sha256: str(number)
        for number, group in enumerate(groups) for i in group
    }

    def group(entry):
        return group_of.get(videos[entry.key].sha256)

    across = _shared(pairs, group)
    within: Dict[Tuple[str, ...], List[str]] = {}
    for item in lists:
        for alike, places in _shared([(item, item)], group):
            within.setdefault(tuple(alike), []).extend(places)
    found = [('train_test_look_alike', *both) for both in across]
    found += [('look_alike', *both) for both in within.items()]
    return [
        Finding(check, alike[0], 'looks like ' + ', '.join(alike[1:]),
                tuple(places)) for check, alike, places in found
        # Those that met in one file alone, or in its copies, are no news.
        if len({videos[key].sha256 for key in alike}) > 1
    ]
