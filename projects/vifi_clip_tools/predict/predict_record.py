"""What a file of predictions was made with, in ``FILE.meta.json``."""
import json
import os
import os.path as osp
import re
from typing import Any, Dict, List, Mapping

# In a record, but for people or pictures: they do not change a prediction.
_NOTES = ('version', 'config', 'checkpoint', 'stems')
_LONG = ('labels', 'weights', 'pipeline')  # not shown when they differ


def meta_path(out: str) -> str:
    """Where the settings of a file of predictions are."""
    return f'{out}.meta.json'


def part_paths(out: str) -> List[str]:
    """Files that processes at work write beside the file."""
    folder, name = osp.split(osp.abspath(out))
    pattern = re.compile(re.escape(name) + r'\.part\d+')
    return sorted(osp.join(folder, other) for other in os.listdir(folder)
                  if pattern.fullmatch(other))


def check_ours(out: str, overwrite: bool) -> None:
    """Refuse files that another tool wrote.

    ``overwrite`` is for the file that was named, not for those beside it.

    Raises:
        ValueError: One is there, or names would become too long.
    """
    meta = meta_path(out)
    folder, name = osp.split(osp.abspath(meta))
    try:  # the longest name that is written
        os.lstat(osp.join(folder, f'.{name}.tmp'))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ValueError(f'--out {out} cannot be written, with .meta.json '
                         f'beside it: {error.strerror}') from error
    if osp.lexists(meta):
        read_record(out)
    elif osp.exists(out) and not overwrite:
        raise ValueError(f'--out {out} exists and is no unfinished work of '
                         f'this command (there is no {meta}); '
                         'choose another name, or add --overwrite')
    start = (b'video,label,score,error' if out.lower().endswith('.csv') else
             b'{"video": ')
    for part in part_paths(out):
        if not osp.exists(meta) or not _starts(part, start):
            raise ValueError(f'{part} is not of this command, which would '
                             'write there; move it away, or choose another '
                             '--out')


def _starts(path: str, start: bytes) -> bool:
    """Whether a file begins so, or was cut before it could."""
    try:
        with open(path, 'rb') as file:
            found = file.read(len(start))
    except OSError:
        return False
    return start.startswith(found)


def read_record(out: str) -> Dict[str, Any]:
    """The record of a file of predictions.

    Raises:
        ValueError: What is there is no record of this command.
    """
    meta = meta_path(out)
    try:
        with open(meta, encoding='utf-8') as file:
            record = json.load(file)
        if not isinstance(record, dict) or 'weights' not in record:
            raise ValueError
        return record
    except (OSError, ValueError, RecursionError):
        raise ValueError(f'{meta} is damaged, or not of this command; move '
                         'it away, or choose another --out') from None


def write_record(out: str, record: Mapping[str, Any]) -> None:
    """Replace the record."""
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    text = json.dumps(record, indent=1, ensure_ascii=False) + '\n'
    try:
        content = text.encode()
    except UnicodeEncodeError:  # names that are not UTF-8 must come back
        content = (json.dumps(record, indent=1) + '\n').encode()
    AtomicLocalBackend().put(content, meta_path(out))


def check_same(out: str, wanted: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings.

    Raises:
        ValueError: Something differs.
    """
    made = read_record(out)
    differs = []
    for name in sorted(set(made) | set(wanted)):
        if name in _NOTES or made.get(name) == wanted.get(name):
            continue
        if name == 'pictures':
            differs.append('--save-video, --timeline, --window or --stride '
                           'differ')
            continue
        differs.append(
            f'other {name}' if name in _LONG else
            f'{name} {made.get(name)} there and {wanted.get(name)} here')
    if differs:
        raise ValueError(f'--out {out} was made otherwise than asked now '
                         f'({"; ".join(differs)}); choose another name, or '
                         'add --overwrite')
