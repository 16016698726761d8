"""Writes the report's folder, all of it or none."""
import json
import os
from pathlib import Path
from typing import Dict, Iterable, List

from projects.vifi_clip.errors import UserError

from ..mini_world.folder import replacing
from .report import REPORT


def check_out(out: Path, originals: Iterable[Path], inputs: Dict,
              force: bool) -> None:
    """Refuse a folder for the report that is, holds or lies in a folder of
    the originals, or holds foreign files, or without ``force`` another
    report; before the long run."""
    target, cwd = out.resolve(), Path.cwd().resolve()
    for folder in originals:
        original = folder.resolve()
        # Lists in the working directory do not forbid all that is below it.
        wide = cwd.is_relative_to(original)
        if original.is_relative_to(target) or (
                target.is_relative_to(original) and not wide):
            raise UserError(f'--out {out} is, holds or lies in {folder}, where'
                            ' the originals are; choose a folder outside it')
    if out.exists() and not out.is_dir():
        raise UserError(f'--out {out} is a file; choose another folder')
    if not out.is_dir() or not os.listdir(out):
        return
    try:
        report = json.loads((out / REPORT).read_text(encoding='utf-8'))
        files, earlier = list(report['files']), report['inputs']
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        files, earlier = [], None  # no report of ours
    foreign = [name for name in sorted(_files_in(out))
               if REPORT not in files or name not in files]
    if foreign:
        raise UserError(f'--out {out} holds {foreign[0]}, no part of a report;'
                        ' move it away, or choose another folder')
    if earlier != inputs and not force:
        raise UserError(f'{out} holds a report on other lists or options; use '
                        '--force to replace it, or choose another --out')


def write_out(out: Path, files: Dict[str, bytes], force: bool) -> Path:
    """Write the report's files, and return where: ``out``, or ``out_2``,
    ``out_3``, ... if an earlier report says otherwise and is to be kept."""
    folder, number = out, 2
    while folder.is_dir() and os.listdir(folder):
        if set(_files_in(folder)) == set(files) and all(
                (folder / name).read_bytes() == content
                for name, content in files.items()):
            return folder  # it says the same
        if force:
            break
        folder, number = out.with_name(f'{out.name}_{number}'), number + 1
    with replacing(folder) as new:
        for name, content in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return folder


def _files_in(folder: Path) -> List[str]:
    """Files, and what else is more than the way to a file."""
    return [
        path.relative_to(folder).as_posix() for path in folder.rglob('*')
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    ]
