"""From the videos of a data set to the lists of every protocol."""
from collections import Counter
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from projects.vifi_clip.errors import UserError
from .draw import draw
from .layout import check_paths
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
        # Of all parts: one path must not be trained and tested on.
        check_paths(video for videos in parts.values() for video in videos)
        for part in 'train', 'val':
            lists[f'{part}{fold}.txt'] = _rows(parts[part])
    first = next(iter(annotations.folds.values()))
    lists.update(_few_shot(first['train'], annotations, plan))
    if plan.halves:
        lists.update(_base_to_novel(first, annotations, plan))
    for number, labels in enumerate(plan.zero_shot, start=1):
        lists[f'zero_shot_{number}_val.txt'] = _relabelled(
            first[plan.zero_shot_part], labels)
    for name, rows in lists.items():
        if not rows:
            raise UserError(
                f'{annotations.names()}: {name} would be empty: no val video '
                f'of {_classes_of(name, annotations.classes, plan)}; '
                + ('move some of their videos to val (column "split"), or '
                   'choose other halves' if annotations.class_source else
                   'give the complete official files'))
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


def _classes_of(name: str, names: Sequence[str], plan: Plan) -> str:
    labels = range(len(names))
    if plan.halves and name.startswith(('base', 'novel')):
        labels = plan.halves[name.startswith('novel')]
    elif name.startswith('zero_shot'):
        labels = plan.zero_shot[int(name.split('_')[2]) - 1]
    shown = ', '.join(repr(names[label]) for label in list(labels)[:5])
    return f'its {len(labels)} classes ({shown}{", ..." * (len(labels) > 5)})'


def _few_shot(train: List[Video], source: Annotations,
              plan: Plan) -> Dict[str, Rows]:
    labels = range(len(source.classes))
    lists = {}
    if plan.tiny:
        lists['train_tiny.txt'] = _draw_each(train, labels, source,
                                             plan.tiny, 1,
                                             f'--tiny {plan.tiny}')
    for shots in plan.shots:
        for seed in plan.seeds:
            lists[f'few_shot_train_{shots}shot_seed{seed}.txt'] = _draw_each(
                train, labels, source, shots, seed, f'--shots {shots}')
    return lists


def _base_to_novel(parts: Dict[str, List[Video]], source: Annotations,
                   plan: Plan) -> Dict[str, Rows]:
    base, novel = plan.halves
    lists = {}
    for shots in plan.base_shots:
        for seed in plan.seeds:
            lists[f'base_train_{shots}shot_seed{seed}.txt'] = _draw_each(
                parts['train'], base, source, shots, seed,
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
               source: Annotations, count: int, seed: int,
               option: str) -> Rows:
    """Draw ``count`` videos of each class; labels count within ``labels``."""
    there = Counter(video.label for video in videos)
    fewest = min(labels, key=lambda label: there[label])
    if there[fewest] < count:
        places = [v.place for v in videos if v.label == fewest]
        short = sum(there[label] < count for label in labels)
        if places:
            remedy = (f'ask for at most {there[fewest]}, or give the complete '
                      'annotations')
        elif source.class_source:
            remedy = ('add training videos of it, or take the class out of '
                      f'{source.class_source}')
        else:
            remedy = 'give the complete official files'
        raise UserError(
            f'{places[0] if places else source.names()}: class '
            f'{source.classes[fewest]!r} has {there[fewest]} training videos, '
            f'but {option} needs {count} ({short} of {len(labels)} classes '
            f'have fewer); {remedy}')
    members: Dict[int, List[Tuple[str, Video]]] = {k: [] for k in labels}
    for video in videos:
        if video.label in members:
            members[video.label].append((video.key, video))
    drawn = [video for label in labels
             for video in draw(members[label], count, seed)]
    return _relabelled(drawn, labels)
