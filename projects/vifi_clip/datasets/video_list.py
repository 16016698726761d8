"""Annotation lists of videos: parsed with line numbers, checked on disk."""
import os
import os.path as osp
import re
from collections import defaultdict
from typing import Dict, List, NoReturn, Optional, Sequence, Set, Tuple

from mmengine.fileio import list_from_file


def is_local(path: str) -> bool:
    """Whether a path is on this machine's file system (not ``s3://...``)."""
    return '://' not in path


def read_video_list(ann_file: str,
                    delimiter: str = ' ',
                    num_classes: Optional[int] = None,
                    allow_unlabelled: bool = False) -> List[Tuple[str, int]]:
    """Read ``path label`` lines; a path may hold spaces.

    Args:
        ann_file (str): List to read, in any storage MMEngine reads.
        delimiter (str): What stands between path and label. Lines are split
            at its last occurrence. Defaults to ' '.
        num_classes (int, optional): K; labels must be below it. Not checked
            by default.
        allow_unlabelled (bool): Accept a list of paths without any label;
            labels are then -1. Defaults to False.

    Returns:
        list[tuple[str, int]]: Path and label of each line. Blank lines are
        passed over.

    Raises:
        FileNotFoundError: If a local ``ann_file`` is absent.
        ValueError: If a line is malformed or the list is empty.
    """
    check_ann_file(ann_file)
    try:  # utf-8-sig: editors on Windows put a mark in front
        text = list_from_file(ann_file, encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{ann_file}: not UTF-8 text ({error}); save it as '
                         'UTF-8') from error
    lines = [(number, line.rstrip())
             for number, line in enumerate(text, start=1) if line.strip()]
    if not lines:
        raise ValueError(f'{ann_file}: the list holds no video; write one '
                         f'"path{delimiter}label" line for each')
    if allow_unlabelled and not any(delimiter in line for _, line in lines):
        return [(line.strip(), -1) for _, line in lines]
    return [
        _parse_line(line, f'{ann_file}:{number}', delimiter, num_classes)
        for number, line in lines
    ]


def _parse_line(line: str, place: str, delimiter: str,
                num_classes: Optional[int]) -> Tuple[str, int]:

    def fail(problem: str, remedy: str) -> NoReturn:
        raise ValueError(f'{place}: {problem} in {line!r}; {remedy}')

    path, found, label = line.rpartition(delimiter)
    path, label = path.strip(), label.strip()
    if not found:
        fail('no label', f'write "path{delimiter}label" with a class index '
             f'as label, or set delimiter=... (now {delimiter!r})')
    if not path:
        fail('no path', f'write "path{delimiter}label"')
    # int() would also take '1_0', and digits of other scripts.
    if not re.fullmatch(r'[+-]?[0-9]+', label):
        fail(f'label {label!r} is not an integer',
             'labels are class indices from 0')
    if int(label) < 0:
        fail(f'label {label} is negative', 'labels are class indices from 0')
    if num_classes is not None and int(label) >= num_classes:
        fail(
            f'label {label} is out of range',
            f'there are {num_classes} classes, so labels are '
            f'0..{num_classes - 1}; correct the line or the class list')
    return path, int(label)


def check_ann_file(ann_file: str) -> None:
    """Check that the annotation list is there.

    Args:
        ann_file (str): The list, joined with ``data_root``.

    Raises:
        FileNotFoundError: If a local ``ann_file`` is no file.
    """
    if is_local(ann_file) and not osp.isfile(ann_file):
        raise FileNotFoundError(
            f'no annotation file {osp.normpath(ann_file)!r}; '
            'tools/make_splits.py writes the lists of known data sets, or set '
            'ann_file=... to a list of yours (relative to data_root, when '
            'that is set)')


def check_video_root(root: Optional[str]) -> None:
    """Check that the folder of the videos is there.

    Args:
        root (str, optional): ``data_prefix['video']``, joined with
            ``data_root``; empty for the working directory.

    Raises:
        FileNotFoundError: If a local ``root`` is no folder.
    """
    if root and is_local(root) and not osp.isdir(root):
        raise FileNotFoundError(
            f'no video folder {root!r}; set data_prefix=dict(video=...) to '
            'the folder that the paths of the list start from (relative to '
            'data_root, when that is set)')


def find_missing(paths: Sequence[str]) -> List[int]:
    """Find the local files that are not there.

    Folders are listed, one call each, because a ``stat`` for each of 240,000
    files takes minutes on network storage.

    Args:
        paths (Sequence[str]): File paths; remote ones count as there.

    Returns:
        list[int]: Indices of the absent ones, ascending.
    """
    by_folder: Dict[str, List[int]] = defaultdict(list)
    for index, path in enumerate(paths):
        if is_local(path):
            by_folder[osp.dirname(path)].append(index)
    missing = []
    for folder, indices in by_folder.items():
        names = _list_folder(folder)
        missing += [i for i in indices if not _is_in(paths[i], names)]
    return sorted(missing)


def _list_folder(folder: str) -> Set[str]:
    try:
        with os.scandir(folder or '.') as entries:
            return {entry.name for entry in entries if _is_file(entry)}
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return set()  # ValueError: a NUL in the path


def _is_file(entry: os.DirEntry) -> bool:
    # Only a link costs a call of its own; it may lead nowhere.
    return (osp.isfile(entry.path) if entry.is_symlink()
            else entry.is_file(follow_symlinks=False))


def _is_in(path: str, names: Set[str]) -> bool:
    name = osp.basename(path)
    # A reader takes a path without extension for one with '.mp4'.
    return name in names or (osp.splitext(name)[1] == ''
                             and f'{name}.mp4' in names)
