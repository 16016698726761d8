"""``--import``: the paper's released lists, checked and renamed."""
import re
from collections import Counter
from itertools import zip_longest
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

from projects.vifi_clip.datasets.class_list import read_class_list
from projects.vifi_clip.errors import UserError
from .classes import VIDEO_NAMES, ClassIndex, misnamed, published_lists
from .protocols import Rows
from .records import (Video, check_paths, check_unique, read_lines,
                      video_path)

_LISTS, _LABELS = 'datasets_splits', 'labels'


class Release(NamedTuple):
    """What was released for a data set."""

    lists: Dict[str, str]  # our list to the path below datasets_splits/
    labels: Dict[str, str]  # our class list to the file in labels/


def _release(short: str, stem: str, full: str, few_shot: bool,
             others: Dict[str, str]) -> Release:
    """Name a release with base-to-novel lists: the data set in names of
    folders and of class lists, the list of all classes, and further lists,
    our name to theirs."""
    folder, own = f'base2novel_splits/{short}_splits', f'{short}_splits'
    lists = {f'base_train_16shot_seed{seed}.txt':
             f'{folder}/fs_base_s{seed}_train.txt' for seed in (1, 2, 3)}
    for half in 'base', 'novel':
        lists[f'{half}_val.txt'] = f'{folder}/{half}_val.txt'
    for shots in (2, 4, 8, 16) if few_shot else ():
        # one draw was released, without a seed
        lists[f'few_shot_train_{shots}shot_seed1.txt'] = (
            f'{own}/train1_few_shot_{shots}.txt')
    lists.update((ours, f'{own}/{theirs}') for ours, theirs in others.items())
    labels = {f'{half}_classes.txt': f'{stem}_{half}_labels.csv'
              for half in ('base', 'novel')}
    return Release(lists, {**labels, 'classes.txt': full})


_SPLITS = {f'val_split{n}.txt': f'val{n}.txt' for n in (1, 2, 3)}
RELEASES = {
    'k400': _release('k400', 'kinetics_400', 'kinetics_400_labels.csv', False,
                     {'train_tiny.txt': 'train_tiny.txt',
                      'val.txt': 'val.txt'}),
    'k600': Release(
        {f'zero_shot_{n}_val.txt': f'k600_splits/ZS_split{n}_K600_eval.txt'
         for n in (1, 2, 3)},
        {f'zero_shot_{n}_classes.txt': f'ZS_split{n}_K600.csv'
         for n in (1, 2, 3)}),
    'hmdb51': _release('hmdb', 'hmdb_51', 'hmdb_51_labels.csv', True,
                       _SPLITS),
    'ucf101': _release('ucf', 'ucf_101', 'ucf_101_labels.csv', True, _SPLITS),
    'ssv2': _release('ssv2', 'ssv2_174', 'ssv2_labels.csv', True,
                     {'val.txt': 'validation.txt'})}


def import_release(root: Path, dataset: str, pattern: Optional[str],
                   fix_labels: bool
                   ) -> Tuple[Dict[str, Rows], List[Path], List[str]]:
    """Read the released lists of a data set.

    Args:
        root (Path): Folder that holds ``datasets_splits/`` and ``labels/``.
        dataset (str): Name of the data set.
        pattern (str, optional): Path of a video; as released by default.
        fix_labels (bool): Where the name of a file tells another class than
            its label, go by the name. Else labels are the release's.

    Returns the lists by our names, the files read, and what is odd in them.
    """
    if dataset not in RELEASES:
        raise UserError(f'--import: the release has no lists of {dataset!r} '
                        f'(only {", ".join(RELEASES)}); use --annotations')
    for name in _LISTS, _LABELS:
        if not (root / name).is_dir():
            raise UserError(f'--import {root}: no folder {name}/ there; give '
                            f'the folder that holds {_LISTS}/ and {_LABELS}/')
    names, labels = RELEASES[dataset]
    classes = published_lists(dataset)
    sources = [root / _LABELS / name for name in labels.values()]
    warnings = [f'{path} is missing; its names were not compared'
                for path in sources if not path.is_file()]
    sources = [path for path in sources if path.is_file()]
    ours = {name: classes[own] for own, name in labels.items()}
    for path in sources:
        _check_names(path, ours[path.name])
    videos: Dict[str, List[Video]] = {}
    lists: Dict[str, Rows] = {}
    for name, theirs in names.items():
        path = root / _LISTS / theirs
        sources.append(path)
        # The name tells the classes that labels count in, and K.
        part = re.match('base_|novel_|zero_shot_[123]_|', name)[0]
        shots = re.search(r'_(\d+)shot_|$', name)[1]
        index = ClassIndex(classes[f'{part}classes.txt'], f'{part}classes.txt')
        read = videos[name] = _read_list(path, dataset, index)
        odd = misnamed(read, dataset, index)
        warnings += [f'{path}: {phrase}' for phrase in (
            _too_few(path, read, int(shots or 0), index),
            _mislabelled(odd, index, fix_labels)) if phrase]
        lists[name] = _rows(read, odd, index.names, pattern, fix_labels)
    _check_leaks(videos)
    return lists, sources, warnings


def _check_names(path: Path, names: List[str]) -> None:
    """Check that released class names are the committed ones."""
    for label, pair in enumerate(zip_longest(read_class_list(path), names,
                                             fillvalue='')):
        if pair[0].split() != pair[1].split():
            raise UserError(f'{path}: id {label} is {pair[0]!r}, but our '
                            f'{pair[1]!r}; give the released file')


def _read_list(path: Path, dataset: str, index: ClassIndex) -> List[Video]:
    videos = []
    for place, line in read_lines(path):
        name, _, label = line.rpartition(' ')
        if not name or not (label.isascii() and label.isdigit()):
            raise UserError(f'{place}: {line!r} is not "video label"; give '
                            'the released file')
        key = name.rpartition('/')[2]
        if not re.fullmatch(VIDEO_NAMES[dataset], key):
            raise UserError(f'{place}: {name!r} is not named like a video of '
                            'this data set; give the lists of the right one')
        if int(label) >= len(index.names):
            raise UserError(f'{place}: label {label}, but {index.source} has '
                            f'{len(index.names)} classes; is this the list '
                            'of another protocol?')
        videos.append(Video(key, name, int(label), place))
    check_paths(videos)
    return videos


def _too_few(path: Path, videos: List[Video], shots: int,
             index: ClassIndex) -> str:
    """Say which classes lack videos, of ``shots`` each (0 where that
    differs); an error if it is another list."""
    counts = Counter(video.label for video in videos)
    if shots and max(counts.values()) != shots:
        raise UserError(f'{path}: up to {max(counts.values())} videos of a '
                        f'class, expected {shots}; is this the list of '
                        'another protocol?')
    least = shots or 1
    fewer = [k for k in range(len(index.names)) if counts[k] < least]
    if not fewer:
        return ''
    return (f'{len(fewer)} classes have fewer than {least} videos, '
            f'{index.names[fewer[0]]!r} ({counts[fewer[0]]}) for one')


def _mislabelled(odd: Dict[Video, int], index: ClassIndex,
                 fix_labels: bool) -> str:
    """Say which classes the labels and the names of videos disagree on."""
    pairs = sorted({
        f'{index.names[label] if label >= 0 else "another class"!r} as '
        f'{index.names[video.label]!r}' for video, label in odd.items()})
    if not pairs:
        return ''
    done = ('relabelled by --fix-labels' if fix_labels else
            'kept as released; --fix-labels uses the names')
    return (f'{len(odd)} videos have labels that contradict their names '
            f'({", ".join(pairs[:5])}); {done}')


def _check_leaks(videos: Dict[str, List[Video]]) -> None:
    """No training video may be in a list that its model is tested on."""
    # Few-shot lists are drawn from split 1, whose videos splits 2 and 3 test.
    pairs = [(train, val) for train in videos for val in videos
             if 'train' in train and 'train' not in val
             and val not in ('val_split2.txt', 'val_split3.txt')]
    if 'novel_val.txt' in videos:
        pairs.append(('base_val.txt', 'novel_val.txt'))
    for pair in pairs:
        seen: Dict[str, tuple] = {}
        for name in pair:
            once = {video.key: video for video in videos[name]}
            check_unique(once.values(), name, seen)


def _rows(videos: List[Video], odd: Dict[Video, int], names: List[str],
          pattern: Optional[str], fix_labels: bool) -> Rows:
    relabelled = []
    for video in videos:
        named = odd.get(video, -1)
        named = video.label if named == -1 else named
        path = video.path
        if pattern is not None:
            folder, _, name = path.rpartition('/')
            # The folder of a class is where the video is, whatever its label.
            path = video_path(pattern, name, folder, names[named])
        label = named if fix_labels else video.label
        relabelled.append(video._replace(path=path, label=label))
    check_paths(relabelled)
    return [(video.path, video.label) for video in relabelled]
