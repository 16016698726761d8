"""Options that commands share, and output files."""
import argparse
import inspect
import os

import pytest
import torch
from mmengine.logging import print_log

from projects.vifi_clip.engine.precision import apply_inference
from projects.vifi_clip_tools.cli.options import (
    add_common_arguments, add_model_arguments, common_options,
    inference_settings, model_options, natural_int, positive_int, probability,
    seconds, several_model_options)
from projects.vifi_clip_tools.cli.outputs import check_target


@pytest.mark.parametrize('kind, good, bad', [
    (positive_int, '1 12', '0 -1 1.5 x'), (natural_int, '0 3', '-1 nan'),
    (probability, '0 1 0.5', '-.1 1.1 nan inf'),
    (seconds, '.1 1e9', '0 -1 nan inf')])
def test_numbers(kind, good, bad):
    assert [kind(text) for text in good.split()] == [
        float(text) for text in good.split()]
    for text in ['', *bad.split()]:
        with pytest.raises(argparse.ArgumentTypeError):
            kind(text)


@pytest.mark.parametrize('argv, expected', [
    ([], [('vifi_zero_shot', None)]),
    (['--config', 'a', '--checkpoint', 'x', 'y'], [('a', 'x'), ('a', 'y')]),
    (['--config', 'a', 'b'], [('a', None), ('b', None)]),
    (['--config', 'a', 'b', '--checkpoint', 'none', 'y'],
     [('a', 'none'), ('b', 'y')]),
    (['--config', 'a', 'b', '--checkpoint', 'x'], None)])
def test_models_side_by_side(argv, expected):
    parser = argparse.ArgumentParser()
    add_model_arguments(parser, several=True)
    args = parser.parse_args([*argv, '--device', 'cpu'])
    if expected is None:
        with pytest.raises(SystemExit):
            several_model_options(args, parser)
        return
    models = several_model_options(args, parser)
    assert [(m.config, m.checkpoint) for m in models] == expected
    assert {m.device for m in models} == {'cpu'}


def test_options_reach_the_model(capsys):
    parser = argparse.ArgumentParser()
    add_model_arguments(parser)
    args = parser.parse_args(
        ['--config', 'small_world', '--device', 'cpu', '--precision', 'bf16',
         '--cfg-options', 'model.cls_head.fusion=decision'])
    infer = model_options(args).load(labels=['a', 'b'])
    every = parser.parse_args(['--compile', '--text-bf16'])
    inspect.signature(apply_inference).bind(None, **inference_settings(every))
    assert inference_settings(parser.parse_args([])) == {}
    assert infer.model.cls_head.fusion == 'decision'
    assert infer.class_names == ['a', 'b'] and str(infer.device) == 'cpu'
    assert any(p.dtype == torch.bfloat16
               for p in infer.model.backbone.parameters())
    assert not infer.model.training
    assert capsys.readouterr().out == ''  # which is the command's own
    print_log('mind this', 'current', 30)
    said = capsys.readouterr()
    assert 'mind this' in said.err and not said.out


def test_options_of_a_run(monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    parser = argparse.ArgumentParser()
    add_common_arguments(parser)
    args = parser.parse_args(['--work-dir', 'w', '--cfg-options', 'a.b=[1,2]',
                              '--local-rank', '3', '--launcher', 'slurm'])
    assert common_options(args) == dict(
        cfg_options={'a.b': [1, 2]}, work_dir='w', launcher='slurm',
        trust=False)
    assert vars(args) == dict(amp=False)
    assert os.environ['LOCAL_RANK'] == '3'


def test_targets(tmp_path):
    path = str(tmp_path / 'new' / 'a.PNG')
    assert check_target('--out', path, ('.png', '.pdf')) == path
    assert os.path.isdir(tmp_path / 'new') and not os.path.exists(path)
    old = tmp_path / 'old.png'
    old.touch()
    assert check_target('--out', str(old), ('.png', )) == str(old)
    with pytest.raises(ValueError, match='--overwrite'):
        check_target('--out', str(old), ('.png', ), overwrite=False)
    (tmp_path / 'folder.png').mkdir()
    for bad in ('a.jpg', 'png', '', f'{old}/a.png', '/proc/a.png',
                str(tmp_path / 'folder.png')):
        with pytest.raises(ValueError, match='--out'):
            check_target('--out', bad, ('.png', '.pdf'))
