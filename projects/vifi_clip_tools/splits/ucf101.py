"""UCF-101: ``classInd.txt``, ``trainlist0N.txt``, ``testlist0N.txt``."""
from pathlib import Path
from typing import List

from projects.vifi_clip.errors import UserError
from .class_index import ClassIndex
from .layout import video_path
from .reading import find_file, read_lines
from .records import Annotations, Video
from .video_names import check_names


def read_ucf101(folder: Path, index: ClassIndex, pattern: str) -> Annotations:
    """Read the official lists of the recognition task.

    Args:
        folder (Path): Folder of the seven files, or the one that their folder
            ``ucfTrainTestlist`` is in.
        index (ClassIndex): The classes, in the official CamelCase.
        pattern (str): Path of a video.

    Returns:
        Annotations: The videos of the three splits.
    """
    if (folder / 'ucfTrainTestlist').is_dir():
        folder = folder / 'ucfTrainTestlist'
    sources = [find_file(folder, ['classInd.txt'], 'class index')]
    _check_classes(sources[0], index)
    folds = {}
    for split in 1, 2, 3:
        parts = {}
        for part, word in ('train', 'train'), ('val', 'test'):
            name = f'{word}list0{split}.txt'
            path = find_file(folder, [name], f'{word} list')
            sources.append(path)
            parts[part] = _read_list(path, part, index, pattern)
        folds[f'_split{split}'] = parts
    return Annotations(index.names, folds, sources)


def _check_classes(path: Path, index: ClassIndex) -> None:
    lines = read_lines(path)
    for expected, (place, line) in enumerate(lines, start=1):
        number, _, name = line.partition(' ')
        label = index.label(name.strip(), place)
        if number != str(expected) or label != expected - 1:
            raise UserError(f'{place}: {line!r}, expected "{label + 1} '
                            f'{index.names[label]}"; get the official file')
    if len(lines) != len(index.names):
        raise UserError(f'{path}: {len(lines)} classes, expected '
                        f'{len(index.names)}; get the official file')


def _read_list(path: Path, part: str, index: ClassIndex,
               pattern: str) -> List[Video]:
    videos = []
    for place, line in read_lines(path):
        name, _, number = line.partition(' ')
        folder, slash, video = name.partition('/')
        if not slash or not video:
            raise UserError(f'{place}: {line!r} does not start with '
                            '"Class/video.avi"; get the official file')
        _check_kind(part, number, line, place)
        label = index.label(folder, place)
        if number and number != str(label + 1):
            raise UserError(f'{place}: class number {number!r}, but {folder} '
                            f'is number {label + 1}; get the official file')
        where = video_path(pattern, video, part, index.names[label])
        videos.append(Video(name, where, label, place))
    check_names(videos, 'ucf101', index)
    return videos


def _check_kind(part: str, number: str, line: str, place: str) -> None:
    if part == 'train' and not number:
        raise UserError(f'{place}: no class number in {line!r}; this looks '
                        'like a test list, but a training list is expected '
                        'here')
    if part == 'val' and number:
        raise UserError(f'{place}: class number {number!r} in {line!r}; this '
                        'looks like a training list, but a test list is '
                        'expected here')
