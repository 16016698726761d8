"""Loading runs no code, and files appear whole or not at all."""
import os
import pickle
import stat
import threading
import zipfile
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import numpy as np
import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file
from toy_runner import ToyMetric, toy_runner

from projects.vifi_clip.checkpoints.files import (AtomicLocalBackend,
                                                  load_checkpoint,
                                                  register_loader)
from projects.vifi_clip.checkpoints import files as checkpoint

WEIGHTS = dict(state_dict=dict(weight=torch.arange(4096.)))


class Intruder:
    """Unpickling it makes a folder."""

    def __init__(self, folder) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder, )


@pytest.fixture(params=[True, False], ids=['zip', 'legacy'])
def intruder(request, tmp_path):
    path = tmp_path / 'evil.pth'
    torch.save(
        dict(WEIGHTS, meta=Intruder(tmp_path / 'ran')),
        path,
        _use_new_zipfile_serialization=request.param)
    assert not (tmp_path / 'ran').exists()
    return path


@pytest.fixture
def trusting():
    yield partial(register_loader, trust=True)
    register_loader()


def test_code_is_refused_and_does_not_run(intruder):
    for load in load_checkpoint, CheckpointLoader.load_checkpoint:
        with pytest.raises(ValueError, match='mkdir.*--trust') as caught:
            load(str(intruder))
        assert str(intruder) in str(caught.value)
        assert not intruder.with_name('ran').exists()


def test_code_runs_only_when_trusted(intruder, trusting):
    content = load_checkpoint(str(intruder), trust=True)
    assert torch.equal(content['state_dict']['weight'], torch.arange(4096.))
    intruder.with_name('ran').rmdir()
    trusting()
    CheckpointLoader.load_checkpoint(str(intruder))
    assert intruder.with_name('ran').is_dir()


def test_plain_pickle_is_refused(tmp_path):
    path = tmp_path / 'evil.pkl'
    path.write_bytes(pickle.dumps(Intruder(tmp_path / 'ran')))
    with pytest.raises(ValueError, match='--trust'):
        load_checkpoint(str(path))
    assert not (tmp_path / 'ran').exists()


def test_web_addresses_load_as_safely(intruder, monkeypatch):
    folder = intruder.parent
    torch.save(WEIGHTS, folder / 'good.pth')
    monkeypatch.setenv('TORCH_HOME', str(folder / 'cache'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with HTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}'
        good = CheckpointLoader.load_checkpoint(f'{url}/good.pth')
        with pytest.raises(ValueError, match='--trust'):
            CheckpointLoader.load_checkpoint(f'{url}/evil.pth')
        server.shutdown()
    assert torch.equal(good['state_dict']['weight'], torch.arange(4096.))
    assert not (folder / 'ran').exists()


def _write(path, kind: str) -> None:
    torch.save(
        WEIGHTS, path,
        _use_new_zipfile_serialization=not kind.startswith('legacy'))
    if kind == 'safetensors':
        save_file(WEIGHTS['state_dict'], path)
    elif kind == 'torchscript':
        torch.jit.script(torch.nn.Linear(8, 8)).save(path)


@pytest.mark.parametrize('share', [0, 0.05, 0.5, 0.9])
@pytest.mark.parametrize('kind', ['zip', 'legacy', 'safetensors',
                                  'torchscript'])
@pytest.mark.parametrize('trust', [False, True])
def test_a_file_cut_short(tmp_path, kind, share, trust):
    path = tmp_path / ('a.safetensors' if kind == 'safetensors' else 'a.pth')
    _write(path, kind)
    assert load_checkpoint(str(path), trust=trust)
    whole = path.read_bytes()
    path.write_bytes(whole[:int(len(whole) * share)])
    with pytest.raises(ValueError, match='damaged') as caught:
        load_checkpoint(str(path), trust=trust)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize('content', [
    b'<!DOCTYPE html><html>not found</html>', b'hello, world\n' * 9,
    bytes(500), b'\x80\x02' + bytes(range(256))
])
def test_a_file_of_another_kind(tmp_path, content):
    path = tmp_path / 'page.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='page.pth'):
        load_checkpoint(str(path))


def test_overwritten_archives(tmp_path):
    for kind in 'zip', 'torchscript':
        path = tmp_path / f'{kind}.pth'
        _write(path, kind)
        content = bytearray(path.read_bytes())
        content[100:1000] = bytes(900)
        path.write_bytes(content)
        with pytest.raises(ValueError, match='damaged'):
            load_checkpoint(str(path))
    with zipfile.ZipFile(tmp_path / 'other.pth', 'w') as archive:
        archive.writestr('folder/readme.txt', 'hello')
    with pytest.raises(ValueError, match='damaged'):
        load_checkpoint(str(tmp_path / 'other.pth'))


def test_absent_files_and_folders(tmp_path):
    for path in tmp_path / 'absent.pth', tmp_path:
        with pytest.raises(FileNotFoundError, match=str(path)):
            load_checkpoint(str(path))


def test_our_checkpoints_need_no_trust(tmp_path):
    ToyMetric.scores = [0.25, np.float64(0.5), np.float32(0.75)]
    toy_runner(tmp_path, epochs=3, val=True).train()
    for epoch in 2, 3:
        # as anybody loads it, without this package's help
        content = torch.load(tmp_path / f'epoch_{epoch}.pth')
        assert {'state_dict', 'optimizer', 'param_schedulers', 'message_hub',
                'meta'} <= set(content)
        assert content['optimizer']['state']
        hub = content['message_hub']
        assert 'train/loss' in hub['log_scalars']
        assert hub['runtime_info']['best_score'] == 0.25 * epoch
        again = load_checkpoint(str(tmp_path / f'epoch_{epoch}.pth'))
        assert str(again) == str(content)


def test_numpy_values_of_others_need_no_trust(tmp_path):
    values = [np.float64(0.5), np.float32(0.5), np.int64(3), np.arange(3.)]
    torch.save(dict(WEIGHTS, meta=values), tmp_path / 'a.pth')
    back = load_checkpoint(str(tmp_path / 'a.pth'))['meta']
    for new, old in zip(back, values):
        assert type(new) is type(old) and np.array_equal(new, old)


def test_the_hook_writes_through_the_backend(tmp_path, monkeypatch):
    written = []
    put = AtomicLocalBackend.put

    def spy(self, obj, path):
        written.append(os.path.basename(path))
        put(self, obj, path)

    monkeypatch.setattr(AtomicLocalBackend, 'put', spy)
    ToyMetric.scores = [0.5, 0.25]
    toy_runner(tmp_path, val=True).train()
    # the first once more, now that it is known to be the best
    assert written == ['epoch_1.pth', 'best_score_epoch_1.pth', 'epoch_1.pth',
                       'epoch_2.pth']
    assert {p.name for p in tmp_path.glob('**/*.pth')} == set(written)


@pytest.fixture
def backend():
    return get_file_backend(backend_args=dict(backend='AtomicLocalBackend'))


@pytest.mark.parametrize('broken', ['fsync', 'replace'])
def test_failing_midway_keeps_the_old_file(tmp_path, backend, monkeypatch,
                                           broken):
    path = tmp_path / 'epoch_1.pth'
    backend.put(b'old', path)

    def fail(*args):
        raise OSError('No space left on device')

    monkeypatch.setattr(checkpoint.os, broken, fail)
    with pytest.raises(OSError, match='No space'):
        backend.put(b'new' * 1000, path)
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['epoch_1.pth']


def test_what_a_killed_writer_left_is_written_over(tmp_path, backend):
    (tmp_path / '.a.pth.tmp').write_bytes(b'half' * 100)
    backend.put(b'whole', tmp_path / 'a.pth')
    assert os.listdir(tmp_path) == ['a.pth']
    assert (tmp_path / 'a.pth').read_bytes() == b'whole'


@pytest.mark.parametrize('umask', [0o022, 0o027, 0o002])
def test_mode_follows_the_umask(tmp_path, backend, umask):
    old = os.umask(umask)
    try:
        backend.put(b'content', tmp_path / 'new' / 'a.pth')
    finally:
        os.umask(old)
    mode = stat.S_IMODE((tmp_path / 'new' / 'a.pth').stat().st_mode)
    assert mode == 0o666 & ~umask
