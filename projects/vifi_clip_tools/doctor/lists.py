"""The lists that are checked, and what their names say about them."""
import json
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.datasets.class_list import read_class_list
from projects.vifi_clip.files import read_json, read_text
from projects.vifi_clip.datasets.video_list import (check_ann_file,
                                                    read_video_list)
from projects.vifi_clip.datasets.naming import (TEST, TRAIN, UNKNOWN,
                                                class_file_of, class_lists_in,
                                                part_of, prefix_of, role_of,
                                                split_of)

_MOST_DIGITS = 9  # of a label


@dataclass(frozen=True)
class Entry:
    """One video in a list.

    Args:
        number (int): Line of a text file, or position in a JSON file, from 1.
        path (str): As it stands there.
        label (int, optional): None where there is none.
        source (Any): The line, or the captions.
    """

    number: int
    path: str
    label: Optional[int]
    source: Any

    @property
    def key(self) -> str:
        """The path in one spelling, as MMAction2's DecordInit opens it."""
        path = posixpath.normpath(self.path)
        return path if posixpath.splitext(path)[1] else f'{path}.mp4'


@dataclass(frozen=True)
class VideoList:
    """A list with what is known about it.

    Args:
        path (Path): The file.
        role (str): 'train', 'test' or 'unknown'.
        part (str): Which classes its labels count: 'base', 'novel',
            'zero_shot_1', ...; '' for all.
        split (int, optional): Number of the split, where there are several.
        shots (int, optional): K of a K-shot list.
        class_file (Path, optional): Its class list.
        classes (list[str], optional): The names in it.
        entries (list[Entry]): The videos.
    """

    path: Path
    role: str
    part: str
    split: Optional[int]
    shots: Optional[int]
    class_file: Optional[Path]
    classes: Optional[List[str]]
    entries: List[Entry]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def is_json(self) -> bool:
        return self.path.suffix == '.json'

    def place(self, entry: Entry) -> str:
        """Where an entry stands, for messages."""
        return (f'{self.name}, item {entry.number}'
                if self.is_json else f'{self.name}:{entry.number}')

    def class_name(self, label: int) -> str:
        """Name of a label, where it has one."""
        known = self.classes is not None and label < len(self.classes)
        return self.classes[label] if known else f'label {label}'

    def meaning(self, label: Optional[int]) -> Any:
        """A label's class name, or without class list (label, part)."""
        if label is None:
            return None
        if self.classes is None:
            return label, self.part
        return self.classes[label] if label < len(self.classes) else None


def may_not_share(train: VideoList, test: VideoList) -> bool:
    """Whether a video in both lists is a leak.

    The splits of HMDB-51 and UCF-101 reuse each other's videos by design, and
    lists with captions are another task than lists with labels.
    """
    if (train.role, test.role) != (TRAIN, TEST):
        return False
    return train.is_json == test.is_json and (
        None in (train.split, test.split) or train.split == test.split)


def load_lists(paths: Sequence[Tuple[Path, Optional[str]]],
               class_file: Optional[Path] = None) -> List[VideoList]:
    """Read lists.

    Args:
        paths (Sequence[tuple[Path, str | None]]): Files, each with its role
            or None to take it from the name.
        class_file (Path, optional): Class list of all of them. Defaults to
            None: the one that lies beside each.

    Returns:
        list[VideoList]: The lists, ascending by name.

    Raises:
        FileNotFoundError: If a list or ``class_file`` is absent.
        UserError: If two lists have the same name, or two class lists of one
            name differ, or ``class_file`` cannot be that of all lists.
        ValueError: If a list is malformed.
    """
    if class_file is not None:
        read_class_list(class_file)  # also where no list has labels
        _check_one_part([path for path, _ in paths], class_file)
    several = any(split_of(path.stem) for path, _ in paths)
    known: Dict[str, Path] = {}
    lists = []
    for path, role in sorted(paths, key=lambda item: item[0].name):
        twin = known.setdefault(path.name, path)
        if twin is not path:
            raise UserError(f'{twin} and {path}: two lists of one name; check '
                            'them in two runs, or rename one')
        role = role or role_of(path) or UNKNOWN
        lists.append(_load(path, role, class_file, several))
    _check_class_files(class_files_of(lists))
    return lists


def class_files_of(lists: Sequence[VideoList]) -> List[Path]:
    """The class lists that belong to lists, ascending.

    Those are the ones in use, and all beside a list unless another one was
    given for it.
    """
    files = {item.class_file for item in lists if item.class_file}
    for item in lists:
        folder = item.path.parent
        if item.class_file is None or item.class_file.parent == folder:
            files.update(class_lists_in(folder))
    return sorted(files)


def _check_class_files(files: Sequence[Path]) -> None:
    """The report and the cleaned lists know a class list by its name."""
    known: Dict[str, Path] = {}
    for path in files:
        twin = known.setdefault(path.name, path)
        if twin.read_bytes() != path.read_bytes():
            raise UserError(
                f'{twin} and {path}: two class lists of one name that differ; '
                'check their lists in two runs, or rename one')


def _check_one_part(paths: Sequence[Path], class_file: Path) -> None:
    parts = {
        part_of(prefix_of(path.stem), None): path
        for path in paths if path.suffix != '.json'
    }
    if len(parts) > 1:
        names = ' and '.join(path.name for path in list(parts.values())[:2])
        raise UserError(
            f'--classes {class_file} is one class list, but the labels of '
            f'{names} count different classes; check them in two runs')


def _load(path: Path, role: str, class_file: Optional[Path],
          several_splits: bool) -> VideoList:
    is_json = path.suffix == '.json'
    entries = (_read_json_list if is_json else _read_text_list)(path)
    prefix = prefix_of(path.stem)
    split = split_of(path.stem)
    if split is None and several_splits and prefix in ('base', 'novel',
                                                       'few_shot'):
        split = 1  # the paper draws these from the first split
    shots = re.search(r'(?:^|_)(\d+)_?shot', path.stem)
    chosen = None if is_json else class_file or class_file_of(path, prefix)
    return VideoList(
        path=path,
        role=role,
        part=part_of(prefix, chosen),
        split=split,
        shots=int(shots[1]) if shots else None,
        class_file=chosen,
        classes=read_class_list(chosen) if chosen else None,
        entries=entries)


def _read_text_list(path: Path) -> List[Entry]:
    check_ann_file(str(path))
    lines = [(number, line.rstrip('\r'))
             for number, line in enumerate(read_text(path).split('\n'), 1)
             if line.strip()]
    for number, line in lines:
        _check_digits(line, f'{path}:{number}')
    # It checks the lines, passing over blank ones; above is where they stand
    # and what they say.
    pairs = read_video_list(str(path), allow_unlabelled=True)
    return [
        Entry(number, video, label if label >= 0 else None, line)
        for (number, line), (video, label) in zip(lines, pairs, strict=True)
    ]


def _check_digits(line: str, place: str) -> None:
    """No number that Python itself refuses to read, or that is no index."""
    _, found, label = line.rstrip().rpartition(' ')
    digits = label.lstrip('+-')
    if found and len(digits) > _MOST_DIGITS and re.fullmatch(
            '[0-9]+', digits):
        raise ValueError(
            f'{place}: label {label[:20]}{"..." * (len(label) > 20)} has '
            f'{len(digits)} digits; labels are class indices from 0')


def _read_json_list(path: Path) -> List[Entry]:
    data = read_json(path)
    if not isinstance(data, dict) or not data:
        raise ValueError(
            f'{path}: expected {{"video0.mp4": ["caption", ...], ...}}, got '
            f'{"no video" if data == {} else type(data).__name__}')
    for number, item in enumerate(data.items(), 1):
        try:
            json.dumps(item, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f'{path}, item {number}: {item!r:.60} is not '
                             f'Unicode text ({error.reason})') from error
    return [
        Entry(number, video, None, captions)
        for number, (video, captions) in enumerate(data.items(), 1)
    ]
