"""Checks of videos, of single lists, and between lists."""
import re
from collections import Counter, defaultdict
from itertools import chain
from typing import Any, Callable, Dict, Iterator, List, Sequence, Set, Tuple

from projects.vifi_clip.datasets.class_list import is_sentences
from projects.vifi_clip.datasets.video_list import TRAIN, UNKNOWN

from .findings import UNUSABLE, Finding
from .fingerprint import find_look_alikes
from .lists import Entry, VideoList, may_not_share
from .published import PUBLISHED
from .video import Facts

Videos = Dict[str, Facts]  # by Entry.key
_Pairs = Sequence[Tuple[VideoList, VideoList]]
_UNBALANCED = 10
_UCF_NAME = re.compile(r'(?:^|/)(v_\w+_g\d+)_c\d+\.\w+$')


def all_findings(lists: Sequence[VideoList], videos: Videos,
                 min_frames: int) -> Iterator[Finding]:
    """Run all checks but that of published counts, on lists and what is known
    of each of their videos."""
    pairs = [(a, b) for a in lists for b in lists if may_not_share(a, b)]
    halves = [(a, b) for a in lists for b in lists
              if (a.part, b.part) == ('base', 'novel')]
    yield from _check_videos(lists, videos, min_frames)
    for item in lists:
        yield from _check_list(item, videos)
        yield from _check_classes(item, videos)
    for check, both in ('train_test', pairs), ('base_novel', halves):
        for keys, places in _shared(both, lambda e: content_of(e, videos)):
            others = ', '.join(keys[1:])
            yield Finding(check, keys[0], f'same content as {others}'
                          if others else 'the same path', tuple(places))
    yield from _groups(pairs)
    yield from _shared_classes(halves)
    yield from _two_labels(lists)
    yield from _look_alikes(lists, videos, pairs)


def content_of(entry: Entry, videos: Videos) -> str:
    """Return what tells a video's content apart: its digest, or its path."""
    return videos[entry.key].sha256 or f'path {entry.key}'


def class_counts(item: VideoList, videos: Videos,
                 usable: bool = False) -> Dict[int, int]:
    """Count videos by label, ascending; also labels of the class list without
    any. ``usable``: those alone that training can read, each once."""
    pairs = [(entry.key, entry.label) for entry in item.entries
             if entry.label is not None]
    if usable:
        pairs = [(key, label) for key, label in dict.fromkeys(pairs)
                 if videos[key].status not in UNUSABLE]
    counts = Counter(label for _, label in pairs)
    labels = set(counts) | set(range(len(item.classes or ())))
    return {label: counts[label] for label in sorted(labels)}


def compare_counts(dataset: str, lists: List[VideoList]) -> Iterator[Finding]:
    """Compare numbers of lines and of classes with the published ones."""
    official = PUBLISHED[dataset]

    def expected(table: Dict[str, int], name: str) -> int:
        return next((number for pattern, number in table.items()
                     if re.fullmatch(pattern, name)), 0)

    for item in lists:
        have = len(item.entries)
        number = expected(official.videos, item.path.stem)
        if number not in (0, have):
            fewer = have < number and official.links_die
            yield Finding('shortfall' if fewer else 'counts', item.name,
                          f'{have} videos, published are {number} ({dataset})')
    for item in {item.class_file: item for item in lists}.values():
        number = expected(official.classes, item.part)
        if item.classes is not None and number not in (0, len(item.classes)):
            yield Finding(
                'counts', item.class_file.name, f'{len(item.classes)} '
                f'classes, published are {number} ({dataset})')


def _check_videos(lists: Sequence[VideoList], videos: Videos,
                  min_frames: int) -> Iterator[Finding]:
    places = defaultdict(list)
    for item in lists:
        for entry in item.entries:
            places[entry.key].append(item.place(entry))
    for key, facts in videos.items():
        faults = {}
        if facts.status != 'ok':
            faults[facts.status] = facts.detail
        if facts.status not in UNUSABLE:
            if facts.damage:
                faults['damaged'] = facts.damage
            if facts.frames < min_frames:
                faults['too_short'] = f'{facts.frames} frames of {min_frames}'
        for check, detail in faults.items():
            yield Finding(check, key, detail, tuple(places[key]))


def _check_list(item: VideoList, videos: Videos) -> Iterator[Finding]:
    if item.role == UNKNOWN:
        yield Finding('not_checked', item.name, 'leakage: its name does not '
                      'say whether it is for training or testing; give it '
                      'with --train or --val')
    for key, entries in _by(item, lambda entry: entry.key).items():
        if len(entries) > 1:
            yield Finding('repeated_line', key, f'{len(entries)} times',
                          tuple(map(item.place, entries)))
    for entries in _by(item, lambda e: videos[e.key].sha256).values():
        first = {entry.key: entry for entry in reversed(entries)}
        if len(first) > 1:
            names = sorted(first)
            yield Finding(
                'same_bytes', names[0], 'also ' + ', '.join(names[1:]),
                tuple(item.place(entry) for entry in entries
                      if first[entry.key] is entry))
    for entry in item.entries:
        label, where = entry.label, (item.place(entry), )
        if item.is_json and not is_sentences(entry.source):
            yield Finding('captions', entry.key, f'{entry.source!r:.60}',
                          where)
        if None not in (item.classes, label) and label >= len(item.classes):
            yield Finding(
                'label_range', entry.key, f'label {label}, but '
                f'{item.class_file.name} has {len(item.classes)} classes '
                f'(0..{len(item.classes) - 1})', where)


def _check_classes(item: VideoList, videos: Videos) -> Iterator[Finding]:
    named = class_counts(item, videos)
    usable = class_counts(item, videos, usable=True)
    training = item.role == TRAIN
    if item.classes and all(entry.label is None for entry in item.entries):
        yield Finding('not_checked', item.name, 'labels: it has none')
        return
    for label, name in enumerate(item.classes or ()):
        subject = f'{name} (label {label})'
        number, where = named[label], (item.name, )
        if not usable[label]:
            yield Finding('no_video', subject, f'{number} listed, none usable'
                          if number else 'not in the list', where)
        elif item.shots and training and number != item.shots:
            yield Finding('shots', subject, f'{number} videos of {item.shots}',
                          where)
    counts = [number for number in usable.values() if number]
    if training and not item.shots and counts:
        low, high = min(counts), max(counts)
        if high > _UNBALANCED * low:
            yield Finding('imbalance', item.name, f'{low} to {high} videos a '
                          f'class ({high / low:.0f} times)')


# Between lists


def _by(item: VideoList, identity: Callable[[Entry], Any]
        ) -> Dict[Any, List[Entry]]:
    """Group entries by an identity; those without one are left out."""
    index = defaultdict(list)
    for entry in item.entries:
        name = identity(entry)
        if name is not None:
            index[name].append(entry)
    return index


def _shared(pairs: _Pairs, identity: Callable[[Entry], Any]
            ) -> List[Tuple[List[str], List[str]]]:
    """What both lists of a pair hold: for each identity, keys and places."""
    index = {
        item.name: _by(item, identity) for pair in pairs for item in pair
    }
    shared: Dict[Any, Tuple[Set[str], Dict[str, None]]] = {}
    for a, b in pairs:
        for same in index[a.name].keys() & index[b.name].keys():
            keys, places = shared.setdefault(same, (set(), {}))
            for item in a, b:
                for entry in index[item.name][same]:
                    keys.add(entry.key)
                    places[item.place(entry)] = None
    return [(sorted(keys), list(places)) for keys, places in shared.values()]


def _groups(pairs: _Pairs) -> Iterator[Finding]:
    def group(entry: Entry) -> Any:
        match = _UCF_NAME.search(entry.key)
        return match and match[1]

    for a, b in pairs:
        left, right = _by(a, group), _by(b, group)
        for name in sorted(left.keys() & right.keys()):
            yield Finding(
                'group_leak', name, f'{len(left[name])} clips in {a.name}, '
                f'{len(right[name])} in {b.name}',
                (a.place(left[name][0]), b.place(right[name][0])))


def _shared_classes(halves: _Pairs) -> Iterator[Finding]:
    files = {(a.class_file, b.class_file): (a, b) for a, b in halves}
    for a, b in files.values():
        for name in sorted(set(a.classes or ()) & set(b.classes or ())):
            yield Finding('shared_class', name, '',
                          (a.class_file.name, b.class_file.name))


def _two_labels(lists: Sequence[VideoList]) -> Iterator[Finding]:
    # Names of classes can be compared, as labels of base and novel lists
    # restart; bare labels only within one part.
    seen: dict = defaultdict(lambda: defaultdict(list))
    for item in lists:
        for entry in item.entries:
            label = entry.label
            if label is None or (item.classes and label >= len(item.classes)):
                continue
            scope = None if item.classes else item.part
            seen[entry.key, scope][item.class_name(label)].append(
                item.place(entry))
    for (key, _), names in seen.items():
        if len(names) > 1:
            yield Finding('two_labels', key, ' or '.join(sorted(names)),
                          tuple(chain(*names.values())))


def _look_alikes(lists: Sequence[VideoList], videos: Videos,
                 pairs: _Pairs) -> Iterator[Finding]:
    # One file for each content: copies are reported as such.
    unique = list({facts.sha256: facts for facts in videos.values()
                   if facts.prints and facts.seconds}.values())
    groups = find_look_alikes([facts.prints for facts in unique],
                              [facts.seconds for facts in unique])
    group_of = {unique[i].sha256: number
                for number, group in enumerate(groups) for i in group}

    def group(entry: Entry) -> Any:
        return group_of.get(videos[entry.key].sha256)

    within = defaultdict(list)
    for item in lists:
        for alike, places in _shared([(item, item)], group):
            within[tuple(alike)] += places
    for check, shared in (('train_test_look_alike', _shared(pairs, group)),
                          ('look_alike', within.items())):
        for alike, places in shared:
            # Those that met in one file alone, or in its copies, are no news.
            if len({videos[key].sha256 for key in alike}) > 1:
                yield Finding(check, alike[0], 'looks like ' +
                              ', '.join(alike[1:]), tuple(places))
