"""From the videos of a data set to the lists of every protocol."""
import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple, TypeVar

from projects.vifi_clip.errors import UserError
from .records import Annotations, Video, check_paths

Item = TypeVar('Item')
# Path and label of each video, in the order of the list.
Rows = List[Tuple[str, int]]
Halves = Tuple[Sequence[int], Sequence[int]]


def draw(items: Sequence[Tuple[str, Item]], count: int,
         seed: int) -> List[Item]:
    """Draw ``count`` items; a smaller draw is part of a larger one.

    Ordering by a hash needs no random generator, whose streams may change
    from one release of a library to the next, and the order of the items
    makes no difference.

    Args:
        items (Sequence[tuple[str, Item]]): Distinct keys, and what they
            stand for. What is drawn is in the order of the keys.
        count (int): How many to draw; all, if there are fewer.
        seed (int): Draws of different seeds are independent.
    """
    def order(item):
        return hashlib.sha256(f'{seed} {item[0]}'.encode()).digest()

    drawn = sorted(items, key=order)[:count]
    return [value for _, value in sorted(drawn, key=lambda item: item[0])]


def by_frequency(videos: Sequence[Video], num_classes: int) -> Halves:
    """Make the more frequent half of the classes, in training videos, base.

    Of equally frequent classes, those of lower label are base; base has one
    class more if their number is odd. Labels ascend.
    """
    counts = Counter(video.label for video in videos)
    order = sorted(range(num_classes), key=lambda k: (-counts[k], k))
    half = (num_classes + 1) // 2
    return sorted(order[:half]), sorted(order[half:])


def from_lists(classes: Sequence[str], base: Sequence[str],
               novel: Sequence[str], source: str) -> Halves:
    """Take the halves, in order, from lists of names; ``source`` is where
    these come from."""
    labels: Dict[str, int] = {name: i for i, name in enumerate(classes)}
    for wrong, problem in (
            (set(base) & set(novel), 'is a base and a novel class; remove it '
             'from one list'),
            ({*base, *novel} - set(classes), 'is in a half, but not in '
             'classes.txt; correct the name'),
            (set(classes) - set(base) - set(novel), 'is neither a base nor a '
             'novel class; add it to one list')):
        if wrong:
            raise UserError(f'{source}: {min(wrong)!r} {problem}')
    return [labels[name] for name in base], [labels[name] for name in novel]


@dataclass
class Plan:
    """What to make."""

    halves: Halves = ((), ())  # labels of base and of novel classes
    zero_shot: Sequence[List[int]] = ()  # labels of each zero-shot set
    zero_shot_part: str = 'val'  # that zero-shot lists are made from
    shots: Sequence[int] = ()  # K of the few-shot lists
    base_shots: Sequence[int] = ()  # K of the base lists
    seeds: Sequence[int] = ()
    tiny: int = 0  # videos of each class in train_tiny.txt; 0 for no list


def build(source: Annotations, plan: Plan) -> Dict[str, Rows]:
    """Make the lists by file name, from videos that were checked. Protocols
    with labels of their own (base, novel, few-shot) use the first split."""
    lists: Dict[str, Rows] = {}
    for fold, parts in source.folds.items():
        # Of all parts: one path must not be trained and tested on.
        check_paths(video for videos in parts.values() for video in videos)
        for part in 'train', 'val':
            lists[f'{part}{fold}.txt'] = _rows(parts[part])
    parts = next(iter(source.folds.values()))
    classes = range(len(source.classes))
    draws = [('train_tiny.txt', classes, '--tiny', plan.tiny, 1)
             ] if plan.tiny else []
    for name, labels, option, all_shots in (
            ('few_shot', classes, '--shots', plan.shots),
            ('base', plan.halves[0], '--base-shots', plan.base_shots)):
        draws += [(f'{name}_train_{shots}shot_seed{seed}.txt', labels, option,
                   shots, seed) for shots in all_shots for seed in plan.seeds]
    for name, *draw_of in draws:
        lists[name] = _draw_each(parts['train'], source, *draw_of)
    for half, labels in zip(('base', 'novel'), plan.halves):
        if labels:
            lists[f'{half}_val.txt'] = _relabelled(parts['val'], labels)
    for number, labels in enumerate(plan.zero_shot, start=1):
        lists[f'zero_shot_{number}_val.txt'] = _relabelled(
            parts[plan.zero_shot_part], labels)
    for name, rows in lists.items():
        if not rows:
            raise UserError(
                f'{source.names()}: {name} would be empty: no val video of '
                'its classes; move some of their videos to val, or choose '
                'other halves')
    return lists


def absent_classes(annotations: Annotations) -> List[str]:
    """Name each part that lacks videos of some class, one phrase each."""
    phrases = []
    for fold, parts in annotations.folds.items():
        for part, videos in parts.items():
            there = {video.label for video in videos}
            lacking = [name for label, name in enumerate(annotations.classes)
                       if label not in there]
            if lacking:
                phrases.append(f'{part}{fold}: {len(lacking)} of '
                               f'{len(annotations.classes)} classes have no '
                               f'video there, such as {lacking[0]!r}')
    return phrases


def _rows(videos: Sequence[Video]) -> Rows:
    """Sorted, so that the order of the annotations makes no difference."""
    return [(video.path, video.label)
            for video in sorted(videos, key=lambda v: (v.label, v.key))]


def _relabelled(videos: Sequence[Video], labels: Sequence[int]) -> Rows:
    """Rows of the videos of some classes; labels count within these."""
    new = {label: i for i, label in enumerate(labels)}
    return _rows([video._replace(label=new[video.label]) for video in videos
                  if video.label in new])


def _draw_each(videos: Sequence[Video], source: Annotations,
               labels: Sequence[int], option: str, count: int,
               seed: int) -> Rows:
    """Draw ``count`` videos of each class; labels count within ``labels``."""
    members: Dict[int, List[Tuple[str, Video]]] = {k: [] for k in labels}
    for video in videos:
        if video.label in members:
            members[video.label].append((video.key, video))
    fewest = min(labels, key=lambda label: len(members[label]))
    there = len(members[fewest])
    if there < count:
        held = sum(video.label == fewest for video in
                   next(iter(source.folds.values()))['val'])
        raise UserError(
            f'{source.names()}: class {source.classes[fewest]!r} has {there} '
            f'training videos (and {held} for validation), too few for '
            f'{option} {count}; ask for at most {there}, or add videos')
    drawn = [video for label in labels
             for video in draw(members[label], count, seed)]
    return _relabelled(drawn, labels)
