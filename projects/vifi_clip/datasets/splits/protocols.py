"""From the videos of a data set to the lists of every protocol."""
from collections import Counter
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from ...errors import UserError
from .draw import draw
from .records import Annotations, Video

# Path and label of each video, in the order of the list.
Rows = List[Tuple[str, int]]
TINY_SHOTS = 150


@dataclass
class Plan:
    """What to make.

    Args:
        halves (tuple, optional): Labels of the base and of the novel classes.
        zero_shot (Sequence): Labels of each zero-shot set.
        zero_shot_part (str): Part that zero-shot lists are made from.
        shots (Sequence[int]): K of the few-shot lists.
        base_shots (Sequence[int]): K of the base lists.
        seeds (Sequence[int]): Seeds of the draws.
        tiny (int): Videos of each class in ``train_tiny.txt``; 0 for none.
    """
    halves: Optional[Tuple[List[int], List[int]]] = None
    zero_shot: Sequence[List[int]] = ()
    zero_shot_part: str = 'val'
    shots: Sequence[int] = ()
    base_shots: Sequence[int] = ()
    seeds: Sequence[int] = ()
    tiny: int = 0


def build(annotations: Annotations, plan: Plan) -> Dict[str, Rows]:
    """Make the lists.

    Args:
        annotations (Annotations): The videos; checked here.
        plan (Plan): What to make. Protocols with labels of their own (base,
            novel, few-shot) use the first split.

    Returns:
        dict[str, list[tuple[str, int]]]: Path and label by file name.

    Raises:
        UserError: If videos are repeated or a class has too few for a draw.
    """
    annotations.check()
    lists: Dict[str, Rows] = {}
    for fold, parts in annotations.folds.items():
        for part in 'train', 'val':
            lists[f'{part}{fold}.txt'] = _rows(parts[part])
    first = next(iter(annotations.folds.values()))
    lists.update(_few_shot(first['train'], annotations.classes, plan))
    if plan.halves:
        lists.update(_base_to_novel(first, annotations.classes, plan))
    for number, labels in enumerate(plan.zero_shot, start=1):
        lists[f'zero_shot_{number}_val.txt'] = _relabelled(
            first[plan.zero_shot_part], labels)
    for name, rows in lists.items():
        if not rows:
            raise UserError(f'{name} would be empty: the annotations hold no '
                            'video of its classes; give the complete files')
    return lists


def absent_classes(annotations: Annotations) -> List[str]:
    """One phrase for each part that lacks videos of some class."""
    found = []
    for fold, parts in annotations.folds.items():
        for part, videos in parts.items():
            there = {video.label for video in videos}
            lacking = [name for label, name in enumerate(annotations.classes)
                       if label not in there]
            if lacking:
                found.append(f'{part}{fold}: {len(lacking)} of '
                             f'{len(annotations.classes)} classes have no '
                             f'video there, {lacking[0]!r} for one')
    return found


def _few_shot(train: List[Video], names: Sequence[str],
              plan: Plan) -> Dict[str, Rows]:
    labels = range(len(names))
    lists = {}
    if plan.tiny:
        lists['train_tiny.txt'] = _draw_each(train, labels, names, plan.tiny,
                                             1, f'--tiny {plan.tiny}')
    for shots in plan.shots:
        for seed in plan.seeds:
            lists[f'few_shot_train_{shots}shot_seed{seed}.txt'] = _draw_each(
                train, labels, names, shots, seed, f'--shots {shots}')
    return lists


def _base_to_novel(parts: Dict[str, List[Video]], names: Sequence[str],
                   plan: Plan) -> Dict[str, Rows]:
    base, novel = plan.halves
    lists = {}
    for shots in plan.base_shots:
        for seed in plan.seeds:
            lists[f'base_train_{shots}shot_seed{seed}.txt'] = _draw_each(
                parts['train'], base, names, shots, seed,
                f'--base-shots {shots}')
    lists['base_val.txt'] = _relabelled(parts['val'], base)
    lists['novel_val.txt'] = _relabelled(parts['val'], novel)
    return lists


def _rows(videos: Sequence[Video]) -> Rows:
    """Sorted, so that the order of the annotations makes no difference."""
    return [(video.path, video.label)
            for video in sorted(videos, key=lambda v: (v.label, v.key))]


def _relabelled(videos: Sequence[Video], labels: Sequence[int]) -> Rows:
    new = {label: i for i, label in enumerate(labels)}
    return _rows([
        video._replace(label=new[video.label]) for video in videos
        if video.label in new
    ])


def _draw_each(videos: Sequence[Video], labels: Sequence[int],
               names: Sequence[str], count: int, seed: int,
               option: str) -> Rows:
    """Draw ``count`` videos of each class; labels count within ``labels``."""
    there = Counter(video.label for video in videos)
    fewest = min(labels, key=lambda label: there[label])
    if there[fewest] < count:
        places = [v.place for v in videos if v.label == fewest]
        where = f'{places[0]}: ' if places else ''
        short = sum(there[label] < count for label in labels)
        raise UserError(
            f'{where}class {names[fewest]!r} has {there[fewest]} training '
            f'videos, but {option} needs {count} ({short} of {len(labels)} '
            f'classes have fewer); ask for at most {there[fewest]}, or give '
            'the complete annotations')
    members: Dict[int, List[Tuple[str, Video]]] = {k: [] for k in labels}
    for video in videos:
        if video.label in members:
            members[video.label].append((video.key, video))
    drawn = [video for label in labels
             for video in draw(members[label], count, seed)]
    return _relabelled(drawn, labels)
