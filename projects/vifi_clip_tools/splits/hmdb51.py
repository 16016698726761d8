"""HMDB-51: one file per class and split, ``video.avi 0|1|2`` a line."""
from pathlib import Path
from typing import Dict, List

from projects.vifi_clip.errors import UserError
from .class_index import ClassIndex, underscored
from .layout import video_path
from .reading import read_lines
from .records import Annotations, Video
from .video_names import check_names

_SUBFOLDER = 'testTrainMulti_7030_splits'
_PARTS = {'0': None, '1': 'train', '2': 'val'}


def read_hmdb51(folder: Path, index: ClassIndex, pattern: str) -> Annotations:
    """Read the official split files.

    Args:
        folder (Path): Folder of the 153 files ``CLASS_test_splitN.txt``, or
            the one that their folder ``testTrainMulti_7030_splits`` is in.
        index (ClassIndex): The classes.
        pattern (str): Path of a video.

    Returns:
        Annotations: The videos of the three splits.
    """
    if (folder / _SUBFOLDER).is_dir():
        folder = folder / _SUBFOLDER
    _check_files(folder, index)
    folds: Dict[str, Dict[str, List[Video]]] = {}
    sources = []
    for split in 1, 2, 3:
        parts: Dict[str, List[Video]] = {'train': [], 'val': []}
        for label, name in enumerate(index.names):
            path = folder / f'{underscored(name)}_test_split{split}.txt'
            sources.append(path)
            found = list(_read_class(path, label, name, pattern))
            check_names([video for _, video in found], 'hmdb51', index)
            for part, video in found:
                parts[part].append(video)
        folds[f'_split{split}'] = parts
    return Annotations(index.names, folds, sources)


def _check_files(folder: Path, index: ClassIndex) -> None:
    if not folder.is_dir():
        raise UserError(f'--annotations {folder}: no such folder; give the '
                        'folder of the files CLASS_test_splitN.txt')
    for path in sorted(folder.glob('*_test_split*.txt')):
        index.label(path.name.rpartition('_test_split')[0], str(path))
    missing = [
        f'{underscored(name)}_test_split{split}.txt' for name in index.names
        for split in (1, 2, 3)
        if not (folder / f'{underscored(name)}_test_split{split}.txt').exists()
    ]
    if missing:
        raise FileNotFoundError(
            f'{folder}: {len(missing)} of the 153 split files are missing, '
            f'{missing[0]} for one; unpack the official archive there')


def _read_class(path: Path, label: int, name: str, pattern: str):
    for place, line in read_lines(path):
        # Names hold neither spaces nor tabs, but + and brackets.
        video, _, use = line.rpartition(' ')
        video = video.strip()
        if use not in _PARTS or not video:
            raise UserError(f'{place}: {line!r} is not "video.avi N" with N '
                            '0 (unused), 1 (train) or 2 (test); get the '
                            'official file')
        part = _PARTS[use]
        if part:
            where = video_path(pattern, video, part, name)
            key = f'{underscored(name)}/{video}'
            yield part, Video(key, where, label, place)
