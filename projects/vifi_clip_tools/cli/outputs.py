"""Files that tools write: refused before any long work if they cannot be."""
import json
import os
import os.path as osp
import sys
import tempfile
from pathlib import Path
from typing import Any, Optional, Sequence, TextIO

PRINT = '-'  # --json without a file


def check_target(option: str, path: str, suffixes: Sequence[str],
                 overwrite: bool = True) -> str:
    """Make the folder of an output file, see that it can be written, and
    return its path; a ValueError that names the ``option`` if not.

    ``suffixes`` are the endings that are allowed; an existing file is replaced
    with ``overwrite`` only.
    """
    if not path.lower().endswith(tuple(suffixes)):
        raise ValueError(f'{option} writes a {" or ".join(suffixes)} file, '
                         f'got {path!r}')
    if len(os.fsencode(osp.basename(path))) > 250:  # and a temporary one's
        raise ValueError(f'{option} {path} cannot be written: its name is too '
                         'long')
    folder = osp.dirname(osp.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # os.access says yes to root, also in /proc
    except OSError as error:
        raise ValueError(f'{option} {path} cannot be written: '
                         f'{error.strerror}') from error
    if osp.isdir(path) or (osp.exists(path)
                           and not os.access(path, os.W_OK)):
        raise ValueError(f'{option} {path} cannot be written')
    if osp.exists(path) and not overwrite:
        raise ValueError(f'{option} {path} exists; choose another name, or '
                         'add --overwrite')
    return path


def check_json(path: Optional[str], overwrite: bool = True) -> None:
    """Do :func:`check_target` for ``--json``, if it names a file."""
    if path and path != PRINT:
        check_target('--json', path, ('.json', ), overwrite)


def put_json(path: str, value: Any) -> None:
    """Write a value to the file of ``--json``, or print it without a file."""
    from projects.vifi_clip.files import write_json
    if path == PRINT:
        print(json.dumps(value, indent=1))
    else:
        write_json(path, value)


def for_people(json_path: Optional[str]) -> TextIO:
    """Return where tables go: standard output, unless JSON is printed."""
    return sys.stderr if json_path == PRINT else sys.stdout


def check_folder(option: str, path: str) -> None:
    """See that a folder can be made, or written to if it is there, without
    making it; a ValueError that names the ``option`` if not."""
    folder = Path(path).absolute()
    try:
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f'{option} {path} cannot be written: '
                         f'{error.strerror}') from error
