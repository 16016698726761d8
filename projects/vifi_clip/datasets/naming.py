"""What the names of files in a list folder say about them."""
import re
from pathlib import Path
from typing import List, Optional, Tuple

from ..errors import UserError

TRAIN, TEST, UNKNOWN = 'train', 'test', 'unknown'
_TEST_WORDS = ('val', 'valid', 'validation', 'eval', 'test', 'testlist')
_TRAIN_WORDS = ('train', 'training', 'trainlist')


def role_of(path: Path) -> Optional[str]:
    """'train' or 'test' as the file's name says; None if it does not."""
    words = re.findall('[a-z]+', path.stem.lower())
    train = any(word in _TRAIN_WORDS for word in words)
    test = any(word in _TEST_WORDS for word in words)
    return None if train == test else TRAIN if train else TEST


def find_lists(folder: Path) -> Tuple[List[Path], List[str]]:
    """The lists in a folder, by their names.

    Args:
        folder (Path): List folder, such as ``data_splits/ucf101``.

    Returns:
        tuple[list[Path], list[str]]: Lists, and names of text and JSON files
        that are neither lists nor class lists.

    Raises:
        UserError: If there is no list.
    """
    found, others = [], []
    for path in sorted(folder.iterdir()):
        if path.suffix not in ('.txt', '.json') or not path.is_file():
            continue
        if _is_class_list(path) or path.name == 'manifest.json':
            continue
        (found if role_of(path) else others).append(path)
    if not found:
        raise UserError(
            f'{folder}: no list of videos in it; expected names such as '
            'train.txt, val.txt or val_split1.txt (tools/make_splits.py '
            'writes them); files with other names go to --train or --val')
    return found, [path.name for path in others]


def class_lists_in(folder: Path) -> List[Path]:
    """The class lists in a folder, ascending by name."""
    return sorted(path for path in folder.iterdir() if _is_class_list(path))


def _is_class_list(path: Path) -> bool:
    return path.suffix == '.txt' and 'classes' in re.findall(
        '[a-z]+', path.stem.lower())


def split_of(stem: str) -> Optional[int]:
    """Number of the split that a list belongs to, where it says so."""
    found = re.search(r'(?:split_?|(?:train|test)list)0*(\d+)', stem)
    return int(found[1]) if found else None


def prefix_of(stem: str) -> str:
    """What stands before 'train' or 'val': 'base', 'zero_shot_1', ''."""
    words = '|'.join(_TRAIN_WORDS + _TEST_WORDS)
    return re.split(rf'(?:^|_)(?:{words})(?![a-z])', stem)[0]


def _has_own_labels(prefix: str) -> bool:
    """Whether labels count within a part of the classes."""
    return bool(re.fullmatch(r'base|novel|zero_shot(_\d+)?', prefix))


def class_file_of(path: Path, prefix: str) -> Optional[Path]:
    """The class list beside a list; None if there is none."""
    names = [f'{prefix}_classes.txt'] if prefix else []
    if prefix == 'few_shot':  # the small world's are over its target set
        names.append('target_classes.txt')
    if not _has_own_labels(prefix):
        names.append('classes.txt')
    files = [path.with_name(name) for name in names]
    return next((file for file in files if file.is_file()), None)


def part_of(prefix: str, class_file: Optional[Path]) -> str:
    """Which classes a list's labels count: 'base', ...; '' for all."""
    if _has_own_labels(prefix):
        return prefix
    own = class_file and class_file.name.endswith('_classes.txt')
    return class_file.name[:-len('_classes.txt')] if own else ''
