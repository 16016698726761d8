"""Sizes of the paper's data sets as published."""
import re
from dataclasses import dataclass
from typing import Dict, List, Optional

from .findings import Finding
from .lists import VideoList


@dataclass(frozen=True)
class Published:
    """A data set's sizes.

    Args:
        classes (int): Number of classes; 0 where there are none.
        videos (dict[str, int]): Pattern of a list's name (without suffix) to
            number of its videos.
        links_die (bool): Fewer videos are usual. Defaults to False.
        part_classes (dict[str, int]): Pattern of a part to number of its
            classes.
    """

    classes: int
    videos: Dict[str, int]
    links_die: bool = False
    part_classes: Optional[Dict[str, int]] = None


PUBLISHED = {
    # Copies differ, as links to YouTube die: these are the sizes of the one
    # that MMAction2's checkpoints were trained on (its
    # tools/data/kinetics/README.md, "Kinetics400", "Kinetics600").
    'k400':
    Published(400, {'train': 240436, 'val': 19796}, links_die=True),
    # Of the paper's three zero-shot sets, 160 of K600's 220 new classes each.
    'k600':
    Published(600, {'train': 383393, 'val': 27910}, links_die=True,
              part_classes={r'zero_shot_\d': 160}),
    # Kuehne et al., ICCV 2011, and the official split files: in each split 70
    # training and 30 test clips of each of the 51 classes.
    'hmdb51':
    Published(51, {r'train_split\d': 51 * 70, r'val_split\d': 51 * 30}),
    # Lines of the official trainlist0N.txt and testlist0N.txt.
    'ucf101':
    Published(
        101, {
            'train_split1': 9537, 'val_split1': 3783,
            'train_split2': 9586, 'val_split2': 3734,
            'train_split3': 9624, 'val_split3': 3696,
        }),
    # Something-Something V2's official JSON files and its web page.
    'ssv2':
    Published(174, {'train': 168913, 'val': 24777}),
    # "Training-9k" and "1k-A" or "JSFusion" test (Yu et al., ECCV 2018).
    'msrvtt':
    Published(0, {'train_9k': 9000, 'test_JSFUSION': 1000}),
}
ALIASES = {
    'kinetics400': 'k400', 'kinetics600': 'k600', 'hmdb': 'hmdb51',
    'ucf': 'ucf101', 'sthv2': 'ssv2', 'msr-vtt': 'msrvtt',
}


def dataset_name(folder_name: str) -> Optional[str]:
    """The data set that a list folder is named after, if it is a known one."""
    name = folder_name.lower()
    name = ALIASES.get(name, name)
    return name if name in PUBLISHED else None


def compare_counts(dataset: str, lists: List[VideoList]) -> List[Finding]:
    """Compare numbers of lines and of classes with the published ones.

    Args:
        dataset (str): Key in :data:`PUBLISHED`.
        lists (list[VideoList]): Lists of that data set.

    Returns:
        list[Finding]: The differences.
    """
    official = PUBLISHED[dataset]
    found = []
    for item in lists:
        wanted = _match(official.videos, item.path.stem)
        have = len(item.entries)
        if wanted and have != wanted:
            fewer = have < wanted and official.links_die
            found.append(
                Finding('shortfall' if fewer else 'counts', item.name,
                        f'{have} videos, published are {wanted} ({dataset})'))
    for item in {item.class_file: item for item in lists}.values():
        if item.classes is None:
            continue
        wanted = (official.classes if item.part == '' else
                  _match(official.part_classes or {}, item.part))
        if wanted and len(item.classes) != wanted:
            found.append(
                Finding('counts', item.class_file.name,
                        f'{len(item.classes)} classes, published are {wanted} '
                        f'({dataset})'))
    return found


def _match(table: Dict[str, int], name: str) -> Optional[int]:
    for pattern, value in table.items():
        if re.fullmatch(pattern, name):
            return value
    return None
