"""The lists that are checked, and what their names say about them."""
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ...errors import UserError
from ..class_list import read_class_list
from ..text_file import read_json, read_text
from ..video_list import read_video_list
from .naming import (TEST, TRAIN, UNKNOWN, class_file_of, part_of, prefix_of,
                     role_of, split_of)


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
        class_file (Path, optional): Class list of those that have none
            beside them. Defaults to None.

    Returns:
        list[VideoList]: The lists, ascending by name.

    Raises:
        FileNotFoundError: If a list is absent.
        UserError: If two lists have the same name.
        ValueError: If a list is malformed.
    """
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
    return lists


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
    chosen = None if is_json else class_file_of(path, prefix) or class_file
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
    pairs = read_video_list(str(path), allow_unlabelled=True)
    # The reader above checks the lines, passing over blank ones; here is
    # where they stand and what they say.
    lines = [(number, line.rstrip('\r'))
             for number, line in enumerate(read_text(path).split('\n'), 1)
             if line.strip()]
    return [
        Entry(number, video, label if label >= 0 else None, line)
        for (number, line), (video, label) in zip(lines, pairs, strict=True)
    ]


def _read_json_list(path: Path) -> List[Entry]:
    data = read_json(path)
    if not isinstance(data, dict) or not data:
        raise ValueError(
            f'{path}: expected {{"video0.mp4": ["caption", ...], ...}}, got '
            f'{"no video" if data == {} else type(data).__name__}')
    return [
        Entry(number, video, None, captions)
        for number, (video, captions) in enumerate(data.items(), 1)
    ]
