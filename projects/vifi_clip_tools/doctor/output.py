"""Writes the report's folder, all of it or none."""
import json
import os
from pathlib import Path
from typing import Dict, Iterable, Optional

from projects.vifi_clip.errors import UserError

REPORT = 'report.json'


def check_out(out: Path, originals: Iterable[Path], inputs: Dict,
              force: bool) -> None:
    """Refuse a folder that the report must not go to, before the long run.

    Args:
        out (Path): Folder for the report.
        originals (Iterable[Path]): The folders of videos and lists.
        inputs (dict): What this run depends on.
        force (bool): Whether another report may be replaced.

    Raises:
        UserError: If ``out`` is, holds or lies in a folder of the originals,
            or holds foreign files, or without ``force`` another report.
    """
    place, here = out.resolve(), Path.cwd().resolve()
    for folder in originals:
        original = folder.resolve()
        # Lists in the working directory do not forbid all that is below it.
        wide = original == here or original in here.parents
        if place == original or (original in place.parents and not wide):
            raise UserError(f'--out {out} lies in {folder}, which holds the '
                            'originals; choose a folder outside it')
        if place in original.parents:
            raise UserError(f'--out {out} holds {folder}, the originals; '
                            'choose another folder')
    if out.exists() and not out.is_dir():
        raise UserError(f'--out {out} is a file; choose another folder')
    if not out.is_dir() or not os.listdir(out):
        return
    known = _read_report(out)
    foreign = _foreign(out, known)
    if foreign:
        raise UserError(f'--out {out} holds files that are no part of a '
                        f'report ({foreign}); nothing was touched: move them '
                        'away or choose another folder')
    if known and known['inputs'] != inputs and not force:
        raise UserError(
            f'{out} holds a report on other lists or options; nothing was '
            'touched: use --force to replace it, or choose another --out')


def write_out(out: Path, files: Dict[str, bytes], force: bool) -> Path:
    """Write the report's folder.

    Args:
        out (Path): The folder, as :func:`check_out` passed it.
        files (dict[str, bytes]): Relative path to content.
        force (bool): Whether another report may be replaced.

    Returns:
        Path: Where the report lies: ``out``, or ``out_2``, ``out_3``, ... if
        an earlier report says otherwise and is to be kept.
    """
    # Not at the top: it loads an encoder, which workers do not need.
    from ..mini_world.folder import replacing
    if _holds(out, files):
        return out
    chosen, number = out, 2
    while not force and chosen.is_dir() and os.listdir(chosen):
        chosen, number = out.with_name(f'{out.name}_{number}'), number + 1
        if _holds(chosen, files):
            return chosen
    with replacing(chosen) as folder:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return chosen


def _read_report(out: Path) -> Optional[Dict]:
    """The report that lies there; None if there is none of ours."""
    try:
        data = json.loads((out / REPORT).read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get('inputs'), dict):
        return None
    files = data.get('files')
    whole = isinstance(files, list) and REPORT in files
    return data if whole and all(isinstance(f, str) for f in files) else None


def _foreign(out: Path, report: Optional[Dict]) -> Optional[str]:
    """A file that no report put there."""
    ours = set(report['files']) if report else set()
    return next((name for name in sorted(_files_in(out)) if name not in ours),
                None)


def _files_in(folder: Path) -> Iterable[str]:
    """Files, and what else is more than the way to a file."""
    return [
        path.relative_to(folder).as_posix() for path in folder.rglob('*')
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    ]


def _holds(folder: Path, files: Dict[str, bytes]) -> bool:
    return (folder.is_dir() and set(_files_in(folder)) == set(files)
            and all((folder / name).read_bytes() == content
                    for name, content in files.items()))
