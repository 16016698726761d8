"""Readers of the official annotations of the recognition data sets.

Each takes the folder of the files, the classes, the pattern of the videos'
paths and, for Kinetics, the parts to read.
"""
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import read_json
from .classes import ClassIndex, misnamed
from .records import (Annotations, Video, find_file, read_lines, read_table,
                      video_path)

_OFFICIAL = 'get the official file'
_KINETICS_COLUMNS = ('label', 'youtube_id', 'time_start', 'time_end', 'split')
_KINETICS_FILES = {
    'train': ('train.csv', '*train.csv'),
    'val': ('val*.csv', '*val.csv', '*validate.csv', '*validation.csv'),
    'test': ('test.csv', '*test.csv'),
}
_SSV2_FILES = {
    'labels': ('labels.json', '*-labels.json'),
    'train': ('train.json', '*-train.json'),
    'val': ('validation.json', '*-validation.json'),
}


def read_kinetics(folder: Path, index: ClassIndex, pattern: str,
                  parts: Sequence[str]) -> Annotations:
    """Read Kinetics-400 or -600: ``train.csv``, ``val.csv``
    (``validate.csv``), ``test.csv``, a clip of a YouTube video a row; names
    may have a prefix. A video's file is ``ID_SSSSSS_EEEEEE.mp4`` with start
    and end in seconds."""
    sources = [find_file(folder, _KINETICS_FILES[part],
                         f'CSV file of the {part} part') for part in parts]
    videos = {part: _kinetics_part(path, part, index, pattern)
              for part, path in zip(parts, sources)}
    return Annotations(index.names, {'': videos}, sources)


def _kinetics_part(path: Path, part: str, index: ClassIndex,
                   pattern: str) -> List[Video]:
    said = {'val': ('val', 'validate', 'validation')}.get(part, (part, ))
    videos = []
    for place, row in read_table(path, _KINETICS_COLUMNS, ('is_cc', )):
        if row['split'] not in said:
            raise UserError(
                f'{place}: split is {row["split"]!r}, but {path.name} should '
                f'hold the {part} part; give each file its official name')
        label = index.label(row['label'], place)
        seconds = []
        for column in ('time_start', 'time_end'):
            # Some copies of the files write whole seconds as '12.0'.
            value = row[column].removesuffix('.0')
            if not (value.isascii() and value.isdigit()):
                raise UserError(f'{place}: {column} is {row[column]!r}, not a '
                                f'whole number of seconds; {_OFFICIAL}')
            seconds.append(int(value))
        start, end = seconds
        if end < start:
            raise UserError(f'{place}: time_end {end} lies before time_start '
                            f'{start}; {_OFFICIAL}')
        if not re.fullmatch('[A-Za-z0-9_-]+', row['youtube_id']):
            raise UserError(
                f'{place}: youtube_id is {row["youtube_id"]!r}, but it is '
                f'letters, digits, - and _; {_OFFICIAL} (a spreadsheet may '
                'have changed this copy)')
        name = f'{row["youtube_id"]}_{start:06d}_{end:06d}.mp4'
        where = video_path(pattern, name, part, index.names[label])
        videos.append(Video(name, where, label, place))
    return videos


def read_hmdb51(folder: Path, index: ClassIndex, pattern: str,
                parts: Sequence[str]) -> Annotations:
    """Read HMDB-51: 153 files ``CLASS_test_splitN.txt`` with a line
    ``video.avi N`` for each video, N 0 (unused), 1 (train) or 2 (test)."""
    folder = _below(folder, 'testTrainMulti_7030_splits')
    for path in sorted(folder.glob('*_test_split*.txt')):
        index.label(path.name.rpartition('_test_split')[0], str(path))
    folders = [name.replace(' ', '_') for name in index.names]
    files = {split: [folder / f'{name}_test_split{split}.txt'
                     for name in folders] for split in (1, 2, 3)}
    missing = [path.name for name in zip(*files.values()) for path in name
               if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f'{folder}: {len(missing)} of the 153 split files are missing, '
            f'{missing[0]} for one; unpack the official archive there')
    folds: Dict[str, Dict[str, List[Video]]] = {}
    for split, paths in files.items():
        fold = folds[f'_split{split}'] = {'train': [], 'val': []}
        for label, path in enumerate(paths):
            videos = []
            for place, line in read_lines(path):
                # Names hold neither spaces nor tabs, but + and brackets.
                name, _, use = line.rpartition(' ')
                name = name.strip()
                if use not in ('0', '1', '2') or not name:
                    raise UserError(f'{place}: {line!r} is not "video.avi N" '
                                    'with N 0 (unused), 1 (train) or 2 '
                                    f'(test); {_OFFICIAL}')
                if use == '0':
                    continue
                part = 'train' if use == '1' else 'val'
                where = video_path(pattern, name, part, index.names[label])
                video = Video(f'{folders[label]}/{name}', where, label, place)
                videos.append(video)
                fold[part].append(video)
            misnamed(videos, 'hmdb51', index)
    return Annotations(index.names, folds,
                       [path for paths in files.values() for path in paths])


def read_ucf101(folder: Path, index: ClassIndex, pattern: str,
                parts: Sequence[str]) -> Annotations:
    """Read UCF-101: ``classInd.txt``, ``trainlist0N.txt`` with a line
    ``Class/video.avi number`` for each video, ``testlist0N.txt`` without the
    number."""
    folder = _below(folder, 'ucfTrainTestlist')
    sources = [find_file(folder, ['classInd.txt'], 'class index')]
    lines = read_lines(sources[0])
    for expected, (place, line) in enumerate(lines):
        number, _, name = line.partition(' ')
        label = index.label(name.strip(), place)
        if number != str(expected + 1) or label != expected:
            raise UserError(f'{place}: {line!r}, expected "{label + 1} '
                            f'{index.names[label]}"; {_OFFICIAL}')
    if len(lines) != len(index.names):
        raise UserError(f'{sources[0]}: {len(lines)} classes, expected '
                        f'{len(index.names)}; {_OFFICIAL}')
    folds: Dict[str, Dict[str, List[Video]]] = {}
    for split in 1, 2, 3:
        fold = folds[f'_split{split}'] = {}
        for part, word in ('train', 'train'), ('val', 'test'):
            path = find_file(folder, [f'{word}list0{split}.txt'],
                             f'{word} list')
            sources.append(path)
            fold[part] = _ucf101_part(path, part, index, pattern)
    return Annotations(index.names, folds, sources)


def _ucf101_part(path: Path, part: str, index: ClassIndex,
                 pattern: str) -> List[Video]:
    videos = []
    for place, line in read_lines(path):
        name, _, number = line.partition(' ')
        folder, _, file = name.partition('/')
        if not file:
            raise UserError(f'{place}: {line!r} does not start with '
                            f'"Class/video.avi"; {_OFFICIAL}')
        if bool(number) != (part == 'train'):
            kinds = 'test list', 'training list'
            raise UserError(
                f'{place}: {line!r} looks like a line of a '
                f'{kinds[bool(number)]}, but a {kinds[not number]} is '
                'expected here')
        label = index.label(folder, place)
        if number and number != str(label + 1):
            raise UserError(f'{place}: class number {number!r}, but {folder} '
                            f'is number {label + 1}; {_OFFICIAL}')
        where = video_path(pattern, file, part, index.names[label])
        videos.append(Video(name, where, label, place))
    misnamed(videos, 'ucf101', index)
    return videos


def read_ssv2(folder: Path, index: ClassIndex, pattern: str,
              parts: Sequence[str]) -> Annotations:
    """Read Something-Something V2: ``labels.json``, ``train.json`` and
    ``validation.json``, also under the older names
    ``something-something-v2-*.json``. Classes are templates without
    brackets; a video's file is ``ID.webm``."""
    paths = {part: find_file(folder, names, f'JSON file of {part}')
             for part, names in _SSV2_FILES.items()}
    labels = read_json(paths['labels'])
    if not isinstance(labels, dict) or len(labels) != len(index.names):
        raise UserError(f'{paths["labels"]}: expected a mapping from '
                        f'{len(index.names)} templates to label numbers; '
                        f'{_OFFICIAL}')
    for template, number in labels.items():
        label = index.label(_class_of(template), str(paths['labels']))
        if str(number) != str(label):
            raise UserError(f'{paths["labels"]}: {template!r} has number '
                            f'{number!r}, expected {label}; {_OFFICIAL}')
    videos = {part: _ssv2_part(paths[part], part, index, pattern)
              for part in ('train', 'val')}
    return Annotations(index.names, {'': videos}, list(paths.values()))


def _class_of(template: str) -> str:
    return re.sub(r'[\[\]]', '', template).strip()


def _ssv2_part(path: Path, part: str, index: ClassIndex,
               pattern: str) -> List[Video]:
    items: Any = read_json(path)
    if not isinstance(items, list):
        raise UserError(f'{path}: expected a list of videos, got '
                        f'{type(items).__name__}; {_OFFICIAL}')
    videos = []
    for i, item in enumerate(items):
        place = f'{path}, item {i}'
        fields = item if isinstance(item, dict) else {}
        number, template = fields.get('id'), fields.get('template')
        if not isinstance(template, str) or not str(number or '').isdigit():
            raise UserError(
                f'{place}: {str(item)[:80]!r} has no "id" (digits) and '
                '"template"; a list without templates is the test list, which '
                f'has no labels. Give the official {part} file')
        label = index.label(_class_of(template), place)
        name = f'{number}.webm'
        where = video_path(pattern, name, part, index.names[label])
        videos.append(Video(name, where, label, place))
    return videos


def _below(folder: Path, name: str) -> Path:
    """The folder of an archive, or the one that it was unpacked in."""
    if not folder.is_dir():
        raise UserError(f'--annotations {folder}: no such folder; give the '
                        'folder of the official annotation files')
    return folder / name if (folder / name).is_dir() else folder


READERS: Dict[str, Callable[..., Annotations]] = {
    'k400': read_kinetics,
    'k600': read_kinetics,
    'hmdb51': read_hmdb51,
    'ucf101': read_ucf101,
    'ssv2': read_ssv2,
}
