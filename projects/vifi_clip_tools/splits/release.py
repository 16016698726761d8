"""``--import``: the paper's released lists, checked and renamed."""
import re
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.datasets.class_list import read_class_list
from .class_index import ClassIndex, published_lists
from .layout import check_paths, video_path
from .partition import from_lists
from .protocols import Rows
from .reading import read_lines
from .records import Video, check_unique
from .release_files import RELEASES, ReleasedList
from .video_names import MAX_MISNAMED, named_class

_LISTS, _LABELS = 'datasets_splits', 'labels'


class Imported(NamedTuple):
    """The lists by our names, the files read, and what is odd in them."""
    lists: Dict[str, Rows]
    sources: List[Path]
    warnings: List[str]


class _Line(NamedTuple):
    video: Video
    # Label of the class in the file's name; -1 if it names none of these
    # classes, None if videos of the data set are not named after classes.
    named: Optional[int]


def import_release(root: Path, dataset: str, pattern: Optional[str],
                   fix_labels: bool) -> Imported:
    """Read the released lists of a data set.

    Args:
        root (Path): Folder that holds ``datasets_splits/`` and ``labels/``.
        dataset (str): Name of the data set.
        pattern (str, optional): Path of a video; as released by default.
        fix_labels (bool): Where the name of a file tells another class than
            its label, go by the name.

    Returns:
        Imported: The lists, with the labels of the release.

    Raises:
        UserError: If a list is of another kind or data set, or its training
            videos are in its test list.
    """
    _check_folder(root, dataset)
    classes = published_lists(dataset)
    release = RELEASES[dataset]
    warnings, sources = _check_labels(root / _LABELS, dataset, classes)
    lines = {}
    for item in release.lists:
        path = root / _LISTS / item.source
        names = classes[item.classes]
        lines[item.name] = _read_list(path, item, names, release.video)
        sources.append(path)
        warnings += _check_list(path, item, names, lines[item.name],
                                fix_labels)
    _check_leaks(release.lists, lines)
    lists = {
        item.name: _rows(lines[item.name], classes[item.classes], pattern,
                         fix_labels) for item in release.lists
    }
    return Imported(lists, sources, warnings)


def _check_folder(root: Path, dataset: str) -> None:
    if dataset not in RELEASES:
        raise UserError(f'--import: the release has no lists of {dataset!r} '
                        f'(only {", ".join(RELEASES)}); use --annotations')
    for name in _LISTS, _LABELS:
        if not (root / name).is_dir():
            raise UserError(f'--import {root}: no folder {name}/ there; give '
                            f'the folder that holds {_LISTS}/ and {_LABELS}/')


def _check_labels(folder: Path, dataset: str,
                  classes: Dict[str, List[str]]
                  ) -> Tuple[List[str], List[Path]]:
    warnings, sources = [], []
    released = {}
    for ours, name in RELEASES[dataset].labels.items():
        path = folder / name
        if not path.is_file():
            warnings.append(f'{path} is missing; its names were not compared')
            continue
        sources.append(path)
        released[ours] = read_class_list(path)
    if {'base_classes.txt', 'novel_classes.txt'} <= set(released):
        from_lists(classes['classes.txt'], released['base_classes.txt'],
                   released['novel_classes.txt'], str(folder))
    for ours, names in released.items():
        path = folder / RELEASES[dataset].labels[ours]
        if len(names) != len(classes[ours]):
            raise UserError(f'{path}: {len(names)} classes, expected '
                            f'{len(classes[ours])} as in {ours}')
        for label, (name, own) in enumerate(zip(names, classes[ours])):
            if name.split() != own.split():
                raise UserError(f'{path}: id {label} is {name!r}, but {own!r} '
                                f'in data_splits/{dataset}/{ours}; give the '
                                'released file')
    return warnings, sources


def _read_list(path: Path, item: ReleasedList, names: List[str],
               pattern: str) -> List[_Line]:
    index = ClassIndex(names, item.classes)
    lines = []
    for place, line in read_lines(path):
        name, _, label = line.rpartition(' ')
        if not name or not (label.isascii() and label.isdigit()):
            raise UserError(f'{place}: {line!r} is not "video label"; give '
                            'the released file')
        found = re.fullmatch(pattern, name.rpartition('/')[2])
        if not found:
            raise UserError(f'{place}: {name!r} is not named like a video of '
                            'this data set; give the lists of the right one')
        if int(label) >= len(names):
            raise UserError(f'{place}: label {label}, but {item.classes} has '
                            f'{len(names)} classes (0..{len(names) - 1}); is '
                            'this the list of another protocol?')
        key = name.rpartition('/')[2]
        video = Video(key, name, int(label), place)
        lines.append(_Line(video, named_class(found, index)))
    return lines


def _check_list(path: Path, item: ReleasedList, names: List[str],
                lines: List[_Line], fix_labels: bool) -> List[str]:
    """Phrases for what is odd; errors for what cannot be the right list."""
    return [
        f'{path}: {phrase}' for phrase in (
            *_repeated(item, lines),
            *_few(path, item, names, lines),
            *_misnamed(item, names, lines, fix_labels),
        )
    ]


def _repeated(item: ReleasedList, lines: List[_Line]) -> List[str]:
    first: Dict[str, Video] = {}
    repeated = []
    for video, _ in lines:
        other = first.setdefault(video.key, video)
        if other.label != video.label:
            check_unique([other, video], item.part, {})  # raises
        if other is not video:
            repeated.append(video.key)
    if not repeated:
        return []
    return [f'{len(repeated)} videos are repeated, {repeated[0]!r} for one; '
            'kept as released']


def _few(path: Path, item: ReleasedList, names: List[str],
         lines: List[_Line]) -> List[str]:
    counts = Counter(line.video.label for line in lines)
    if item.shots and max(counts.values()) != item.shots:
        raise UserError(f'{path}: up to {max(counts.values())} videos of a '
                        f'class, expected {item.shots}; is this the list of '
                        'another protocol?')
    least = item.shots or 1
    fewer = [k for k in range(len(names)) if counts[k] < least]
    if not fewer:
        return []
    return [f'{len(fewer)} classes have fewer than {least} videos, '
            f'{names[fewer[0]]!r} ({counts[fewer[0]]}) for one']


def _misnamed(item: ReleasedList, names: List[str], lines: List[_Line],
              fix_labels: bool) -> List[str]:
    odd = [line for line in lines if line.named not in (None,
                                                        line.video.label)]

    def told(line: _Line) -> str:
        return repr(names[line.named]) if line.named >= 0 else 'another class'

    if len(odd) > MAX_MISNAMED * len(lines):
        video = odd[0].video
        raise UserError(
            f'{video.place}: label {video.label} is {names[video.label]!r} in '
            f'{item.classes}, but {video.key!r} is named after '
            f'{told(odd[0])}, and {len(odd)} of {len(lines)} lines are like '
            'that; is this the list of another protocol?')
    if not odd:
        return []
    pairs = sorted({f'{told(line)} as {names[line.video.label]!r}'
                    for line in odd})
    does = ('relabelled by --fix-labels' if fix_labels else
            'kept as released; --fix-labels goes by the names')
    return [f'{len(odd)} videos are labelled otherwise than they are named '
            f'({", ".join(pairs[:5])}); {does}']


def _check_leaks(items: List[ReleasedList],
                 lines: Dict[str, List[_Line]]) -> None:
    """No training video may be in a list that its model is tested on."""
    for train in (item for item in items if item.part == 'train'):
        for val in (item for item in items if item.part == 'val'):
            # Drawn from split 1, whose videos splits 2 and 3 test on.
            if val.name in ('val_split2.txt', 'val_split3.txt'):
                continue
            _check_disjoint(train.name, val.name, lines)
    if 'novel_val.txt' in lines:
        _check_disjoint('base_val.txt', 'novel_val.txt', lines)


def _check_disjoint(one: str, other: str,
                    lines: Dict[str, List[_Line]]) -> None:
    seen: Dict[str, tuple] = {}
    for name in one, other:
        videos = {line.video.key: line.video for line in lines[name]}
        check_unique(list(videos.values()), name, seen)


def _rows(lines: List[_Line], names: List[str], pattern: Optional[str],
          fix_labels: bool) -> Rows:
    rows = [_row(line, names, pattern, fix_labels) for line in lines]
    check_paths(line.video._replace(path=path, label=label)
                for line, (path, label) in zip(lines, rows))
    return rows


def _row(line: _Line, names: List[str], pattern: Optional[str],
         fix_labels: bool) -> Tuple[str, int]:
    video = line.video
    named = video.label if line.named in (None, -1) else line.named
    label = named if fix_labels else video.label
    if pattern is None:
        return video.path, label
    folder, _, name = video.path.rpartition('/')
    # The folder of a class is where the video is, whatever its label.
    return video_path(pattern, name, folder, names[named]), label
