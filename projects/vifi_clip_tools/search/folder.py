"""The folder of an index: what it is, and who may write to it.

``index.json`` says that the folder is an index and which model made it; it is
written first, so that a folder without it is never taken for ours.
``embeddings.lance`` is LanceDB's table; ``index.lock`` is held by the process
that writes.
"""
import fcntl
import json
import os
import os.path as osp
import tempfile
from contextlib import contextmanager
from typing import Any, Dict, Iterator

from projects.vifi_clip.errors import UserError

RECORD, LOCK = 'index.json', 'index.lock'
KIND, FORMAT = 'vifi_clip search index', 1


def read_record(path: str) -> Dict[str, Any]:
    """What ``index.json`` says.

    Args:
        path (str): Folder of the index.

    Returns:
        dict: With ``identity``.

    Raises:
        FileNotFoundError: There is no such folder, or nothing in it.
        ValueError: It is something else, or of a later version.
    """
    if not osp.lexists(path) or osp.isdir(path) and not os.listdir(path):
        raise FileNotFoundError(
            f'There is no search index at {path}; make one with: '
            f'vifi-clip index FOLDER --index {path}')
    try:
        with open(osp.join(path, RECORD), encoding='utf-8') as file:
            record = json.load(file)
        ours = record['kind'] == KIND
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise ValueError(f'{path} is no search index (it has no {RECORD} of '
                         'ours), and stays as it is; give --index a new name')
    if record.get('format') != FORMAT:
        raise ValueError(
            f'{path} has format {record.get("format")} and this version '
            f'reads {FORMAT}: index the videos anew under another name')
    return record


def check_place(path: str) -> None:
    """See that an index is, or can be made, at ``path``; makes the folder.

    Raises:
        ValueError: Something else is there, or it cannot be written.
    """
    try:
        read_record(path)
    except FileNotFoundError:
        pass
    try:
        os.makedirs(path, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(f'--index {path} cannot be written: '
                         f'{error.strerror}') from error


def write_record(path: str, identity: Dict[str, Any]) -> None:
    """Make ``path`` an index.

    Raises:
        FileExistsError: Another index, or something else, is there.
    """
    if osp.isdir(path) and os.listdir(path):
        raise FileExistsError(f'{path} exists and is not empty')
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    record = dict(kind=KIND, format=FORMAT, identity=identity)
    text = json.dumps(record, indent=1, ensure_ascii=False) + '\n'
    AtomicLocalBackend().put(text.encode(), osp.join(path, RECORD))


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Be the only process that writes to an index.

    The lock is the kernel's and ends with the process, however that ends;
    the number in the file only serves the message.

    Raises:
        UserError: Another process is writing.
    """
    with open(osp.join(path, LOCK), 'a+', encoding='utf-8') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            who = file.read().strip() or 'another process'
            raise UserError(
                f'{who} is writing to the index {path}; wait until it is '
                'done (searching works meanwhile)') from None
        file.truncate(0)
        file.write(f'process {os.getpid()}')
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
