"""Unfinished work: what takes a place at the end, and what a kill leaves."""
import os
import signal
import tempfile
from pathlib import Path

import pytest

from projects.vifi_clip.files import replacing, temporary_folder


def killed_in_a_folder(parent) -> Path:
    """Return the folder of a process that was killed while it used it."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with temporary_folder(parent) as folder:
            (folder / 'half').mkdir()
            os.write(writer, str(folder).encode())
            signal.pause()
    folder = Path(os.read(reader, 4096).decode())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return folder


def test_what_a_killed_process_left_goes_and_nothing_else(tmp_path):
    user = tmp_path / 'user'
    user.mkdir()
    foreign = [tmp_path / name for name in (
        'vifi_clip_12345678', '.vifi_clip_1234567', '.vifi_clip_123456789',
        '.vifi_clip_1234567é', '.vifi_clip_87654321', '.vifi_clip_abcdefgh')]
    for path in foreign[:4]:
        path.mkdir()
    foreign[4].touch()
    foreign[5].symlink_to(user)
    with temporary_folder(tmp_path) as mine:
        left = [killed_in_a_folder(tmp_path) for _ in range(2)]
        # the second process has removed what the first one left
        assert [path.exists() for path in left] == [False, True]
        with temporary_folder(tmp_path) as other:
            assert sorted(tmp_path.iterdir()) == sorted(
                [user, *foreign, mine, other])
    assert sorted(tmp_path.iterdir()) == sorted([user, *foreign])


def test_a_folder_taken_for_left_is_made_anew(tmp_path, monkeypatch):
    """Another process may come between making and locking."""
    made, mkdtemp = [], tempfile.mkdtemp

    def swept(**kwargs):
        made.append(mkdtemp(**kwargs))
        if len(made) == 1:
            os.rmdir(made[0])
        return made[-1]

    monkeypatch.setattr(tempfile, 'mkdtemp', swept)
    with temporary_folder(tmp_path) as folder:
        assert str(folder) == made[1] and folder.is_dir()


@pytest.mark.parametrize('locks', [True, False])
def test_without_locks_nothing_is_swept(tmp_path, monkeypatch, locks):
    left = killed_in_a_folder(tmp_path)
    if not locks:
        def no_lock(*args):
            raise OSError('No locks available')
        monkeypatch.setattr('fcntl.flock', no_lock)
    with temporary_folder(tmp_path) as folder:
        assert folder.is_dir() and left.exists() is not locks
    assert not folder.exists()


@pytest.mark.parametrize('old, new', [
    ('', 'file'), ('file', 'file'), ('', 'folder'), ('folder', 'folder')])
def test_whole_or_not_at_all(tmp_path, old, new):
    path = tmp_path / 'deep/result.d'

    def write(kind, target, text):
        if kind == 'folder':
            target.mkdir(parents=True)
            target = target / 'file'
        elif kind:
            target.parent.mkdir(exist_ok=True)
        if kind:
            target.write_text(text)

    def found():
        return {str(file.relative_to(tmp_path)): file.read_text()
                for file in tmp_path.rglob('*') if file.is_file()}

    write(old, path, 'old')
    before = found()
    with pytest.raises(ZeroDivisionError), replacing(path) as target:
        write(new, target, 'new')
        assert found().items() > before.items()
        raise ZeroDivisionError
    assert found() == before
    with replacing(path) as target:
        write(new, target, 'new')
    assert list(found().values()) == ['new']
    assert [p.name for p in path.parent.iterdir()] == ['result.d']
