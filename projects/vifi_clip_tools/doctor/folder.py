"""Writes the report's folder, all of it or none."""
import json
import os
from pathlib import Path
from typing import Dict, Iterable, List

from projects.vifi_clip.errors import UserError

from .report import REPORT


def check_out(out: Path, originals: Iterable[Path], inputs: Dict,
              force: bool) -> None:
    """Refuse a folder for the report that is, holds or lies in a folder of
    the originals, or holds foreign files, or without ``force`` another
    report; before the long run."""
    place, here = out.resolve(), Path.cwd().resolve()
    for folder in originals:
        original = folder.resolve()
        # Lists in the working directory do not forbid all that is below it.
        wide = original == here or original in here.parents
        if (place == original or place in original.parents
                or (original in place.parents and not wide)):
            raise UserError(f'--out {out} is, holds or lies in {folder}, '
                            'which holds the originals; choose a folder '
                            'outside it')
    if out.exists() and not out.is_dir():
        raise UserError(f'--out {out} is a file; choose another folder')
    if not out.is_dir() or not os.listdir(out):
        return
    report = _read_report(out)
    foreign = next((name for name in sorted(_files_in(out))
                    if name not in report.get('files', ())), None)
    if foreign:
        raise UserError(f'--out {out} holds files that are no part of a '
                        f'report ({foreign}); nothing was touched: move them '
                        'away or choose another folder')
    if report and report['inputs'] != inputs and not force:
        raise UserError(
            f'{out} holds a report on other lists or options; nothing was '
            'touched: use --force to replace it, or choose another --out')


def write_out(out: Path, files: Dict[str, bytes], force: bool) -> Path:
    """Write the report's files, and return where: ``out``, or ``out_2``,
    ``out_3``, ... if an earlier report says otherwise and is to be kept."""
    from ..mini_world.folder import replacing
    chosen, number = out, 2
    while not _holds(chosen, files):
        if force or not chosen.is_dir() or not os.listdir(chosen):
            with replacing(chosen) as folder:
                for name, content in files.items():
                    path = folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
            break
        chosen, number = out.with_name(f'{out.name}_{number}'), number + 1
    return chosen


def _read_report(out: Path) -> Dict:
    """The report that lies there; empty if there is none of ours."""
    try:
        data = json.loads((out / REPORT).read_text(encoding='utf-8'))
        files, inputs = data['files'], data['inputs']
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return {}
    ours = (isinstance(inputs, dict) and isinstance(files, list)
            and REPORT in files and all(isinstance(f, str) for f in files))
    return data if ours else {}


def _files_in(folder: Path) -> List[str]:
    """Files, and what else is more than the way to a file."""
    return [
        path.relative_to(folder).as_posix() for path in folder.rglob('*')
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    ]


def _holds(folder: Path, files: Dict[str, bytes]) -> bool:
    return (folder.is_dir() and set(_files_in(folder)) == set(files)
            and all((folder / name).read_bytes() == content
                    for name, content in files.items()))
