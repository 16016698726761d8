"""Where the paper's released lists are, and what each one is."""
from dataclasses import dataclass
from typing import Dict, List, Optional

SHOTS = (2, 4, 8, 16)


@dataclass(frozen=True)
class ReleasedList:
    """One released list.

    Args:
        source (str): Path below ``datasets_splits/``.
        name (str): The name that we give it.
        classes (str): Class list that its labels count in.
        part (str): 'train' or 'val'.
        shots (int, optional): Videos of each class.
    """
    source: str
    name: str
    classes: str = 'classes.txt'
    part: str = 'val'
    shots: Optional[int] = None


@dataclass(frozen=True)
class Release:
    """What was released for a data set.

    Args:
        lists (list[ReleasedList]): Its lists.
        labels (dict[str, str]): Our class list to the file in ``labels/``.
        video (str): Regular expression of the videos' file names.
    """
    lists: List[ReleasedList]
    labels: Dict[str, str]
    video: str


def _base_to_novel(short: str) -> List[ReleasedList]:
    folder = f'base2novel_splits/{short}_splits'
    return [
        ReleasedList(f'{folder}/fs_base_s{seed}_train.txt',
                     f'base_train_16shot_seed{seed}.txt', 'base_classes.txt',
                     'train', 16) for seed in (1, 2, 3)
    ] + [
        ReleasedList(f'{folder}/{half}_val.txt', f'{half}_val.txt',
                     f'{half}_classes.txt') for half in ('base', 'novel')
    ]


def _few_shot(short: str) -> List[ReleasedList]:
    # One draw was released, without a seed.
    return [
        ReleasedList(f'{short}_splits/train1_few_shot_{shots}.txt',
                     f'few_shot_train_{shots}shot_seed1.txt', 'classes.txt',
                     'train', shots) for shots in SHOTS
    ]


def _val_splits(short: str) -> List[ReleasedList]:
    return [
        ReleasedList(f'{short}_splits/val{n}.txt', f'val_split{n}.txt')
        for n in (1, 2, 3)
    ]


def _labels(stem: str, full: str) -> Dict[str, str]:
    names = {f'{half}_classes.txt': f'{stem}_{half}_labels.csv'
             for half in ('base', 'novel')}
    return {**names, 'classes.txt': full}


_YOUTUBE = r'[\w-]{11}_\d{6}_\d{6}\.\w+'
RELEASES = {
    'k400':
    Release(
        _base_to_novel('k400') + [
            ReleasedList('k400_splits/train_tiny.txt', 'train_tiny.txt',
                         'classes.txt', 'train'),
            ReleasedList('k400_splits/val.txt', 'val.txt'),
        ], _labels('kinetics_400', 'kinetics_400_labels.csv'), _YOUTUBE),
    'k600':
    Release([
        ReleasedList(f'k600_splits/ZS_split{n}_K600_eval.txt',
                     f'zero_shot_{n}_val.txt', f'zero_shot_{n}_classes.txt')
        for n in (1, 2, 3)
    ], {
        f'zero_shot_{n}_classes.txt': f'ZS_split{n}_K600.csv'
        for n in (1, 2, 3)
    }, _YOUTUBE),
    'hmdb51':
    Release(
        _base_to_novel('hmdb') + _few_shot('hmdb') + _val_splits('hmdb'),
        _labels('hmdb_51', 'hmdb_51_labels.csv'),
        r'(?P<hmdb>.+)_[a-z]_[a-z]+_np\d+_[a-z]+_[a-z]+_\d+\.avi'),
    'ucf101':
    Release(
        _base_to_novel('ucf') + _few_shot('ucf') + _val_splits('ucf'),
        _labels('ucf_101', 'ucf_101_labels.csv'),
        r'v_(?P<ucf>\w+)_g\d+_c\d+\.avi'),
    'ssv2':
    Release(
        _base_to_novel('ssv2') + _few_shot('ssv2') +
        [ReleasedList('ssv2_splits/validation.txt', 'val.txt')],
        _labels('ssv2_174', 'ssv2_labels.csv'), r'\d+\.(webm|mp4)'),
}
