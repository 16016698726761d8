"""Files that lie, run or want the machine's memory are refused in bounds."""
import os
import pickle
import random
import resource
import struct
import zipfile
from enum import Enum
from typing import Dict, Final, Optional

import pytest
import torch
from commands import refused
from mmaction.registry import MODELS
from mmengine.runner import CheckpointLoader
from release_file import ARCH
from torch import Tensor, nn
from toy_runner import toy_runner

from projects.vifi_clip.apis.loading import load_model
from projects.vifi_clip.checkpoints.files import (load_checkpoint,
                                                  load_weights,
                                                  register_loader)

OUT_OF_MEMORY, OUT_OF_TIME = 2**30, 5  # bytes, and seconds of the processor


def in_bounds(function, *args) -> str:
    """Return the message of the ValueError that a call must end in, with
    little memory and time."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        pages = int(open('/proc/self/statm').read().split()[0])
        most = pages * resource.getpagesize() + OUT_OF_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CPU, (OUT_OF_TIME, OUT_OF_TIME))
        try:
            said = f'returned {type(function(*args))}'
        except BaseException as error:
            said = f'{type(error).__mro__} {error}'
        os.write(write, said.encode()[:4096])
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, 'killed'
    assert "<class 'ValueError'>" in said, said
    return said


def whole(number) -> bytes:
    data = pickle.encode_long(number)
    return b'\x8a' + bytes([len(data)]) + data


def text(value) -> bytes:
    return b'X' + struct.pack('<I', len(value)) + value.encode()


def tensor(numel, size, stride, storage=b'FloatStorage', key='0') -> bytes:
    """The pickle of a tensor in the storage '0'; AGAIN makes another."""
    return (b'ctorch._utils\n_rebuild_tensor_v2\nq\x00((' + text('storage')
            + b'ctorch\n' + storage + b'\n' + text(key) + text('cpu')
            + whole(numel) + b'tQ' + whole(0) + whole(size) + b'\x85'
            + whole(stride) + b'\x85\x89Ntq\x01R')


def weights(data) -> bytes:
    return b'}' + text('a.weight') + data + b's'


HUGE, AGAIN = 2**33, b'h\x00h\x01R'
LAUGHS = b'Nq\x000' + (b'](' + b'h\x00' * 10 + b'eq\x000') * 40 + b'h\x00'
# What a pickle does, and the words of the refusal.
PICKLES = dict(
    objects=(b'](' + b'}' * 10**6 + b'e', 'more objects'),
    sets=(b'](' + b'\x8f' * 10**6 + b'e', 'more objects'),
    names=(b'](' + b''.join(b'cm\n%d\n' % i for i in range(400_000)) + b'e',
           'more objects'),
    stand_ins=(b'](' + b'cm\na\n)R' * 400_000 + b'e', 'more objects'),
    tensors=(b'](' + tensor(4, 1, 1) + AGAIN * 80_000 + b'e',
             'more objects'),
    copies=(b'c_codecs\nencode\nq\x00' + text('a' * 2**20) + b'\x85q\x01]('
            + AGAIN * 5000 + b'e', 'more objects'),
    hashes=(b'}(' + b''.join(whole((2**61 - 1) * i) + b'N'
                             for i in range(1, 99_999)) + b'u', 'objects'),
    deep_key=(b'})' + b'\x85' * 50_000 + b'Ns', 'nested tuple'),
    deep=(b']' * 50_000 + b'a' * 49_999, 'nested'),
    laughs=(weights(LAUGHS), 'nested'),
    itself=(b']q\x00h\x00a', 'nested'),
    bytearray=(b'cbuiltins\nbytearray\n' + whole(2**36) + b'\x85R', ''),
    bytearray8=(b'\x96' + struct.pack('<Q', 2**36), 'cut short'),
    frame=(b'\x95' + struct.pack('<Q', 2**36), ''),
    numpy=(b'cnumpy.core.multiarray\n_reconstruct\n)R(K\x01' + whole(HUGE)
           + b'\x85cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85R\x89C\x00tb',
           'another size'),
    expanded=(weights(tensor(4, HUGE, 0)), 'the memory of the file'),
    larger=(weights(tensor(4, 5, 1)), 'larger than its storage'),
    claimed=(weights(tensor(HUGE, HUGE, 1)), ''),
    views=(b'](' + tensor(4, 2**17, 0) + AGAIN * 10 + b'e', 'the memory of'),
    instruction=(b'\xff', 'instruction 255'))


def write_zip(path, data, compress=zipfile.ZIP_STORED, **entries) -> None:
    with zipfile.ZipFile(path, 'w', compress) as archive:
        archive.writestr('a/data.pkl', data)
        archive.writestr('a/data/0', bytes(16))
        for name, content in entries.items():
            archive.writestr(f'a/data/{name}', content)


def write_legacy(path, data, numel=4) -> None:
    with open(path, 'wb') as file:
        for part in torch.serialization.MAGIC_NUMBER, 1001, {}:
            pickle.dump(part, file, 2)
        file.write(data.replace(b'tQ\x8a', b'NtQ\x8a') + pickle.dumps(['0'], 2)
                   + struct.pack('<q', numel) + bytes(16))


@pytest.mark.parametrize('write', [write_zip, write_legacy])
@pytest.mark.parametrize('name', PICKLES)
def test_pickles_that_want_memory_or_time(tmp_path, name, write):
    data, words = PICKLES[name]
    write(tmp_path / 'a.pth', b'\x80\x04' + data + b'.')
    said = in_bounds(load_weights, str(tmp_path / 'a.pth'))
    assert 'a.pth' in said and words in said and len(said) < 600


def write_many(path) -> None:
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a/data.pkl', b'\x80\x02}.')
        for i in range(150):
            archive.writestr(f'a/data/{i:060000}', b'')


def write_header(path, header, length=None) -> None:
    path.with_suffix('.safetensors').write_bytes(
        struct.pack('<Q', length or len(header)) + header + bytes(16))


@pytest.mark.parametrize('write', [
    lambda path: write_zip(path, b'\x80\x02](' + b'}' * 3 * 10**7 + b'e.',
                           zipfile.ZIP_DEFLATED),
    lambda path: write_zip(
        path, b'\x80\x02' + weights(tensor(
            10**8, 10**8, 1, b'ByteStorage', '1')) + b'.',
        zipfile.ZIP_DEFLATED, **{'1': bytes(10**8)}),
    lambda path: write_zip(path, b'\x80\x02}.', zipfile.ZIP_LZMA),
    lambda path: write_legacy(path, b'\x80\x02' + weights(
        tensor(4, 4, 1)) + b'.', HUGE),
    lambda path: write_legacy(path, b'\x80\x02c' + b'a' * 10**7),
    write_many,
    lambda path: write_header(path, b'{"a":{"dtype":"F32","shape":[2147483648]'
                              b',"data_offsets":[0,8589934592]}}'),
    lambda path: write_header(path, b'{' + b','.join(
        b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i
        for i in range(100_000)) + b'}'),
    lambda path: write_header(path, b'{}', 2**62)], ids=[
        'pickle', 'storage', 'lzma', 'legacy size', 'line', 'directory',
        'offsets', 'header', 'header size'])
def test_archives_that_want_memory_or_time(tmp_path, write):
    write(tmp_path / 'a.pth')
    path, = tmp_path.iterdir()
    assert path.name in in_bounds(load_weights, str(path))


class Runs(nn.Module):
    """It writes over a file, or never ends, when it is loaded."""
    file: Final[str]

    def __init__(self, file) -> None:
        super().__init__()
        self.file = file
        self.weight = nn.Parameter(torch.ones(2))

    @torch.jit.export
    def __getstate__(self) -> Dict[str, Tensor]:
        return {'weight': self.weight}

    @torch.jit.export
    def __setstate__(self, state: Dict[str, Tensor]) -> None:
        self.weight = state['weight']
        self.training = False
        while self.file == 'hang':
            self.weight = self.weight + 1
        self.weight = torch.from_file(self.file, True, 2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight.sum()


@pytest.fixture(params=['file', 'hang'])
def runs(request, tmp_path):
    """A TorchScript archive that writes over the file 'precious', or hangs."""
    path, precious = tmp_path / 'runs.pt', tmp_path / 'precious'
    precious.write_text('words')
    torch.jit.script(Runs('hang' if request.param == 'hang' else
                          str(precious))).save(str(path))
    yield str(path)
    assert precious.read_text() == 'words'


def test_no_way_in_runs_torchscript(runs, tmp_path, capsys):
    cfg = dict(type='CLIPVisionBackbone', arch=ARCH, pretrained=runs)
    good, dst = tmp_path / 'good.pth', tmp_path / 'dst.pth'
    torch.save({'visual.proj': torch.ones(2)}, good)
    for load in (
            lambda: load_checkpoint(runs), lambda: load_weights(runs),
            lambda: CheckpointLoader.load_checkpoint(runs, 'meta'),
            lambda: load_model('small_world', runs),
            lambda: toy_runner(tmp_path / 'a', load_from=runs).train(),
            lambda: toy_runner(tmp_path / 'b', load_from=runs,
                               resume=True).train(),
            lambda: MODELS.build(cfg)):
        with pytest.raises(ValueError, match=f'{runs}.*__setstate__.*--trust'):
            load()
    for src, *more in (runs, ), (good, f'--clip={runs}'):
        refused(capsys, 'convert', src, dst, '--source=openai',
                '--target=vifi', *more, names=[runs, '--trust'])
    assert not dst.exists()


def test_torchscript_runs_when_trusted(tmp_path, capsys):
    path, made = tmp_path / 'runs.pt', tmp_path / 'made'
    torch.jit.script(Runs(str(made))).save(str(path))
    try:
        register_loader(trust=True)
        content = CheckpointLoader.load_checkpoint(str(path))
        assert content['weight'].tolist() == [0, 0]
        assert made.stat().st_size == 8
        made.unlink()
        refused(capsys, 'convert', path, tmp_path / 'dst.pth', '--trust',
                '--source=openai', '--target=vifi', names='of a known layout')
        assert made.stat().st_size == 8
    finally:
        register_loader()


class Kind(Enum):
    ONE = 1


class Tree(nn.Module):
    """Of all kinds of attributes, some of which are no weights."""
    optional_buffer: Optional[Tensor]

    def __init__(self, kind) -> None:
        super().__init__()
        self.attribute, self.size = torch.ones(3), (1, 2)
        self.register_buffer('scalar', torch.tensor(224))
        self.register_buffer('absent', None)
        self.register_buffer('optional_buffer', torch.ones(2))
        self.register_buffer('small', torch.ones(2).to(torch.float8_e5m2))
        self.kind = Kind.ONE
        self.register_buffer('passing', torch.zeros(2), persistent=False)
        self.conv = nn.Sequential(nn.Conv1d(1, 1, 1))  # has Optional's bias
        self.layers = nn.ModuleList([nn.BatchNorm1d(2), nn.Linear(2, 2)])
        self.tied = self.layers[1]
        self.list = nn.ParameterList([nn.Parameter(torch.ones(2))])
        self.weight = nn.Parameter(torch.randn(4, 2)[::2].T)
        self.optional: Optional[Tensor] = torch.ones(2)
        self.tensors, self.dict = [torch.ones(1)], {'a': torch.ones(1)}
        self.floats, self.device = [1.5], torch.device('cpu')

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        x = self.tied(x) + self.weight.sum() + self.attribute.sum()
        return x + self.tensors[0] + self.dict['a'] + self.scalar + sum(
            self.floats)


def scripted(name) -> torch.jit.ScriptModule:
    model, x = Tree(name).eval(), torch.ones(2, 2)
    if name.startswith('half'):
        model = model.half()
    return torch.jit.trace(model, x.to(model.weight.dtype)) if name.endswith(
        'trace') else torch.jit.script(model)


@pytest.mark.parametrize('name', ['script', 'trace', 'half script',
                                  'half trace'])
def test_torchscript_as_torch_reads_it(tmp_path, name):
    torch.manual_seed(0)
    path = str(tmp_path / 'a.pt')
    scripted(name).save(path)
    expected = torch.jit.load(path).state_dict()
    assert len(expected) > 9
    for device in 'cpu', 'meta':
        state = load_checkpoint(path, device)
        assert list(state) == list(expected)
        for key, value in state.items():
            wanted = expected[key]
            assert (value.dtype, value.shape, value.stride()) == (
                wanted.dtype, wanted.shape, wanted.stride())
            assert device == 'meta' or torch.equal(
                value.double(), wanted.double())


def flipped(data, draw, count):
    """Yield copies of data with one bit that differs."""
    for _ in range(count):
        copy, bit = bytearray(data), draw.randrange(8 * len(data))
        copy[bit // 8] ^= 1 << bit % 8
        yield bytes(copy)


@pytest.mark.parametrize('save', [
    lambda path: torch.save({'a.weight': torch.randn(500)}, path),
    lambda path: torch.jit.script(nn.Linear(20, 20)).save(path)],
    ids=['zip', 'torchscript'])
def test_a_flipped_bit_is_found_or_does_not_matter(tmp_path, save):
    torch.manual_seed(0)
    path, refusals = tmp_path / 'a.pt', 0
    save(str(path))
    expected = load_weights(str(path))
    for data in flipped(path.read_bytes(), random.Random(0), 150):
        path.write_bytes(data)
        try:
            state = load_weights(str(path))
        except ValueError as error:
            assert str(path) in str(error)
            refusals += 1
        else:
            assert list(state) == list(expected) and all(
                torch.equal(state[key], expected[key]) for key in state)
    assert refusals > 40
