"""The base and the novel half of the classes."""
from collections import Counter
from typing import Dict, List, Sequence, Tuple

from projects.vifi_clip.errors import UserError
from .records import Video


def by_frequency(videos: Sequence[Video],
                 num_classes: int) -> Tuple[List[int], List[int]]:
    """The more frequent half of the classes is base.

    Args:
        videos (Sequence[Video]): Training videos.
        num_classes (int): K.

    Returns:
        tuple[list[int], list[int]]: Labels of the base and of the novel
        classes, each ascending. Of equally frequent classes, those of lower
        label are base; base has one class more if K is odd.
    """
    counts = Counter(video.label for video in videos)
    order = sorted(range(num_classes), key=lambda k: (-counts[k], k))
    half = (num_classes + 1) // 2
    return sorted(order[:half]), sorted(order[half:])


def from_lists(classes: Sequence[str], base: Sequence[str],
               novel: Sequence[str],
               source: str) -> Tuple[List[int], List[int]]:
    """Halves that class lists give.

    Args:
        classes (Sequence[str]): All names, in label order.
        base (Sequence[str]): Names of the base classes.
        novel (Sequence[str]): Names of the novel classes.
        source (str): Where the lists come from, for messages.

    Returns:
        tuple[list[int], list[int]]: Labels of the base and of the novel
        classes, in the order of the lists.

    Raises:
        UserError: If the halves overlap, or are not the classes.
    """
    labels: Dict[str, int] = {name: i for i, name in enumerate(classes)}
    both = sorted(set(base) & set(novel))
    if both:
        raise UserError(f'{source}: {both[0]!r} is a base and a novel class; '
                        'take it out of one list')
    for name in (*base, *novel):
        if name not in labels:
            raise UserError(f'{source}: {name!r} is in a half, but not in '
                            'classes.txt; correct the name')
    missing = sorted(set(classes) - set(base) - set(novel))
    if missing:
        raise UserError(f'{source}: {missing[0]!r} is neither a base nor a '
                        'novel class; add it to one list')
    return [labels[name] for name in base], [labels[name] for name in novel]
