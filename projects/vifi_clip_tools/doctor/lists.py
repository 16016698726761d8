"""The lists that are checked, and what their names say about them."""
import json
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection, Dict, List, Optional, Tuple

from projects.vifi_clip.datasets.class_list import read_class_list
from projects.vifi_clip.datasets.video_list import (
    TEST, TRAIN, UNKNOWN, class_file_of, class_lists_in, has_own_labels,
    is_class_list, prefix_of, read_video_list, role_of, video_lines)
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import read_json

_SPLIT = r'(?:split_?|(?:train|test)list)0*(\d+)'


@dataclass(frozen=True)
class Entry:
    """One video in a list."""

    file: str  # name of the list
    number: int  # line of a text file, or position in a JSON file, from 1
    path: str  # as it stands there
    label: Optional[int]
    source: Any  # the line, or the captions

    @property
    def key(self) -> str:
        """The path in one spelling, as a reader opens it."""
        path = posixpath.normpath(self.path)
        return path if posixpath.splitext(path)[1] else f'{path}.mp4'

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        between = ', item ' if self.file.endswith('.json') else ':'
        return f'{self.file}{between}{self.number}'


@dataclass(frozen=True)
class VideoList:
    """A list with what is known about it."""

    path: Path
    role: str  # 'train', 'test' or 'unknown'
    part: str  # whose classes its labels count: 'base', ...; '' for all
    split: Optional[int]  # where there are several
    shots: Optional[int]  # K of a K-shot list
    class_file: Optional[Path]
    classes: Optional[List[str]]  # the names in it
    entries: List[Entry]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def is_json(self) -> bool:
        return self.path.suffix == '.json'

    def class_name(self, label: int) -> str:
        """Return the name of a label, where it has one."""
        if label < len(self.classes or ()):
            return self.classes[label]
        return f'label {label}'


def may_not_share(train: VideoList, test: VideoList) -> bool:
    """Return whether a video in both lists is a leak.

    The splits of HMDB-51 and UCF-101 reuse each other's videos by design, and
    lists with captions are another task than lists with labels.
    """
    return ((train.role, test.role) == (TRAIN, TEST)
            and train.is_json == test.is_json
            and (None in (train.split, test.split)
                 or train.split == test.split))


def find_lists(folder: Path) -> Tuple[List[Path], List[str]]:
    """Return the lists in a folder, by their names, and names of text and
    JSON files that are neither lists nor class lists."""
    lists, others = [], []
    for path in sorted(folder.iterdir()):
        if (path.suffix in ('.txt', '.json') and path.is_file()
                and not is_class_list(path) and path.name != 'manifest.json'):
            (lists if role_of(path) else others).append(path)
    if not lists:
        raise UserError(f'{folder}: no list of videos such as train.txt or '
                        'val_split1.txt; give others with --train or --val')
    return lists, [path.name for path in others]


def load_lists(roles: Dict[Path, Optional[str]],
               class_file: Optional[Path] = None) -> List[VideoList]:
    """Read lists, ascending by name, each with its role (None: as its name
    says) and ``class_file``, or by default the one that lies beside it."""
    if class_file is not None:
        read_class_list(class_file)  # also where no list has labels
        parts = {_part_of(prefix_of(path.stem), None): path.name
                 for path in roles if path.suffix != '.json'}
        if len(parts) > 1:
            names = ' and '.join(list(parts.values())[:2])
            raise UserError(
                f'--classes {class_file} is one class list, but the labels '
                f'of {names} count different classes; check them in two runs')
    several = any(_number(_SPLIT, path.stem) for path in roles)
    lists: Dict[str, VideoList] = {}
    for path in sorted(roles, key=lambda item: item.name):
        if path.name in lists:
            raise UserError(f'{lists[path.name].path} and {path}: two lists '
                            'with one name; rename one, or check them '
                            'separately')
        role = roles[path] or role_of(path) or UNKNOWN
        lists[path.name] = _load(path, role, class_file, several)
    # The report and the cleaned lists know a class list by its name.
    first: Dict[str, Path] = {}
    for path in class_files_of(lists.values()):
        twin = first.setdefault(path.name, path)
        if twin.read_bytes() != path.read_bytes():
            raise UserError(f'{twin} and {path}: two class lists with one '
                            'name that differ; rename one, or check them '
                            'separately')
    return list(lists.values())


def class_files_of(lists: Collection[VideoList]) -> List[Path]:
    """Return the class lists in use, and all beside a list unless another
    one was given for it."""
    files = {item.class_file for item in lists}
    for item in lists:
        folder = item.path.parent
        if item.class_file is None or item.class_file.parent == folder:
            files.update(class_lists_in(folder))
    return sorted(files - {None})


def _number(pattern: str, stem: str) -> Optional[int]:
    match = re.search(pattern, stem)
    return match and int(match[1])


def _part_of(prefix: str, class_file: Optional[Path]) -> str:
    if has_own_labels(prefix):
        return prefix
    match = class_file and re.fullmatch('(.*)_classes.txt', class_file.name)
    return match[1] if match else ''


def _load(path: Path, role: str, class_file: Optional[Path],
          several_splits: bool) -> VideoList:
    is_json = path.suffix == '.json'
    entries = (_read_json_list if is_json else _read_text_list)(path)
    prefix, split = prefix_of(path.stem), _number(_SPLIT, path.stem)
    if split is None and several_splits and prefix in ('base', 'novel',
                                                       'few_shot'):
        split = 1  # the paper draws these from the first split
    classes = None if is_json else class_file or class_file_of(path)
    return VideoList(path, role, _part_of(prefix, classes), split,
                     _number(r'(?:^|_)(\d+)_?shot', path.stem), classes,
                     read_class_list(classes) if classes else None, entries)


def _read_text_list(path: Path) -> List[Entry]:
    pairs = read_video_list(str(path), allow_unlabelled=True)
    return [
        Entry(path.name, number, video, label if label >= 0 else None, line)
        for (number, line), (video, label) in zip(
            video_lines(str(path)), pairs, strict=True)
    ]


def _read_json_list(path: Path) -> List[Entry]:
    data = read_json(path)
    if not isinstance(data, dict) or not data:
        raise ValueError(
            f'{path}: expected {{"video0.mp4": ["caption", ...], ...}}, got '
            f'{"no video" if data == {} else type(data).__name__}')
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f'{path} is not Unicode text: {error}') from error
    return [Entry(path.name, number, video, None, captions)
            for number, (video, captions) in enumerate(data.items(), 1)]
