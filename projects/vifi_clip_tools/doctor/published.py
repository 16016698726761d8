"""Sizes of the paper's data sets as published.

Patterns of names of lists (without suffix) to numbers of videos, and of parts
to numbers of classes; '' is the whole.
"""
from typing import Dict, NamedTuple, Optional


class Published(NamedTuple):
    """A data set's sizes; ``links_die``: fewer videos are usual."""

    videos: Dict[str, int]
    classes: Dict[str, int]
    links_die: bool = False


PUBLISHED = {
    # Copies differ, as links to YouTube die: these are the sizes of the one
    # that MMAction2's checkpoints were trained on (its
    # tools/data/kinetics/README.md, "Kinetics400", "Kinetics600").
    'k400': Published({'train': 240436, 'val': 19796}, {'': 400}, True),
    # Of the paper's three zero-shot sets, 160 of K600's 220 new classes each.
    'k600': Published({'train': 383393, 'val': 27910},
                      {'': 600, r'zero_shot_\d': 160}, True),
    # Kuehne et al., ICCV 2011, and the official split files: in each split 70
    # training and 30 test clips of each of the 51 classes.
    'hmdb51': Published({r'train_split\d': 51 * 70, r'val_split\d': 51 * 30},
                        {'': 51}),
    # Lines of the official trainlist0N.txt and testlist0N.txt.
    'ucf101': Published({'train_split1': 9537, 'val_split1': 3783,
                         'train_split2': 9586, 'val_split2': 3734,
                         'train_split3': 9624, 'val_split3': 3696},
                        {'': 101}),
    # Something-Something V2's official JSON files and its web page.
    'ssv2': Published({'train': 168913, 'val': 24777}, {'': 174}),
    # "Training-9k" and "1k-A" or "JSFusion" test (Yu et al., ECCV 2018).
    'msrvtt': Published({'train_9k': 9000, 'test_JSFUSION': 1000}, {}),
}
_ALIASES = {
    'kinetics400': 'k400', 'kinetics600': 'k600', 'hmdb': 'hmdb51',
    'ucf': 'ucf101', 'sthv2': 'ssv2', 'msr-vtt': 'msrvtt',
}


def dataset_name(folder: str) -> Optional[str]:
    """Return the known data set that a list folder is named after, if any."""
    name = _ALIASES.get(folder.lower(), folder.lower())
    return name if name in PUBLISHED else None
