"""What files hold comes back as it is, is chosen among, and is checked."""
import logging
import zipfile
from collections import Counter

import numpy as np
import pytest
import torch
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file
from torch import nn

from projects.vifi_clip.checkpoints import files
from projects.vifi_clip.checkpoints.files import (load_checkpoint,
                                                  load_weights,
                                                  register_loader, tensors_of)

WEIGHTS = dict(state_dict=dict(weight=torch.arange(4096.)))


def rewrite(path, names=lambda name: name, twice='?',
            compression=zipfile.ZIP_STORED, **settings) -> None:
    """Write an archive's entries anew, under other names or some twice."""
    with zipfile.ZipFile(path) as archive:
        entries = [(n, archive.read(n)) for n in archive.namelist()]
    entries += [entry for entry in entries if entry[0].endswith(twice)]
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, data in entries:
            with archive.open(names(name), 'w', **settings) as entry:
                entry.write(data)


def link(path) -> None:
    path.rename(path.with_name('b'))
    path.symlink_to('b')


@pytest.mark.parametrize('change', [
    link, lambda path: rewrite(path, force_zip64=True),
    lambda path: rewrite(path, compression=zipfile.ZIP_DEFLATED)])
def test_unusual_archives(tmp_path, change):
    path = tmp_path / 'a.pth'
    torch.save(WEIGHTS, path)
    change(path)
    assert torch.equal(load_checkpoint(str(path))['state_dict']['weight'],
                       WEIGHTS['state_dict']['weight'])


def test_archives_without_checksums(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(WEIGHTS, tmp_path / 'a.pth')
    finally:
        torch.serialization.set_crc32_options(before)
    assert torch.equal(
        load_checkpoint(str(tmp_path / 'a.pth'))['state_dict']['weight'],
        WEIGHTS['state_dict']['weight'])


@pytest.mark.filterwarnings('ignore:Duplicate')
@pytest.mark.parametrize('names, twice', [
    (lambda name: f'../{name}', '?'), (lambda name: f'b/{name}', '?'),
    (lambda name: name.replace('data/0', 'data/../0'), '?'),
    (lambda name: name, 'data/0'), (lambda name: name, 'data.pkl')])
def test_archives_of_unclear_content(tmp_path, names, twice):
    path = tmp_path / 'a.pth'
    torch.save(WEIGHTS, path)
    rewrite(path, names, twice)
    with pytest.raises(ValueError, match='a.pth.*(data.pkl|lacks)'):
        load_checkpoint(str(path))


@pytest.mark.parametrize('zipped', [True, False])
def test_values_are_as_torch_reads_them(tmp_path, zipped):
    base, path = torch.arange(24.).reshape(4, 6), str(tmp_path / 'a.pth')
    state = nn.BatchNorm1d(2).state_dict()  # with a version
    content = dict(
        state_dict=state, empty=torch.empty(0), half=base.half(),
        views=[base, base[1:, ::2].T], size=base.shape, mask=base > 3,
        long=torch.arange(3), parameter=nn.Parameter(base), set={1, 'a'},
        dtype=torch.float16, device=torch.device('cuda:1'), complex=1 + 2j,
        counter=Counter(a=2), bytes=b'b', array=bytearray(b'a'),
        flag=np.bool_(True), numpy=np.arange(6.).reshape(2, 3).T,
        none=[None, True, 2**70, -1.5, ('a', 1)], scalar=torch.tensor(2))
    if zipped:  # torch cannot read the other
        content['uint16'] = torch.arange(3).to(torch.uint16)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = load_checkpoint(path)
    expected = torch.load(path, weights_only=False)
    assert repr(found).replace('tensor', '') == repr(expected).replace(
        'Parameter containing:\n', '').replace('tensor', '').replace(
            ', requires_grad=True', '')
    assert found['state_dict']._metadata == state._metadata
    first, second = found['views']
    assert first.untyped_storage()._cdata == second.untyped_storage()._cdata
    assert second.stride() == expected['views'][1].stride()


ODD = dict(
    nan=lambda w: w / 0, minus=lambda w: w.fill_(-torch.inf),
    double=lambda w: w.double().fill_(1e300), long=lambda w: w.long(),
    bool=lambda w: w > 0, complex=lambda w: w.to(torch.complex64),
    sparse=lambda w: w.to_sparse(), meta=lambda w: w.to('meta'),
    quantized=lambda w: torch.quantize_per_tensor(w, .1, 0, torch.qint8))


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name, kind', [
    (name, kind) for name in ODD for kind in ('zip', 'legacy', 'safetensors',
                                              'script')
    if kind in ('zip', 'legacy') or name not in ('sparse', 'meta')
    and (name, kind) != ('quantized', 'safetensors')])  # which cannot hold it
def test_weights_that_nobody_can_compute_with(tmp_path, name, kind):
    value = ODD[name](torch.zeros(2, 2))
    state, path = {'good.bias': torch.zeros(1), 'a.weight': value}, str(
        tmp_path / f'a.{kind}')
    if kind == 'safetensors':
        save_file(state, path)
    elif kind == 'script':
        module = nn.Module()
        module.a = nn.Module()
        module.a.register_buffer('weight', value)
        torch.jit.script(module).save(path)
    else:
        torch.save(dict(state_dict=state), path,
                   _use_new_zipfile_serialization=kind == 'zip')
    for load in CheckpointLoader.load_checkpoint, load_weights:
        with pytest.raises(ValueError, match=f'{path}.*(a.weight|_rebuild_)'):
            load(path)


def test_what_is_no_weight_may_be_otherwise(tmp_path):
    state = dict(
        position_ids=torch.arange(77).expand(1, -1), input_resolution=torch.
        tensor(224), num_batches_tracked=torch.tensor(0), mask=torch.ones(
            2).bool(), attn_mask=torch.full((2, 2), -torch.inf).triu(1),
        weight=torch.full((2, 2), 3e38), half=torch.full((9, ), 6e4).half())
    torch.save(state, tmp_path / 'a.pth')
    found = tensors_of(load_weights(str(tmp_path / 'a.pth')))
    assert found.keys() == state.keys() and all(
        torch.equal(value, state[key]) for key, value in found.items())


def part(value):
    return {'module.a.weight': torch.full((2, ), float(value))}


BOTH = dict(state_dict=part(1), state_dict_ema=part(2))


@pytest.mark.parametrize('content, key, taken, words', [
    (part(1), '', 1, ''), (dict(part(1), epoch=3), '', 1, ''),
    (dict(state_dict=part(1)), '', 1, ''),
    (dict(model=part(1), epoch=3), '', 1, ''),
    (dict(model_state_dict=part(1), optimizer_state_dict=dict(
        state={0: part(2)}, param_groups=[])), '', 1, ''),
    (dict(network=part(1), epoch=3), '', 1, "using the weights 'network'"),
    (BOTH, '', 1, "using the weights 'state_dict' of 'state_dict', "
     "'state_dict_ema'; {}#KEY selects others"),
    (BOTH, 'state_dict_ema', 2, "using the weights 'state_dict_ema'"),
    (BOTH, 'state_dict', 1, "using the weights 'state_dict'"),
    (dict(model=part(1), model_ema=part(2)), 'model_ema', 2, 'model_ema'),
    (dict(params=part(1), params_ema=part(2)), 'params_ema', 2, 'params')])
def test_the_weights_of_a_file(tmp_path, monkeypatch, content, key, taken,
                               words):
    path, said = str(tmp_path / 'a.pth'), []
    monkeypatch.setattr(files, 'print_log', lambda *args: said.append(args))
    torch.save(content, path)
    name = f'{path}#{key}' if key else path
    for load in load_weights, CheckpointLoader.load_checkpoint:
        found = load(name)
        assert tensors_of(found)['a.weight'].tolist() == [taken, taken]
        # as MMEngine looks for them
        assert found.get('state_dict', found)['module.a.weight'][0] == taken
        assert found.get('epoch') == content.get('epoch')
    assert len(said) == 2 * bool(words)
    for text, logger, level in said:
        assert words.format(path) in text and level == logging.WARNING


def test_a_number_sign_in_names(tmp_path):
    path = tmp_path / 'run#1' / 'a#b.pth'
    for load in load_weights, CheckpointLoader.load_checkpoint:
        with pytest.raises(FileNotFoundError, match=f"'{path}'"):
            load(str(path))
    path.parent.mkdir(exist_ok=True)
    torch.save(BOTH, path)
    for name, taken in (path, 1), (f'{path}#state_dict_ema', 2):
        assert tensors_of(load_weights(str(name)))['a.weight'][0] == taken


@pytest.mark.parametrize('content, key, words', [
    (nn.Linear(2, 2), '', r'Linear.*torch.save\(model.state_dict\(\), FILE'),
    (dict(model=nn.Linear(2, 2)), '', r'Linear.*model.state_dict\(\)'),
    (dict(params=part(1), params_ema=part(2)), '', 'params.*params_ema.*#KEY'),
    (dict(state_dict=part(1)), 'ema', "'ema', but: 'state_dict'"),
    (dict(epoch=3, best='x'), '', 'no weights by name'),
    ({'\x1b[2Ja.weight': torch.ones(2)}, '', r'\\x1b\[2Ja'),
    ({'a' * 10**6: torch.ones(2)}, '', '.{,300}$'),
    ({}, '', 'no weights by name'), ([part(1)], '', 'a list')])
def test_no_weights_or_unclear_ones(tmp_path, content, key, words):
    path = str(tmp_path / 'a.pth')
    torch.save(content, path)
    name = f'{path}#{key}' if key else path
    for load in load_weights, CheckpointLoader.load_checkpoint:
        with pytest.raises(ValueError, match=f'a.pth.*{words}'):
            load(name)


def test_a_whole_module_when_trusted(tmp_path):
    path = str(tmp_path / 'a.pth')
    torch.save(nn.Linear(2, 2), path)
    register_loader(trust=True)
    try:
        found = CheckpointLoader.load_checkpoint(path)
    finally:
        register_loader()
    assert list(found) == ['weight', 'bias']
