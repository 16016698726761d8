"""Checks of videos and of single lists."""
from collections import Counter
from typing import Dict, List, Sequence

from .findings import UNUSABLE, Finding
from .lists import VideoList
from projects.vifi_clip.datasets.naming import TRAIN
from .video import Facts

Videos = Dict[str, Facts]  # by Entry.key
_UNBALANCED = 10


def places_of(lists: Sequence[VideoList]) -> Dict[str, List[str]]:
    """Where each video stands, by its key."""
    places: Dict[str, List[str]] = {}
    for item in lists:
        for entry in item.entries:
            places.setdefault(entry.key, []).append(item.place(entry))
    return places


def check_videos(lists: Sequence[VideoList], videos: Videos,
                 min_frames: int) -> List[Finding]:
    """Videos that are unusable or short.

    Args:
        lists (Sequence[VideoList]): The lists that name them.
        videos (dict[str, Facts]): What is known of each.
        min_frames (int): Number of frames below which a video is short.

    Returns:
        list[Finding]: One for each such video.
    """
    places = places_of(lists)
    found = []
    for key, facts in videos.items():
        where = tuple(places[key])
        if facts.status in UNUSABLE:
            found.append(Finding(facts.status, key, facts.detail, where))
            continue
        if facts.damage:
            found.append(Finding('damaged', key, facts.damage, where))
        if facts.frames < min_frames:
            found.append(
                Finding('too_short', key,
                        f'{facts.frames} frames of {min_frames}', where))
    return found


def check_list(item: VideoList, videos: Videos) -> List[Finding]:
    """What can be said of one list.

    Args:
        item (VideoList): The list.
        videos (dict[str, Facts]): What is known of each video.

    Returns:
        list[Finding]: Repeated lines, copies, labels, coverage, captions.
    """
    found = _repeats(item) + _copies(item, videos)
    if item.is_json:
        return found + _captions(item)
    if item.classes is not None:
        found += _labels(item) + _coverage(item, videos)
    return found + _balance(item, videos)


def class_counts(item: VideoList, videos: Videos,
                 usable: bool = False) -> Dict[int, int]:
    """Number of videos by label.

    Args:
        item (VideoList): The list.
        videos (dict[str, Facts]): What is known of each video.
        usable (bool): Count those alone that training can read, each once.
            Defaults to False.

    Returns:
        dict[int, int]: Counts of all labels, those of the class list without
        any video included, ascending by label.
    """
    pairs = [(entry.key, entry.label) for entry in item.entries
             if entry.label is not None]
    if usable:
        pairs = [(key, label) for key, label in dict.fromkeys(pairs)
                 if videos[key].status not in UNUSABLE]
    counts = Counter(label for _, label in pairs)
    labels = set(counts) | set(range(len(item.classes or ())))
    return {label: counts[label] for label in sorted(labels)}


def _repeats(item: VideoList) -> List[Finding]:
    places: Dict[str, List[str]] = {}
    for entry in item.entries:
        places.setdefault(entry.key, []).append(item.place(entry))
    return [
        Finding('repeated_line', key, f'{len(where)} times', tuple(where))
        for key, where in places.items() if len(where) > 1
    ]


def _copies(item: VideoList, videos: Videos) -> List[Finding]:
    same: Dict[str, Dict[str, str]] = {}
    for entry in item.entries:
        digest = videos[entry.key].sha256
        if digest:
            same.setdefault(digest, {}).setdefault(entry.key,
                                                   item.place(entry))
    return [
        Finding('same_bytes', min(group),
                'also ' + ', '.join(sorted(group)[1:]),
                tuple(group.values())) for group in same.values()
        if len(group) > 1
    ]


def _captions(item: VideoList) -> List[Finding]:

    def proper(captions):
        return (isinstance(captions, list) and captions and all(
            isinstance(text, str) and text.strip() for text in captions))

    return [
        Finding('captions', entry.key, f'{entry.source!r:.60}',
                (item.place(entry), )) for entry in item.entries
        if not proper(entry.source)
    ]


def _labels(item: VideoList) -> List[Finding]:
    limit = len(item.classes)
    return [
        Finding(
            'label_range', entry.key,
            f'label {entry.label}, but {item.class_file.name} has {limit} '
            f'classes (0..{limit - 1})', (item.place(entry), ))
        for entry in item.entries
        if entry.label is not None and entry.label >= limit
    ]


def _coverage(item: VideoList, videos: Videos) -> List[Finding]:
    if all(entry.label is None for entry in item.entries):
        return [Finding('not_checked', item.name, 'labels: it has none')]
    named = class_counts(item, videos)
    usable = class_counts(item, videos, usable=True)
    found = []
    for label, name in enumerate(item.classes):
        subject = f'{name} (label {label})'
        if not usable[label]:
            detail = (f'{named[label]} listed, none usable'
                      if named[label] else 'not in the list')
            found.append(Finding('no_video', subject, detail, (item.name, )))
        elif item.shots and item.role == TRAIN and (named[label] !=
                                                    item.shots):
            found.append(
                Finding('shots', subject,
                        f'{named[label]} videos of {item.shots}',
                        (item.name, )))
    return found


def _balance(item: VideoList, videos: Videos) -> List[Finding]:
    counts = [n for n in class_counts(item, videos, usable=True).values() if n]
    if item.role != TRAIN or item.shots or not counts:
        return []
    low, high = min(counts), max(counts)
    if high <= _UNBALANCED * low:
        return []
    return [
        Finding('imbalance', item.name,
                f'{low} to {high} videos a class ({high / low:.0f} times)')
    ]
