"""Checks of videos, of single lists, and between lists."""
import re
from collections import Counter, defaultdict
from itertools import chain
from operator import attrgetter
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

from projects.vifi_clip.datasets.class_list import is_sentences
from projects.vifi_clip.datasets.video_list import TRAIN, UNKNOWN

from .findings import Finding
from .lists import Entry, VideoList, may_not_share
from .published import PUBLISHED
from .video import Facts, find_look_alikes

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
    for a, b in halves:
        for name in set(a.classes or ()) & set(b.classes or ()):
            yield Finding('shared_class', name, '',
                          (a.class_file.name, b.class_file.name))
    yield from _groups(pairs)
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
                 if videos[key].status == 'ok']
    counts = Counter(label for _, label in pairs)
    labels = set(counts) | set(range(len(item.classes or ())))
    return {label: counts[label] for label in sorted(labels)}


def compare_counts(dataset: str, lists: List[VideoList]) -> Iterator[Finding]:
    """Compare numbers of lines and of classes with the published ones."""
    official = PUBLISHED[dataset]
    sizes = [(item.name, 'videos', len(item.entries), official.videos,
              item.path.stem) for item in lists]
    sizes += [(item.class_file.name, 'classes', len(item.classes),
               official.classes, item.part) for item in lists if item.classes]
    for subject, kind, have, table, name in sizes:
        for pattern, number in table.items():
            if re.fullmatch(pattern, name) and have != number:
                fewer = (kind == 'videos' and have < number
                         and official.links_die)
                yield Finding(
                    'shortfall' if fewer else 'counts', subject,
                    f'{have} {kind}, published are {number} ({dataset})')


def _check_videos(lists: Sequence[VideoList], videos: Videos,
                  min_frames: int) -> Iterator[Finding]:
    entries = _by(lists, attrgetter('key'))
    for key, facts in videos.items():
        places = tuple(entry.place for entry in entries[key])
        if facts.status != 'ok':
            yield Finding(facts.status, key, facts.detail, places)
        elif facts.frames < min_frames:
            yield Finding('too_short', key,
                          f'{facts.frames} frames of {min_frames}', places)
        if facts.damage:
            yield Finding('damaged', key, facts.damage, places)


def _check_list(item: VideoList, videos: Videos) -> Iterator[Finding]:
    if item.role == UNKNOWN:
        yield Finding('not_checked', item.name, 'leakage: its name does not '
                      'say whether it is for training or testing; give it '
                      'with --train or --val')
    for key, entries in _by([item], attrgetter('key')).items():
        if len(entries) > 1:
            yield Finding('repeated_line', key, f'{len(entries)} times',
                          tuple(entry.place for entry in entries))
    for entries in _by([item], lambda e: videos[e.key].sha256).values():
        first: Dict[str, str] = {}
        for entry in entries:
            first.setdefault(entry.key, entry.place)
        if len(first) > 1:
            name, *others = sorted(first)
            yield Finding('same_bytes', name, 'also ' + ', '.join(others),
                          tuple(first.values()))
    for entry in item.entries:
        label, where = entry.label, (entry.place, )
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
        subject, where = f'{name} (label {label})', (item.name, )
        number = named[label]
        if not usable[label]:
            yield Finding('no_video', subject, f'{number} listed, none usable'
                          if number else 'not in the list', where)
        elif item.shots and training and number != item.shots:
            yield Finding('shots', subject, f'{number} videos of {item.shots}',
                          where)
    counts = [number for number in usable.values() if number] or [0]
    low, high = min(counts), max(counts)
    if training and not item.shots and high > _UNBALANCED * low:
        yield Finding('imbalance', item.name, f'{low} to {high} videos a '
                      f'class ({high / low:.0f} times)')


# Between lists


def _by(lists: Sequence[VideoList], identity: Callable[[Entry], Any]
        ) -> Dict[Any, List[Entry]]:
    """Group entries by an identity; those without one are left out."""
    index = defaultdict(list)
    for entry in chain(*(item.entries for item in lists)):
        index[identity(entry)].append(entry)
    index.pop(None, None)
    return index


def _shared(pairs: _Pairs, identity: Callable[[Entry], Any]
            ) -> List[Tuple[List[str], List[str]]]:
    """Return what both lists of a pair hold: keys and places of each identity.
    """
    index = {item.name: _by([item], identity) for item in chain(*pairs)}
    shared: dict = defaultdict(dict)  # key by place
    for a, b in pairs:
        left, right = index[a.name], index[b.name]
        for same in left.keys() & right.keys():
            shared[same].update((entry.place, entry.key)
                                for entry in left[same] + right[same])
    return [(sorted(set(keys.values())), list(keys))
            for keys in shared.values()]


def _groups(pairs: _Pairs) -> Iterator[Finding]:
    def group(entry: Entry) -> Any:
        match = _UCF_NAME.search(entry.key)
        return match and match[1]

    for a, b in pairs:
        left, right = _by([a], group), _by([b], group)
        for name in left.keys() & right.keys():
            yield Finding(
                'group_leak', name, f'{len(left[name])} clips in {a.name}, '
                f'{len(right[name])} in {b.name}',
                (left[name][0].place, right[name][0].place))


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
            seen[entry.key, scope][item.class_name(label)].append(entry.place)
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
