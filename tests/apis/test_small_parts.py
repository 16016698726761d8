"""Labels, outputs, options, extras, shipped weights and loading."""
import argparse
import os
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from tiny import model_cfg, tiny_arch
from tools_world import PIPELINES, PREPROCESSOR

from projects.vifi_clip_tools.cli import options as model_arguments
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import read_labels
from projects.vifi_clip.apis.loading import find_device, load_model
from projects.vifi_clip_tools.cli.outputs import check_target
from projects.vifi_clip.checkpoints.files import load_checkpoint
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.errors import need


def test_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_labels('a cat,  a dog ,a cow') == ['a cat', 'a dog', 'a cow']
    assert read_labels('one') == ['one']
    assert read_labels(('x', 'y, z')) == ['x', 'y, z']
    Path('names.txt').write_text('höhe\nplain, with comma\n')
    Path('names.csv').write_text('id,name\n1,b\n0,"a, c"\n')
    Path('names.json').write_text('["p", "q"]')
    assert read_labels('names.txt') == ['höhe', 'plain, with comma']
    assert read_labels(Path('names.txt')) == ['höhe', 'plain, with comma']
    assert read_labels('names.csv') == ['a, c', 'b']
    assert read_labels('names.json') == ['p', 'q']


@pytest.mark.parametrize('given, error, message', [
    ('', ValueError, '--labels.*empty'), ('a,,b', ValueError, 'empty'),
    ('a, a', ValueError, "'a'"), ([], ValueError, 'no class names'),
    (['a', 3], ValueError, '3'), ('gone.txt', FileNotFoundError, 'gone.txt'),
    ('.', ValueError, 'is no list of classes'),
    ('a.mp4', ValueError, 'is no list of classes')])
def test_wrong_labels(given, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('a.mp4').touch()
    with pytest.raises(error, match=message):
        read_labels(given)


def test_targets(tmp_path, monkeypatch):
    path = str(tmp_path / 'new' / 'a.PNG')
    assert check_target('--out', path, ('.png', '.pdf')) == path
    assert os.path.isdir(tmp_path / 'new') and not os.path.exists(path)
    for bad in 'a.jpg', 'png', '':
        with pytest.raises(ValueError, match='--out writes a .png or .pdf'):
            check_target('--out', bad, ('.png', '.pdf'))
    (tmp_path / 'there.png').touch()
    there = str(tmp_path / 'there.png')
    assert check_target('--out', there, ('.png', )) == there
    with pytest.raises(ValueError, match='exists.*--overwrite'):
        check_target('--out', there, ('.png', ), overwrite=False)
    (tmp_path / 'folder.png').mkdir()
    for bad in 'there.png/a.png', 'folder.png', '/proc/a.png':
        with pytest.raises(ValueError, match='--out .* cannot be written'):
            check_target('--out', str(tmp_path / bad), ('.png', ))
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(ValueError, match='cannot be written'):
        check_target('--out', there, ('.png', ))


def test_extras(tmp_path, monkeypatch):
    assert need('json', 'demo') is sys.modules['json']
    with pytest.raises(UserError, match=r'vifi_clip\[figures\]'):
        need('not_there.part', 'figures')
    (tmp_path / 'lame.py').write_text('import not_there\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match='not_there'):
        need('lame', 'demo')  # installed, but broken: no advice to install


@pytest.mark.parametrize('argv, expected', [
    ([], [('vifi_zero_shot', None)]),
    (['--config', 'a', '--checkpoint', 'x', 'y'], [('a', 'x'), ('a', 'y')]),
    (['--config', 'a', 'b'], [('a', None), ('b', None)]),
    (['--config', 'a', 'b', '--checkpoint', 'none', 'y'],
     [('a', 'none'), ('b', 'y')])])
def test_models_side_by_side(argv, expected, monkeypatch):
    made = []
    monkeypatch.setattr(
        model_arguments, 'inferencer_from_args', lambda args, **kwargs: made.
        append((args.config, args.checkpoint, args.device, kwargs)))
    parser = argparse.ArgumentParser()
    model_arguments.add_model_arguments(parser, several=True)
    args = parser.parse_args([*argv, '--device', 'cpu'])
    model_arguments.inferencers_from_args(args, labels=['l'])
    assert made == [(*pair, 'cpu', dict(labels=['l'])) for pair in expected]
    args = parser.parse_args(['--config', 'a', 'b', '--checkpoint', 'x'])
    with pytest.raises(ValueError, match='2 configs and 1 checkpoints'):
        model_arguments.inferencers_from_args(args)


def test_options_reach_the_model(capsys):
    parser = argparse.ArgumentParser()
    model_arguments.add_model_arguments(parser)
    args = parser.parse_args(
        ['--config', 'small_world', '--device', 'cpu', '--precision', 'bf16',
         '--cfg-options', 'model.cls_head.fusion=decision'])
    infer = model_arguments.inferencer_from_args(args, labels=['a', 'b'])
    assert infer.model.cls_head.fusion == 'decision'
    assert infer.class_names == ['a', 'b'] and str(infer.device) == 'cpu'
    assert any(p.dtype == torch.bfloat16
               for p in infer.model.backbone.parameters())
    assert not infer.model.training
    said = capsys.readouterr()
    assert said.out == ''  # of pipes, standard output is the command's
    print_log('mind this', 'current', 30)
    said = capsys.readouterr()
    assert 'mind this' in said.err and not said.out


def frozen_config(folder: Path) -> Config:
    """A model whose towers start from a file of OpenCLIP."""
    from open_clip.model import CLIP
    arch = tiny_arch()
    torch.manual_seed(5)
    clip = CLIP(**arch)
    torch.save(clip.state_dict(), folder / 'clip.pt')
    model = model_cfg(num_frames=4, data_preprocessor=PREPROCESSOR)
    model['backbone']['pretrained'] = str(folder / 'clip.pt')
    model['cls_head']['text_classifier']['pretrained'] = str(
        folder / 'clip.pt')
    return Config(dict(model=model, val_pipeline=PIPELINES['val'],
                       test_pipeline=PIPELINES['test'])), clip


@pytest.mark.parametrize('checkpoint', [None, 'none'])
def test_frozen_clip_has_its_weights(checkpoint, tmp_path):
    """MMAction2's init_recognizer takes ``pretrained`` out of the backbone:
    without a checkpoint the image tower was random."""
    config, clip = frozen_config(tmp_path)
    model, _ = load_model(config, checkpoint, 'cpu')
    frames = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.backbone(frames),
                                   clip.eval().encode_image(frames))
    assert float(model.cls_head.logit_scale.detach()) == pytest.approx(
        float(clip.logit_scale.detach()))
    for name, value in clip.visual.state_dict().items():
        assert torch.equal(model.backbone.visual.state_dict()[name], value)
    assert not model.training


def test_a_checkpoint_comes_instead_of_pretrained(tmp_path):
    config, _ = frozen_config(tmp_path)
    model, _ = load_model(config, None, 'cpu')
    with torch.no_grad():
        model.cls_head.logit_scale += 1
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'mine.pth')
    os.remove(tmp_path / 'clip.pt')  # not needed any more
    other, cfg = load_model(config, str(tmp_path / 'mine.pth'), 'cpu',
                            class_names=['p', 'q'])
    assert torch.equal(other.cls_head.logit_scale, model.cls_head.logit_scale)
    assert other.cls_head.text_classifier.class_names == ['p', 'q']
    # the caller's config is as it was
    assert config.model.backbone.pretrained == str(tmp_path / 'clip.pt')
    assert cfg.model.backbone.pretrained is None
    with pytest.raises(FileNotFoundError, match='gone.pth'):
        load_model(config, 'gone.pth', 'cpu')
    state = load_checkpoint(str(tmp_path / 'mine.pth'))['state_dict']
    del state['cls_head.logit_scale']
    torch.save(dict(state_dict=state), tmp_path / 'part.pth')
    with pytest.raises((ValueError, UserError, RuntimeError),
                       match='logit_scale'):
        load_model(config, str(tmp_path / 'part.pth'), 'cpu')


def test_wrong_models():
    with pytest.raises(FileNotFoundError, match='vifi_zero_shott'):
        load_model('vifi_zero_shott')
    for device in 'cuda:99', 'banana':
        with pytest.raises(ValueError, match=f'--device {device} cannot'):
            find_device(device)
    assert find_device('cpu') == 'cpu'
    assert find_device('auto') in ('cpu', 'cuda')
    with pytest.raises(ValueError, match='labels.*empty'):
        ViFiCLIPInferencer('small_world', labels=['a', ' '], device='cpu')
