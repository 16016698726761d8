"""Something-Something V2: JSON files of labels, train and validation."""
import re
from pathlib import Path
from typing import Any, List

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import read_json
from .class_index import ClassIndex
from .layout import video_path
from .reading import find_file, read_source
from .records import Annotations, Video

_FILES = {
    'labels': ('labels.json', '*-labels.json'),
    'train': ('train.json', '*-train.json'),
    'val': ('validation.json', '*-validation.json'),
}


def read_ssv2(folder: Path, index: ClassIndex, pattern: str) -> Annotations:
    """Read the official JSON files.

    Args:
        folder (Path): Folder of ``labels.json``, ``train.json`` and
            ``validation.json``, also under the older names
            ``something-something-v2-*.json``.
        index (ClassIndex): The classes: templates without brackets.
        pattern (str): Path of a video; its name is ``ID.webm``.

    Returns:
        Annotations: The videos.
    """
    paths = {
        part: find_file(folder, names, f'JSON file of {part}')
        for part, names in _FILES.items()
    }
    _check_labels(paths['labels'], index)
    parts = {
        part: _read_part(paths[part], part, index, pattern)
        for part in ('train', 'val')
    }
    return Annotations(index.names, {'': parts}, list(paths.values()))


def class_of(template: str) -> str:
    """The class text of a template: without brackets."""
    return re.sub(r'[\[\]]', '', template).strip()


def _load(path: Path) -> Any:
    read_source(path)  # for its messages
    return read_json(path)


def _check_labels(path: Path, index: ClassIndex) -> None:
    labels = _load(path)
    if not isinstance(labels, dict) or len(labels) != len(index.names):
        raise UserError(f'{path}: expected a mapping from {len(index.names)} '
                        'templates to label numbers; get the official file')
    for template, number in labels.items():
        label = index.label(class_of(template), str(path))
        if str(number) != str(label):
            raise UserError(f'{path}: {template!r} has number {number!r}, '
                            f'expected {label}; get the official file')


def _read_part(path: Path, part: str, index: ClassIndex,
               pattern: str) -> List[Video]:
    items = _load(path)
    if not isinstance(items, list):
        raise UserError(f'{path}: expected a list of videos, got '
                        f'{type(items).__name__}; get the official file')
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
        label = index.label(class_of(template), place)
        name = f'{number}.webm'
        where = video_path(pattern, name, part, index.names[label])
        videos.append(Video(name, where, label, place))
    return videos
