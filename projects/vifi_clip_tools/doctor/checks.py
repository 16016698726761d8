"""Checks of videos, of single lists, and between lists."""
import re
from collections import Counter, defaultdict
from typing import Any, Callable, Dict, Iterator, List, Sequence, Set, Tuple

from projects.vifi_clip.datasets.video_list import TRAIN, UNKNOWN

from .findings import UNUSABLE, Finding
from .fingerprint import find_look_alikes
from .lists import Entry, VideoList, may_not_share
from .published import PUBLISHED
from .video import Facts

Videos = Dict[str, Facts]  # by Entry.key
_Pairs = Sequence[Tuple[VideoList, VideoList]]
_UNBALANCED = 10
_UCF_NAME = re.compile(r'(v_\w+_g\d+)_c\d+$')


def all_findings(lists: Sequence[VideoList], videos: Videos,
                 min_frames: int) -> List[Finding]:
    """Run all checks but that of published counts, on lists and what is known
    of each of their videos."""
    pairs = [(a, b) for a in lists for b in lists if may_not_share(a, b)]
    halves = [(a, b) for a in lists for b in lists
              if (a.part, b.part) == ('base', 'novel')]
    findings = [*_check_videos(lists, videos, min_frames)]
    for item in lists:
        findings += _check_list(item, videos)
    for check, both in ('train_test', pairs), ('base_novel', halves):
        for keys, places in _shared(both, lambda e: content_of(e, videos)):
            others = ', '.join(keys[1:])
            findings.append(Finding(
                check, keys[0], f'same content as {others}'
                if others else 'the same path', tuple(places)))
    return [*findings, *_groups(pairs), *_shared_classes(halves),
            *_two_labels(lists), *_look_alikes(lists, videos, pairs)]


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


def compare_counts(dataset: str, lists: List[VideoList]) -> List[Finding]:
    """Compare numbers of lines and of classes with the published ones."""
    official, findings = PUBLISHED[dataset], []

    def expected(table: Dict[str, int], name: str) -> int:
        return next((number for pattern, number in table.items()
                     if re.fullmatch(pattern, name)), 0)

    for item in lists:
        number, have = expected(official.videos, item.path.stem), len(
            item.entries)
        if number and have != number:
            fewer = have < number and official.links_die
            findings.append(Finding(
                'shortfall' if fewer else 'counts', item.name,
                f'{have} videos, published are {number} ({dataset})'))
    for item in {item.class_file: item for item in lists}.values():
        number = expected(official.classes, item.part)
        if item.classes is not None and number not in (0, len(item.classes)):
            findings.append(Finding(
                'counts', item.class_file.name, f'{len(item.classes)} '
                f'classes, published are {number} ({dataset})'))
    return findings


def _check_videos(lists: Sequence[VideoList], videos: Videos,
                  min_frames: int) -> Iterator[Finding]:
    places = defaultdict(list)
    for item in lists:
        for entry in item.entries:
            places[entry.key].append(item.place(entry))
    for key, facts in videos.items():
        where = tuple(places[key])
        if facts.status in UNUSABLE:
            yield Finding(facts.status, key, facts.detail, where)
            continue
        if facts.status == 'not_decord':
            yield Finding(facts.status, key, facts.detail, where)
        if facts.damage:
            yield Finding('damaged', key, facts.damage, where)
        if facts.frames < min_frames:
            yield Finding('too_short', key,
                          f'{facts.frames} frames of {min_frames}', where)


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
        texts, label = entry.source, entry.label
        if item.is_json and (not isinstance(texts, list) or not texts
                             or not all(isinstance(text, str) and text.strip()
                                        for text in texts)):
            yield Finding('captions', entry.key, f'{texts!r:.60}',
                          (item.place(entry), ))
        if None not in (item.classes, label) and label >= len(item.classes):
            yield Finding(
                'label_range', entry.key, f'label {label}, but '
                f'{item.class_file.name} has {len(item.classes)} classes '
                f'(0..{len(item.classes) - 1})', (item.place(entry), ))
    yield from _check_classes(item, videos)


def _check_classes(item: VideoList, videos: Videos) -> Iterator[Finding]:
    named = class_counts(item, videos)
    usable = class_counts(item, videos, usable=True)
    training = item.role == TRAIN
    if item.classes and all(entry.label is None for entry in item.entries):
        yield Finding('not_checked', item.name, 'labels: it has none')
        return
    for label, name in enumerate(item.classes or ()):
        subject = f'{name} (label {label})'
        if not usable[label]:
            yield Finding(
                'no_video', subject, f'{named[label]} listed, none usable'
                if named[label] else 'not in the list', (item.name, ))
        elif item.shots and training and named[label] != item.shots:
            yield Finding('shots', subject,
                          f'{named[label]} videos of {item.shots}',
                          (item.name, ))
    counts = [number for number in usable.values() if number]
    if training and not item.shots and counts:
        low, high = min(counts), max(counts)
        if high > _UNBALANCED * low:
            yield Finding('imbalance', item.name, f'{low} to {high} videos a '
                          f'class ({high / low:.0f} times)')


# Between lists


def _by(item: VideoList, identity: Callable[[Entry], Any]
        ) -> Dict[Any, List[Entry]]:
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
        stem = entry.key.rpartition('/')[2].rpartition('.')[0]
        match = _UCF_NAME.match(stem)
        return match and match[1]

    for a, b in pairs:
        left, right = _by(a, group), _by(b, group)
        for name in sorted(left.keys() & right.keys()):
            yield Finding(
                'group_leak', name, f'{len(left[name])} clips in {a.name}, '
                f'{len(right[name])} in {b.name}',
                (a.place(left[name][0]), b.place(right[name][0])))


def _shared_classes(halves: _Pairs) -> Iterator[Finding]:
    files = {
        (a.class_file, b.class_file): (a, b)
        for a, b in halves if a.classes and b.classes
    }
    for a, b in files.values():
        for name in sorted(set(a.classes) & set(b.classes)):
            yield Finding('shared_class', name, '',
                          (a.class_file.name, b.class_file.name))


def _two_labels(lists: Sequence[VideoList]) -> Iterator[Finding]:
    """By name of the class, as labels of base and novel lists restart."""
    seen: Dict[str, Dict[Any, List[str]]] = defaultdict(
        lambda: defaultdict(list))
    for item in lists:
        for entry in item.entries:
            meaning = item.meaning(entry.label)
            if meaning is not None:
                seen[entry.key][meaning].append(item.place(entry))
    for key, meanings in seen.items():
        # Names can be compared; bare labels only within one part.
        kinds = defaultdict(list)
        for meaning in meanings:
            kinds['' if isinstance(meaning, str) else (meaning[1], )].append(
                meaning)
        named = kinds.pop('', [])
        group = next((group for group in (named, *kinds.values())
                      if len(group) > 1), [])
        if group:
            words = [m if isinstance(m, str) else f'label {m[0]}'
                     for m in group]
            places = [place for m in group for place in meanings[m]]
            yield Finding('two_labels', key, ' or '.join(sorted(words)),
                          tuple(places))


def _look_alikes(lists: Sequence[VideoList], videos: Videos,
                 pairs: _Pairs) -> Iterator[Finding]:
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
