"""Lists of videos: parsed with line numbers, checked on disk, and what their
names and the manifest beside them say about them."""
import json
import os
import os.path as osp
import re
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from mmengine.fileio import list_from_file

from ..files import holds_control, read_json, sha256_of
from .class_list import read_class_list
from .containers import SUFFIXES
from .path_hints import remedy
from .shards import forget_indices, place_of

TRAIN, TEST, UNKNOWN = 'train', 'test', 'unknown'
# Of vifi-clip pack, in its folder: how and from where videos were packed.
PACK_RECORD = 'pack.json'
# Origins: the paper's released list; the same with labels that fit the file
# names; made from a data set's official annotations, or from a CSV of one's
# own.
RELEASE, FIXED, OFFICIAL = 'release', 'release, labels fixed', 'annotations'
CHANGED = 'changed'
# The end of a path that goes on behind the name of a video: 'a.mp4 3'.
LABELS_BEHIND = re.compile(
    r'(?i).*(?:%s)["\']?([\s,;|:=])([0-9\s,;|:]*)' % '|'.join(
        map(re.escape, SUFFIXES)))
_ONE_LABEL = 'a video has one label; multi-label lists are not supported'
_TEST_WORDS = ('val', 'valid', 'validation', 'eval', 'test', 'testlist')
_TRAIN_WORDS = ('train', 'training', 'trainlist')


def is_local(path: str) -> bool:
    """Return whether a path is on this machine's file system (not
    ``s3://...``)."""
    return '://' not in path


def read_video_list(ann_file: str, delimiter: str = ' ',
                    num_classes: Optional[int] = None,
                    allow_unlabelled: bool = False) -> List[Tuple[str, int]]:
    """Read ``path label`` lines, in any storage that MMEngine reads.

    A path may hold spaces: lines are split at the last ``delimiter``. Blank
    lines are passed over. Labels must be below ``num_classes`` (K), if it is
    given. ``allow_unlabelled`` accepts a list of paths without any label;
    labels are then -1.

    Raises:
        FileNotFoundError: If a local ``ann_file`` is absent.
        ValueError: If a line is malformed or the list is empty.
    """
    lines = video_lines(ann_file)
    if not lines:
        raise ValueError(f'{ann_file}: the list holds no video; write one '
                         f'"path{delimiter}label" line for each')
    bare = allow_unlabelled and not any(delimiter in line for _, line in lines)
    pairs = [_parse_line(line, f'{ann_file}:{number}', delimiter, num_classes,
                         bare) for number, line in lines]
    labels: Dict[str, int] = {}
    several = [path for path, label in pairs
               if labels.setdefault(path, label) != label]
    if several:
        warnings.warn(f'{ann_file}: {len(several)} lines give a video another '
                      'label than an earlier line, such as '
                      f'{several[0]!r:.200}; '
                      + _ONE_LABEL)
    return pairs


def video_lines(ann_file: str) -> List[Tuple[int, str]]:
    """Read the lines of a list that are not blank, with their numbers."""
    check_ann_file(ann_file)
    try:  # utf-8-sig: editors on Windows put a mark in front
        text = list_from_file(ann_file, encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{ann_file}: not UTF-8 text ({error}); save it as '
                         'UTF-8') from error
    return [(number, line.rstrip())
            for number, line in enumerate(text, start=1) if line.strip()]


def _parse_line(line: str, place: str, delimiter: str,
                num_classes: Optional[int], bare: bool) -> Tuple[str, int]:
    path, _, label = map(str.strip, line.rpartition(delimiter))
    if bare:
        path, label = line.strip(), '-1'
    after = LABELS_BEHIND.fullmatch(path)
    problem = ''
    if not path:
        problem = (f'no path or no label; write "path{delimiter}label" with a '
                   'class index as label, or set delimiter=... (now '
                   f'{delimiter!r})')
    elif after and (bare or not after[2]):
        problem = (f'a label after {after[1]!r}? Set delimiter={after[1]!r} '
                   f'(now {delimiter!r})')
    elif after or re.fullmatch('[0-9]+([,;|:][0-9]+)+', label):
        problem = f'several labels; {_ONE_LABEL}'
    elif re.search(r'[^\S ]', path) and holds_control(path):
        problem = ('the path holds a tab or line break; write '
                   f'"path{delimiter}label"')
    # int() would also take '1_0', and digits of other scripts.
    elif not bare and not re.fullmatch(r'\+?[0-9]{1,9}|-0', label):
        problem = (f'label {label[:20]!r} is not a whole number of 1 to 9 '
                   'digits; labels are class indices from 0')
    elif num_classes is not None and int(label) >= num_classes:
        problem = (f'label {label} is out of range 0..{num_classes - 1}, as '
                   f'there are {num_classes} classes; correct the line or the '
                   'class list')
    if problem:
        raise ValueError(f'{place}: in {line[:200]!r}: {problem}')
    return path, int(label)


def check_ann_file(ann_file: str) -> None:
    """Raise FileNotFoundError if a local annotation list (joined with
    ``data_root``) is not there."""
    if is_local(ann_file) and not osp.isfile(ann_file):
        raise FileNotFoundError(
            f'no annotation file {osp.normpath(ann_file)!r}; '
            f'{_drawn_beside(Path(ann_file))}vifi-clip splits '
            'writes the lists of known data sets and, with NAME --csv FILE, '
            'of your own videos, vifi-clip mini-world those of the small '
            'world, or set ann_file=... to a list of yours (relative to '
            'data_root, when that is set)')


def _drawn_beside(path: Path) -> str:
    """Say which draws of shots are beside one that is not there; '' where it
    is none, or none is."""
    drawn = re.fullmatch(r'(.+)_(\d+)shot_seed(\d+)\.txt', path.name)
    found = sorted(
        (int(shots), int(seed)) for shots, seed in (
            re.fullmatch(r'.+_(\d+)shot_seed(\d+)', file.stem).groups()
            for file in path.parent.glob(f'{drawn[1]}_*shot_seed*.txt'))
    ) if drawn else []
    if not found:
        return ''
    shots, seeds = (', '.join(map(str, sorted(set(column))))
                    for column in zip(*found))
    return (f'beside it are lists of SHOTS {shots} with SEED {seeds}, and '
            f'SHOTS={drawn[2]} SEED={drawn[3]} was asked for; ')


def why_missing(path: str) -> str:
    """Say that a local file is not there, and what the list may mean."""
    place = place_of(path)
    return place.problem() if place else 'no such file' + remedy(path)


def pack_remedy(ann_file: str, root: Optional[str]) -> str:
    """Return the command that packs what a list misses, if its videos are
    looked for in a folder of packed ones; '' otherwise."""
    try:
        originals = read_json(Path(root or '', PACK_RECORD))['root']
    except (OSError, ValueError, KeyError, TypeError):
        return ''
    return (f'; this packs what is missing: vifi-clip pack {ann_file} --root '
            f'{originals} --out {root}')


def check_video_root(root: Optional[str]) -> None:
    """Raise FileNotFoundError if a local folder of videos is not there:
    ``data_prefix['video']``, joined with ``data_root``."""
    if root and is_local(root) and not osp.isdir(root):
        raise FileNotFoundError(
            f'no video folder {root!r}; set data_prefix=dict(video=...) '
            '(knob VIDEO_DIR, or PACKED of vifi-clip pack) to the folder that '
            'the paths of the list are in (relative to data_root, when that '
            'is set)')


def find_missing(paths: Sequence[str]) -> List[int]:
    """Return the indices of local files that are not there, nor in a shard
    that is there, ascending.

    Folders are listed, one call each, because a ``stat`` for each of 240,000
    files takes minutes on network storage.
    """
    forget_indices()
    by_folder: Dict[str, List[int]] = defaultdict(list)
    for index, path in enumerate(paths):
        if is_local(path):
            by_folder[osp.dirname(path)].append(index)
    missing = []
    for folder, indices in by_folder.items():
        try:
            with os.scandir(folder or '.') as entries:
                # Only a link costs a call of its own; it may lead nowhere.
                names = {entry.name for entry in entries
                         if (osp.isfile(entry.path) if entry.is_symlink()
                             else entry.is_file())}
        except (FileNotFoundError, NotADirectoryError, ValueError):
            names = set()  # ValueError: a NUL in the path
        for index in indices:
            name = osp.basename(paths[index])
            if name in names or f'{name}.mp4' in names:  # file_of
                continue
            place = place_of(paths[index])
            if place is None or place.problem():
                missing.append(index)
    return sorted(missing)


# Names of files, as vifi-clip splits gives them


def role_of(path: Path) -> Optional[str]:
    """Return 'train' or 'test' as a list's name says; None if it does not."""
    words = re.findall('[a-z]+', path.stem.lower())
    train = any(word in _TRAIN_WORDS for word in words)
    test = any(word in _TEST_WORDS for word in words)
    return None if train == test else TRAIN if train else TEST


def prefix_of(stem: str) -> str:
    """Return what is before 'train' or 'val': 'base', 'zero_shot_1', ''."""
    words = '|'.join(_TRAIN_WORDS + _TEST_WORDS)
    return re.split(rf'(?:^|_)(?:{words})(?![a-z])', stem)[0]


def has_own_labels(prefix: str) -> bool:
    """Return whether a list's labels count within a part of the classes."""
    return bool(re.fullmatch(r'base|novel|zero_shot(_\d+)?', prefix))


def class_lists_in(folder: Path) -> List[Path]:
    """Return the class lists in a folder, ascending by name."""
    return sorted(path for path in folder.iterdir() if is_class_list(path))


def is_class_list(path: Path) -> bool:
    """Return whether a file is named as a class list."""
    return path.suffix == '.txt' and 'classes' in re.findall(
        '[a-z]+', path.stem.lower())


def class_file_of(path: Path) -> Optional[Path]:
    """Return the class list beside a list; None if there is none."""
    prefix = prefix_of(path.stem)
    names = [f'{prefix}_classes.txt'] if prefix else []
    if prefix == 'few_shot':  # the small world's are over its target set
        names.append('target_classes.txt')
    if not has_own_labels(prefix):
        names.append('classes.txt')
    return next(filter(Path.is_file, map(path.with_name, names)), None)


def check_protocol(ann_file: str, class_names: Sequence[str],
                   class_file: str) -> None:
    """Refuse the list of one protocol with the classes of another.

    Labels of ``base_val.txt`` count within the base half, so with all classes
    they would be in range and mean something else. Goes by the names that
    vifi-clip splits gives; other lists pass. ValueError if the class list
    beside ``ann_file`` has another number of classes than ``class_names``
    (from ``class_file``), or these are those of another class list there.
    """
    path, given = Path(ann_file), list(class_names)
    beside = class_file_of(path) if role_of(path) else None
    numbered = read_class_list(beside) if beside else given
    if given == numbered:
        return
    # Names of the user's own for the same classes are welcome, but not those
    # of another half, which may be as many.
    words = beside.with_name(f'{beside.stem}_words.txt')
    if len(numbered) != len(given) or any(
            read_class_list(file) == given
            for file in class_lists_in(path.parent) if file != words):
        raise ValueError(
            f'{ann_file} numbers the {len(numbered)} classes of {beside.name} '
            f'beside it, not the {len(given)} of {class_file}: give that '
            'class list, or the list that belongs to yours')


def list_origin(path: str) -> Dict[str, str]:
    """Say where a list comes from, by the manifest of ``vifi-clip splits``
    beside it: ``file`` (name), ``sha256``, ``origin`` (one of this module's
    constants) and, if known, ``dataset``."""
    file = Path(path)
    if not file.is_file():  # on another server
        return dict(file=file.name, sha256='', origin=UNKNOWN)
    digest = sha256_of(file)
    entry = dict(file=file.name, sha256=digest, origin=UNKNOWN)
    try:
        manifest = json.loads(file.with_name('manifest.json').read_text())
        options = manifest['options']
        same = manifest['lists'][file.name]['sha256'] == digest
        made_from = options['made_from']
        dataset = str(manifest['dataset'])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return entry  # a list of the user's own
    if made_from not in (RELEASE, OFFICIAL):
        return entry
    origin = FIXED if options.get('fix_labels') else made_from
    return dict(entry, origin=origin if same else CHANGED, dataset=dataset)
