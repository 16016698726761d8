"""Kinetics-400 and -600: CSV files, one clip of a YouTube video a row."""
import re
from pathlib import Path
from typing import Dict, List

from projects.vifi_clip.errors import UserError
from .class_index import ClassIndex
from .layout import video_path
from .reading import find_file, read_table
from .records import Annotations, Video

_COLUMNS = ('label', 'youtube_id', 'time_start', 'time_end', 'split')
_PARTS = {
    'train': 'train',
    'val': 'val',
    'validate': 'val',
    'validation': 'val',
    'test': 'test'
}
_FILES = {
    'train': ('train.csv', '*train.csv'),
    'val': ('val*.csv', '*val.csv', '*validate.csv', '*validation.csv'),
    'test': ('test.csv', '*test.csv'),
}


def read_kinetics(folder: Path, index: ClassIndex, pattern: str,
                  parts=('train', 'val')) -> Annotations:
    """Read the official CSV files.

    Args:
        folder (Path): Folder of ``train.csv``, ``val.csv`` (``validate.csv``)
            and, if asked for, ``test.csv``; names may have a prefix.
        index (ClassIndex): The classes.
        pattern (str): Path of a video; its name is
            ``ID_SSSSSS_EEEEEE.mp4`` with start and end in seconds.
        parts (Sequence[str]): Parts to read. Defaults to train and val.

    Returns:
        Annotations: The videos.
    """
    found: Dict[str, List[Video]] = {}
    sources = []
    for part in parts:
        path = find_file(folder, _FILES[part], f'CSV file of the {part} part')
        found[part] = _read_part(path, part, index, pattern)
        sources.append(path)
    return Annotations(index.names, {'': found}, sources)


def _read_part(path: Path, part: str, index: ClassIndex,
               pattern: str) -> List[Video]:
    videos = []
    for place, row in read_table(path, _COLUMNS, ('is_cc', )):
        if _PARTS.get(row['split']) != part:
            raise UserError(
                f'{place}: split is {row["split"]!r}, but {path.name} should '
                f'hold the {part} part; give each file its official name')
        label = index.label(row['label'], place)
        start, end = (_seconds(row, c, place) for c in _COLUMNS[2:4])
        if end < start:
            raise UserError(f'{place}: time_end {end} lies before time_start '
                            f'{start}; get the official file')
        if not re.fullmatch('[A-Za-z0-9_-]+', row['youtube_id']):
            raise UserError(
                f'{place}: youtube_id is {row["youtube_id"]!r}, but it is '
                'letters, digits, - and _; get the official file (a '
                'spreadsheet may have changed this copy)')
        name = f'{row["youtube_id"]}_{start:06d}_{end:06d}.mp4'
        where = video_path(pattern, name, part, index.names[label])
        videos.append(Video(name, where, label, place))
    return videos


def _seconds(row: Dict[str, str], column: str, place: str) -> int:
    # Some copies of the files write whole seconds as '12.0'.
    value = row[column].removesuffix('.0')
    if not (value.isascii() and value.isdigit()):
        raise UserError(f'{place}: {column} is {row[column]!r}, not a whole '
                        'number of seconds; get the official file')
    return int(value)
