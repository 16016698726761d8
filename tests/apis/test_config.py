"""Configs: their knobs, found, checked and told apart; their files; a model
from its config and checkpoint."""
import importlib.util
import os
import re
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from matrix_world import clear_knobs
from mmengine.config import Config
from open_clip.model import CLIP
from tiny import build_model, model_cfg, tiny_arch
from tools_world import PIPELINES, PREPROCESSOR

from projects.vifi_clip.apis.config import read_config
from projects.vifi_clip.apis.config_lists import check_lists
from projects.vifi_clip.apis.loading import find_device, load_model
from projects.vifi_clip.apis.pipeline import VideoSampler
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.models.towers import resolve_pretrained
from projects.vifi_clip_configs.knobs import (check_knobs, experiment,
                                              is_place, knob_values,
                                              read_knobs)

CONFIGS = Path(__file__).parents[2] / 'configs'
ENTRIES = sorted(path.stem for path in CONFIGS.glob('*.py'))


@pytest.fixture(autouse=True)
def _no_knobs(monkeypatch):
    clear_knobs(monkeypatch)


def _path(name='vifi_few_shot') -> str:
    return str(CONFIGS / f'{name}.py')


def test_defaults():
    # through two levels of bases; the entry's own default
    assert read_knobs(_path('vifi_k400')).items() >= dict(
        NUM_FRAMES='default', TRAIN_LIST='train.txt').items()


def test_every_knob_is_explained():
    page = (CONFIGS.parent / 'docs/settings.md').read_text()
    rows = re.findall(r'^\| (`[A-Z].*?) \|', page, re.M)
    assert {name for row in rows for name in re.findall('[A-Z_]+', row)} == {
        name for path in CONFIGS.rglob('*.py')
        for name in read_knobs(str(path))}


def test_found_as_mmengine_reads_them(tmp_path, monkeypatch):
    """Each spelling that MMEngine fills in, in files and paths of bases."""
    (tmp_path / 'base_four.py').write_text("in_base = '{{$KNOB_D:4}}'\n")
    path = tmp_path / 'config.py'
    path.write_text("_base_ = ['./base_{{$KNOB_B:none}}.py']\n"
                    "a = '{{$KNOB_A:1}}'\nb = '{{ $KNOB_C : 3 }}'\n"
                    "c = {{'$KNOB_E:5'}}\n")
    monkeypatch.setenv('KNOB_B', 'four')
    cfg = Config.fromfile(path)
    assert (cfg.a, cfg.b, cfg.c, cfg.in_base) == ('1', '3', 5, '4')
    assert read_knobs(str(path)) == dict(
        KNOB_A='1', KNOB_B='none', KNOB_C='3', KNOB_D='4', KNOB_E='5')


def test_odd_files_are_mmengines_to_report(tmp_path):
    (tmp_path / 'latin.py').write_bytes(b'# caf\xe9\n')
    (tmp_path / 'folder.py').mkdir()
    path = tmp_path / 'odd.py'
    for text, knobs in (('_base_ = [name for name in ()]', {}), ('', {}),
                        ('not Python {{$OWN:0}}', dict(OWN='0'))):
        path.write_text(text)
        assert read_knobs(str(path)) == knobs
        check_knobs(str(path), knobs, dict(SHOTS='3'))  # nobody's knob here


@pytest.mark.parametrize('knob, entry, names', [
    # misspelled
    *((f'{name}=4', 'vifi_few_shot', f'mean {meant}') for name, meant in (
        ('SHOT', 'SHOTS'), ('TNUE', 'TUNE'), ('dataset', 'DATASET'),
        ('DATAROOT', 'DATA_ROOT'))),
    # of other entries; another list is another experiment, too
    ('PROTOCOL=full', 'vifi_few_shot', ' ARCH, .*SHOTS'),
    ('SHOTS=4', 'vifi_k400', 'NUM_FRAMES'),
    ('TRAIN_LIST=tiny.txt', 'vifi_few_shot', 'SHOTS'),
    # of another METHOD
    *(('TEMPORAL=lstm', entry, 'METHOD.*actionclip.py reads it')
      for entry in ('vifi_k400', 'vifi_mini', 'vifi_cached')),
    # values that no knob can have
    ('SHOTS=', 'vifi_few_shot', 'is empty'),
    *((knob, 'vifi_few_shot', knob) for knob in (
        'NUM_FRAMES=x', 'SEED=04', 'SHOTS=٤', "DATA_ROOT=/home/O'Brien",
        'ARCH=a\nb')),
    # and those that name a file
    *((f'{name}=zero4', 'vifi_few_shot', f'{name}=zero4: choose .*{known}')
      for name, known in (('STRATEGY', 'fsdp'), ('METHOD', 'vifi'))),
    ('METHOD=', 'vifi_few_shot', 'METHOD=: choose'),
    ('DATA_ROOT=C:\\new', 'vifi_few_shot', 'backslashes')])
def test_refused(monkeypatch, knob, entry, names):
    name, _, value = knob.partition('=')
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f'(?s)^{name}.*{names}|^{names}'):
        read_config(entry)


def test_what_else_an_environment_holds():
    """Places for all entries; the nearest of shells, schedulers, builds."""
    names = '''
        DATA_ROOT LIST_ROOT LIST_DIR VIDEO_DIR CLASS_FILE MINI_CLIP
        DISTDIR CUDA_ROOT SPLITTER CONDA_ROOT LIBDIR TEMP HOST SEED_ENV CC
        MACHTYPE ARCHFLAGS SSH_TTY HF_DATASETS_CACHE TMPDIR OMP_NUM_THREADS
        WANDB_DIR LS_COLORS HISTFILE SLURM_NODELIST EDITOR PATH'''.split()
    for entry in ENTRIES:
        check_knobs(_path(entry), read_knobs(_path(entry)),
                    dict.fromkeys(names, '3'))
    assert not is_place('PRETRAINED')


def test_a_reader_that_is_not_installed(monkeypatch):
    knobs = read_knobs(_path('vifi_k400'))
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match=r'vifi_clip\[torchcodec\]'):
        check_knobs(_path('vifi_k400'), knobs, dict(READER='torchcodec-cuda'))
    check_knobs(_path('vifi_k400'), knobs, dict(READER='pyav'))


@pytest.mark.parametrize('knobs, name', [
    ('', ''),
    ('SHOTS=4 DATASET=ucf101 SEED=1 DATA_ROOT=/data LIST_DIR=/my/a/lists',
     'DATASET_ucf101-LIST_DIR_a_lists-SHOTS_4'),
    ('PRETRAINED=/x/k400:best/epoch_10.pth',
     'PRETRAINED_k400_best_epoch_10'),
    ('PRETRAINED=laion2b:s34b/../b88k', 'PRETRAINED_.._b88k'),
    ('TRAIN_LIST=train_tiny.txt', 'TRAIN_LIST_train_tiny')])
def test_experiment(monkeypatch, knobs, name):
    given = dict(knob.split('=') for knob in knobs.split())
    for knob, value in given.items():
        monkeypatch.setenv(knob, value)
    known = read_knobs(_path(
        'vifi_k400' if 'TRAIN_LIST' in knobs else 'vifi_few_shot'))
    assert experiment(known) == name
    values = knob_values(known)
    assert values == {**known, **given} and list(values) == sorted(values)


@pytest.mark.parametrize('text, said', [
    ('model = dict(type=', 'SyntaxError'), ('1 / 0', 'ZeroDivisionError'),
    ('x = 1', 'model must'),
    ("model = dict(type='ViFiCLIP')\nval_pipeline = 3", 'val_pipeline'),
    ('x = "caf\xe9"', 'UnicodeDecodeError'), ("{}['key']", 'KeyError: key'),
    ('exit()', 'SystemExit'), ('_base_ = 3', 'TypeError'),
    ("_base_ = 'bad.py'", '_base_ of itself'),
    (f'a = {"-" * 10**5}1', 'MemoryError|RecursionError')])
def test_configs_that_cannot_be_read(tmp_path, text, said):
    path = tmp_path / 'bad.py'
    path.write_text(text + '\n', encoding='latin-1')
    with pytest.raises((UserError, ValueError), match=said) as error:
        read_config(str(path))
    assert '\n' not in str(error.value) and 'bad.py' in str(error.value)


@pytest.mark.parametrize('name', ['bin.txt', 'bad.json', 'bad.yaml'])
def test_files_that_are_no_config(tmp_path, name):
    (tmp_path / name).write_bytes(b'\0\1{')
    with pytest.raises(UserError, match=name):
        read_config(str(tmp_path / name))


@pytest.mark.parametrize('option, value, kind', [
    *((name, 3, ValueError) for name in (
        'model', 'model.backbone', 'model.cls_head', 'optim_wrapper',
        'train_cfg', 'test_dataloader', 'val_dataloader.dataset',
        'custom_hooks', 'val_pipeline', 'load_from', 'default_scope')),
    ('train_dataloader.num_workers', 10**9, ValueError),
    ('test_dataloader.dataset.pipeline', [3], ValueError),
    # that MMEngine cannot set
    ('steps.x.y', 1, UserError), ('steps.9.type', 'a', UserError),
    ('steps.0', 3, UserError), ('scope.a', 3, UserError),
    # that no model can be built with
    ('model.cls_head', None, UserError), ('model.zz', 3, UserError),
    ('model.type', 'os.getcwd', UserError), ('model.type', 3, UserError),
    ('model.cls_head.type', 'Zz', UserError),
    ('model.backbone.arch.vision_cfg.width', 0, UserError)])
def test_settings_of_another_kind(tmp_path, option, value, kind):
    """The message names the config, the setting and its value."""
    path = tmp_path / 'mine.py'
    path.write_text(f'''
model = {model_cfg(data_preprocessor=PREPROCESSOR)}
train_dataloader = val_dataloader = test_dataloader = dict(dataset={{}})
steps, scope = [dict(type='A')], 'mmaction\'''')
    with pytest.raises(kind, match='mine.py') as error:
        load_model(str(path), device='cpu', cfg_options={option: value})
    assert option in str(error.value) and str(value) in str(error.value)


@pytest.mark.parametrize('change', [
    dict(type='Zz'), dict(type=[1]), dict(type='os.getcwd'),
    dict(_scope_=[1])])
def test_pipelines_that_cannot_be_built(change):
    first, *others = PIPELINES['val']
    cfg = Config(dict(val_pipeline=[{**first, **change}, *others]))
    with pytest.raises(UserError, match='the config cannot be used'):
        VideoSampler(cfg).reader(1)


@pytest.mark.parametrize('change', [
    dict(ann_file='absent.txt'), dict(class_file='absent.csv'),
    dict(data_prefix=dict(video='absent'))])
def test_files_that_are_absent(tmp_path, change):
    def check(dataset, **changes):
        check_lists(Config(dict(
            test_dataloader=dict(dataset=dataset), **changes)),
            ('train', 'val', 'test'))

    (tmp_path / 'list.txt').write_text('a.mp4 0\n')
    (tmp_path / 'names.txt').write_text('jump\n')
    good = dict(type='CheckedVideoDataset', data_root=str(tmp_path),
                ann_file='list.txt', class_file=str(tmp_path / 'names.txt'))
    check(good)
    check({**good, 'ann_file': 's3://bucket/list.txt'})
    bad = {**good, **change}
    repeated = dict(type='RepeatDataset', times=2, dataset=dict(
        type='ConcatDataset', datasets=[good, bad]))
    sets = [dict(name='a'), dict(name='b', **change)]
    for dataset, cfg in ((bad, {}), (repeated, {}), (good, dict(sets=sets))):
        with pytest.raises(FileNotFoundError, match='absent'):
            check(dataset, test_cfg=cfg)


@pytest.fixture
def frozen(tmp_path) -> tuple:
    """A config whose towers start from a file of OpenCLIP, and that CLIP."""
    torch.manual_seed(5)
    clip = CLIP(**tiny_arch()).eval()
    path = str(tmp_path / 'clip.pt')
    torch.save(clip.state_dict(), path)
    model = model_cfg(num_frames=4, data_preprocessor=PREPROCESSOR)
    for part in model['backbone'], model['cls_head']['text_classifier']:
        part['pretrained'] = path
    return Config(dict(model=model)), clip


def test_frozen_clip_has_its_weights(frozen):
    """MMAction2's init_recognizer takes ``pretrained`` out of the backbone:
    without a checkpoint the image tower was random."""
    config, clip = frozen
    frames = torch.randn(3, 3, 32, 32)
    for checkpoint, device in (None, 'cpu'), ('none', 'auto'):
        model = load_model(config, checkpoint, device)[0].cpu()
        with torch.no_grad():
            torch.testing.assert_close(model.backbone(frames),
                                       clip.encode_image(frames))
        torch.testing.assert_close(model.cls_head.logit_scale.data,
                                   clip.logit_scale.data)
        assert not model.training


def test_a_checkpoint_comes_instead_of_pretrained(frozen, tmp_path):
    config, _ = frozen
    model, _ = load_model(config, None, 'cpu')
    with torch.no_grad():
        model.cls_head.logit_scale += 1
    state = model.state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'mine.pth')
    os.remove(tmp_path / 'clip.pt')  # not needed any more
    other, cfg = load_model(config, str(tmp_path / 'mine.pth'), 'cpu',
                            class_names=['p', 'q'])
    assert torch.equal(other.cls_head.logit_scale, model.cls_head.logit_scale)
    assert other.cls_head.text_classifier.class_names == ['p', 'q']
    # the caller's config is as it was
    assert config.model.backbone.pretrained == str(tmp_path / 'clip.pt')
    assert cfg.model.backbone.pretrained is None
    del state['cls_head.logit_scale']
    torch.save(dict(state_dict=state), tmp_path / 'part.pth')
    with pytest.raises((ValueError, UserError), match='logit_scale'):
        load_model(config, str(tmp_path / 'part.pth'), 'cpu')


@pytest.mark.parametrize('call, named', [
    (lambda: load_model('vifi_zero_shott'), 'vifi_zero_shott'),
    (lambda: load_model('small_world', ''), 'checkpoint is empty'),
    (lambda: find_device('banana'), '--device banana')])
def test_wrong_models(call, named):
    with pytest.raises((FileNotFoundError, ValueError), match=named):
        call()


def test_a_checkpoint_of_a_part_needs_the_start_weights(tmp_path):
    path = str(tmp_path / 'a.pth')
    torch.save(dict(state_dict=build_model().state_dict()), path)
    model = model_cfg(save_trainable_only=True)
    model['backbone']['pretrained'] = 'gone/clip.pt'
    for checkpoint in 'none', path:
        with pytest.raises(FileNotFoundError, match='gone/clip.pt'):
            load_model(Config(dict(model=model)), checkpoint, 'cpu')


def test_weights_that_cannot_be_fetched(monkeypatch):
    monkeypatch.setattr('projects.vifi_clip.models.towers.hub_or_cache',
                        nullcontext)  # as if the Hub could be reached
    monkeypatch.setattr(
        'projects.vifi_clip.models.towers.download_pretrained',
        Mock(side_effect=OSError('no route to host')))
    with pytest.raises(UserError, match='no route to host') as error:
        resolve_pretrained('ViT-B-16-quickgelu', 'openai')
    assert 'PRETRAINED=FILE' in str(error.value)
    assert '\n' not in str(error.value)
