"""Writes the report's folder, all of it or none."""
import json
import os
from pathlib import Path
from typing import Dict

from projects.vifi_clip.errors import UserError

from ..mini_world.folder import replacing
from .report import REPORT


def check_out(out: Path, force: bool) -> None:
    """Refuse, before the long run, a folder for the report that holds foreign
    files, or an earlier report unless ``force`` says to replace it."""
    if out.exists() and not out.is_dir():
        raise UserError(f'--out {out} is a file; choose another folder')
    if not out.is_dir() or not os.listdir(out):
        return
    try:
        report = json.loads((out / REPORT).read_text(encoding='utf-8'))
        files = list(report['files'])
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        files = []  # no report of ours
    foreign = sorted(
        path.relative_to(out).as_posix() for path in out.rglob('*')
        if path.is_symlink() or not path.is_dir())
    if REPORT in files:
        foreign = [name for name in foreign if name not in files]
    if foreign:
        raise UserError(f'--out {out} holds files that are no part of a '
                        f'report ({foreign[0]}); move them away or choose '
                        'another folder')
    if not force:
        raise UserError(f'--out {out} holds a report; use --force to replace '
                        'it, or choose another folder')


def write_out(out: Path, files: Dict[str, bytes]) -> None:
    """Write the report's files in place of what the folder holds."""
    with replacing(out) as new:
        for name, content in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
