"""Loading runs no code, and files appear whole or not at all."""
import hashlib
import io
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
from open_clip.tokenizer import SimpleTokenizer
from release_file import Intruder
from safetensors.torch import save_file
from toy_runner import ToyMetric, toy_runner

from benchmarks.pack_weights import pack
from projects.vifi_clip.checkpoints import files
from projects.vifi_clip.checkpoints.files import (load_checkpoint,
                                                  load_weights,
                                                  register_loader)
from projects.vifi_clip.checkpoints.unpickling import Inert, InertUnpickler
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import (read_json, sha256_of, write_bytes,
                                      write_json)

WEIGHTS = dict(state_dict=dict(weight=torch.arange(4096.)))


@pytest.fixture(params=[True, False], ids=['zip', 'legacy'])
def intruder(request, tmp_path):
    path = tmp_path / 'evil.pth'
    torch.save(dict(WEIGHTS, meta=Intruder(tmp_path / 'ran')), path,
               _use_new_zipfile_serialization=request.param)
    return path


def test_code_runs_only_when_trusted(intruder):
    with pytest.raises(ValueError, match=f'{intruder}.*mkdir.*--trust'):
        CheckpointLoader.load_checkpoint(str(intruder))
    assert torch.equal(load_weights(str(intruder))['state_dict']['weight'],
                       WEIGHTS['state_dict']['weight'])
    assert not intruder.with_name('ran').exists()
    register_loader(trust=True)
    try:
        content = CheckpointLoader.load_checkpoint(str(intruder))
    finally:
        register_loader()
    assert torch.equal(content['state_dict']['weight'], torch.arange(4096.))
    assert intruder.with_name('ran').is_dir()


def test_web_addresses_load_as_safely(intruder, monkeypatch):
    folder = intruder.parent
    torch.save(WEIGHTS, folder / 'good.pth')
    monkeypatch.setenv('TORCH_HOME', str(folder / 'cache'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with HTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True,
                         kwargs=dict(poll_interval=0.01)).start()
        url = f'http://127.0.0.1:{server.server_port}'
        good = CheckpointLoader.load_checkpoint(f'{url}/good.pth')
        with pytest.raises(ValueError, match='--trust'):
            CheckpointLoader.load_checkpoint(f'{url}/evil.pth')
        server.shutdown()
    assert torch.equal(good['state_dict']['weight'], torch.arange(4096.))
    assert not (folder / 'ran').exists()


@pytest.mark.parametrize('data', [
    b'cposix\nsystem\n(X\x06\x00\x00\x00exit 1tR.',
    b'c__builtin__\neval\n(X\x03\x00\x00\x001/0tR.',
    b'cbuiltins\ngetattr\n(ctorch\nload\nX\x08\x00\x00\x00__code__tR.',
    # protocol 4 would look names with dots up from attribute to attribute
    b'\x80\x04\x8c\x05torch\x8c\x17serialization.os.system\x93\x8c\x01a\x85R.',
    b'(S"exit 1"\niposix\nsystem\n.',
])
def test_names_stand_for_nothing(data):
    content = InertUnpickler(io.BytesIO(data)).load()
    assert isinstance(content, Inert) and not content


@pytest.mark.parametrize('target', [
    b'cyacs\nNode\n', b'ctorch._utils\n_rebuild_tensor_v2\n',
    b'c__builtin__\nset\n'])
def test_what_a_name_stands_for_cannot_be_changed(target):
    """An object's state may name attributes to set, on a class as well."""
    state = b'N}X\x0c\x00\x00\x00dump_patchesI01\ns\x86b.'
    before = dict(vars(Inert)), dict(vars(files))
    # A class finds its objects' method instead, and cannot call it so.
    with pytest.raises((pickle.UnpicklingError, AttributeError, TypeError)):
        InertUnpickler(io.BytesIO(target + state)).load()
    assert (dict(vars(Inert)), dict(vars(files))) == before
    assert not hasattr(torch._utils._rebuild_tensor_v2, 'dump_patches')


@pytest.mark.parametrize('protocol', [2, 3, 4])
def test_plain_values_stay(protocol):
    value = dict(a=[1, 2.5, 'x', None, True], b={3, 4}, c=b'bytes', d=(1, ),
                 e=torch.float16, f=torch.Size([2]))
    data = io.BytesIO(pickle.dumps(value, protocol))
    assert InertUnpickler(data).load() == value


WRITERS = dict(
    zip=lambda path: torch.save(WEIGHTS, path),
    legacy=lambda path: torch.save(WEIGHTS, path,
                                   _use_new_zipfile_serialization=False),
    torchscript=lambda path: torch.jit.script(
        torch.nn.Linear(8, 8)).save(path),
    safetensors=lambda path: save_file(WEIGHTS['state_dict'], path))


@pytest.mark.parametrize('kind', WRITERS)
@pytest.mark.parametrize('trust', [False, True])
def test_a_damaged_file_or_one_of_another_kind(tmp_path, kind, trust):
    path = tmp_path / ('a.safetensors' if kind == 'safetensors' else 'a.pth')
    WRITERS[kind](path)
    assert load_checkpoint(str(path), trust=trust)
    whole = path.read_bytes()
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('folder/readme.txt', 'hello')
    parts = [path.read_bytes(), b'<!DOCTYPE html><html></html>', bytes(500),
             b'\x80\x02' + bytes(range(256)),
             *(whole[:int(len(whole) * share)] for share in (0, .05, .9))]
    if kind in ('zip', 'torchscript'):
        parts.append(whole[:100] + bytes(900) + whole[1000:])
    for part in parts:
        path.write_bytes(part)
        with pytest.raises(ValueError, match=str(path)):
            load_checkpoint(str(path), trust=trust)


@pytest.mark.parametrize('content', [
    torch.zeros(2), {1: torch.zeros(2)}, dict(state_dict=None),
    dict(state_dict={1: torch.zeros(1)}),
    dict(state_dict={'a': 'x', 'b': torch.zeros(1)})], ids=repr)
def test_no_file_or_no_dict_of_weights(tmp_path, content):
    for path in tmp_path / 'odd.pth', tmp_path:
        with pytest.raises(FileNotFoundError, match=str(path)):
            load_checkpoint(str(path))
    torch.save(content, tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match='odd.pth'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'odd.pth'))


def test_our_checkpoints_need_no_trust(tmp_path):
    ToyMetric.scores = [0.25, np.float64(0.5), np.float32(0.75)]
    toy_runner(tmp_path, epochs=3, val=True).train()
    for epoch in 2, 3:
        # as anybody loads it, without this package's help
        content = torch.load(tmp_path / f'epoch_{epoch}.pth')
        assert {'state_dict', 'param_schedulers', 'meta'} <= set(content)
        assert content['optimizer']['state']
        hub = content['message_hub']
        assert 'train/loss' in hub['log_scalars']
        assert hub['runtime_info']['best_score'] == 0.25 * epoch
    values = [np.float64(0.5), np.int64(3), np.arange(3.)]  # of others
    torch.save(dict(WEIGHTS, meta=values), tmp_path / 'a.pth')
    back = load_checkpoint(str(tmp_path / 'a.pth'))['meta']
    assert repr(back) == repr(values)


@pytest.mark.parametrize('broken', ['fsync', 'replace'])
def test_failing_midway_keeps_the_old_file(tmp_path, monkeypatch, broken):
    backend = get_file_backend(backend_args=dict(backend='AtomicLocalBackend'))
    path = tmp_path / 'epoch_1.pth'
    backend.put(b'old', path)

    def fail(*args):
        raise OSError('No space left on device')

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match='No space'):
        backend.put(b'new' * 1000, path)
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['epoch_1.pth']


@pytest.mark.parametrize('umask', [0o022, 0o002])
def test_what_a_killed_writer_left_is_written_over(tmp_path, umask):
    path, old = tmp_path / 'new/a.pth', os.umask(umask)
    try:
        write_json(path.with_name('.a.pth.tmp'), ['caf\udce9.mp4'])  # any name
        assert read_json(path.with_name('.a.pth.tmp')) == ['caf\udce9.mp4']
        write_bytes(path, b'whole')
    finally:
        os.umask(old)
    assert os.listdir(path.parent) == ['a.pth']
    assert sha256_of(path) == hashlib.sha256(b'whole').hexdigest()
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_shipped_weights():
    with pytest.raises(UserError, match='vifi-clip://small_world'):
        CheckpointLoader.load_checkpoint('vifi-clip://moon')
    state = CheckpointLoader.load_checkpoint('vifi-clip://small_world')
    rows = state['state_dict'][files.TOKEN_TABLE].any(1)
    encode = SimpleTokenizer().encode
    assert rows[encode('a photo of a spinning red ring.')].all()
    assert rows.sum() < 2000 and not rows[encode('banana')].all()
    assert (files.ASSETS / 'small_world.pth.xz').stat().st_size < 1.5 * 2**20


def test_packing_keeps_the_weights(tmp_path, monkeypatch):
    table, other = torch.randn(49408, 2), torch.randn(3, 4)
    (tmp_path / 'mine.pth.xz').write_bytes(pack(dict(
        state_dict={files.TOKEN_TABLE: table, 'w': other},
        meta=dict(vifi_clip=dict(num_frames=8), mmengine_version='x')),
        'a red ring\na star\n'))
    monkeypatch.setattr(files, 'ASSETS', tmp_path)
    content = CheckpointLoader.load_checkpoint('vifi-clip://mine')
    assert content['meta'] == dict(vifi_clip=dict(num_frames=8))
    rows = SimpleTokenizer().encode('a red ring star') + [49406, 49407]
    expected = torch.zeros_like(table)
    expected[rows] = table[rows]
    torch.testing.assert_close(
        content['state_dict'], {files.TOKEN_TABLE: expected, 'w': other},
        atol=1e-3, rtol=1e-3)
