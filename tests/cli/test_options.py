"""Options that commands share, and output files."""
import argparse
import inspect
import os
from dataclasses import dataclass, make_dataclass, replace
from typing import List

import pytest
import torch
from mmengine.logging import print_log

from projects.vifi_clip.engine.precision import apply_inference
from projects.vifi_clip_tools.cli.options import (ModelOptions, RunOptions,
                                                  SeveralModels, model_config)
from projects.vifi_clip_tools.cli.outputs import check_folder, check_target
from projects.vifi_clip_tools.cli.parsing import (
    Group, argument, natural_int, number, option, part, positive_int,
    probability, process_count, random_seed, reader, seconds)


@pytest.mark.parametrize('kind, good, bad', [
    (positive_int, '1 12', '0 -1 1.5 x'), (natural_int, '0 3', '-1 nan'),
    (process_count, '1 64', '0 257'),
    (probability, '0 1 0.5', '-.1 1.1 nan inf'),
    (seconds, '.001 1e9', '0 -1 nan inf 1e-300 5e-324'),
    (random_seed, '0 4294967295', '-1 4294967296'),
    *((kind, '7', '9' * 24 + ' ' + '9' * 5000) for kind in (
        positive_int, natural_int, number(int, 0), number(float, 1)))])
def test_numbers(kind, good, bad):
    assert [kind(text) for text in good.split()] == [
        float(text) for text in good.split()]
    for text in ['', *bad.split()]:
        with pytest.raises(argparse.ArgumentTypeError):
            kind(text)


def read_part(kind, argv):
    """Read a command line that has the options of one class alone."""
    options = make_dataclass('Options', [('part', kind, part(kind))],
                             frozen=True)
    return reader(options, 'test')(argv).part


@pytest.mark.parametrize('argv, expected', [
    ([], [('vifi_zero_shot', None)]),
    (['--config', 'a', '--checkpoint', 'x', 'y'], [('a', 'x'), ('a', 'y')]),
    (['--config', 'a', 'b'], [('a', None), ('b', None)]),
    (['--config', 'a', 'b', '--checkpoint', 'none', 'y'],
     [('a', 'none'), ('b', 'y')]),
    (['--config', 'a', 'b', '--checkpoint', 'x'], None)])
def test_models_side_by_side(argv, expected):
    several = read_part(SeveralModels, [*argv, '--device', 'cpu'])
    if expected is None:
        with pytest.raises(ValueError):
            several.each()
        return
    models = several.each()
    assert [(m.config, m.checkpoint) for m in models] == expected
    assert {m.device for m in models} == {'cpu'}


def test_options_reach_the_model(capsys):
    model = read_part(ModelOptions, [
        '--config', 'small_world', '--device', 'cpu', '--precision', 'bf16',
        '--cfg-options', 'model.cls_head.fusion=decision'])
    infer = model.load(labels=['a', 'b'])
    every = read_part(ModelOptions, ['--compile', '--text-bf16']).inference
    inspect.signature(apply_inference).bind(None, **every)
    assert every == dict(compile=True, text_bf16=True)
    assert ModelOptions().inference == {}
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
    run = read_part(RunOptions, [
        '--work-dir', 'w', '--cfg-options', 'a.b=[1,2]', '--local-rank', '3',
        '--launcher', 'slurm'])
    assert run.settings() == dict(cfg_options={'a.b': [1, 2]}, work_dir='w',
                                  launcher='slurm', trust=False)
    assert not run.amp and os.environ['LOCAL_RANK'] == '3'


@dataclass(frozen=True, kw_only=True)
class Declared:
    """Options of each kind."""
    names: List[str] = argument(nargs='*')
    model: ModelOptions = part(ModelOptions, config=model_config('theirs'))
    batch_size: int = option('-b', type=positive_int, default=4)
    out: str = option('--output', required=True)
    kept: bool = option('--no-keep', action='store_false')
    this: bool = option(group=Group(exclusive=True), action='store_true')
    that: bool = option(group=Group(exclusive=True), action='store_true')
    sizes: List[int] = option(nargs='+', type=int, default=[1])

    def __post_init__(self) -> None:
        if self.that and not self.names:
            raise ValueError('--that needs names')


def test_declared_options(capsys):
    parse_args = reader(Declared, 'What for.', 'examples:\n  one')
    options = parse_args(['--output', 'o'])
    # what a Python user gets is what the command line gives
    assert options == Declared(names=[], out='o')
    assert options.model.config is None  # declared anew
    assert (options.batch_size, options.kept, options.sizes) == (4, True, [1])
    options.sizes.append(2)
    assert parse_args(['--output', 'o']).sizes == [1]
    options = parse_args(['a', 'b', '-b', '2', '--no-keep', '--output', 'o',
                          '--that', '--checkpoint', 'c', '--sizes', '1', '3'])
    assert options == Declared(
        names=['a', 'b'], batch_size=2, out='o', kept=False, that=True,
        sizes=[1, 3], model=replace(options.model, checkpoint='c'))
    for argv, names in (
            ([], '--output'), (['--output', 'o', '-b', '0'], '--batch-size'),
            (['--output=--'], '--output'),
            *((['--output', 'o', '--cfg-options', text], '--cfg-options')
              for text in ('a', 'a=[1,', 'a=(1,2',
                           f'a={"[" * 2000}{"]" * 2000}')),
            (['--output', 'o', '--batch-size', 'x' * 9999], ' ... '),
            (['--output', 'o', '--that'], '--that'),
            (['a', '--output', 'o', '--that', '--this'], '--that')):
        with pytest.raises(SystemExit) as end:
            parse_args(argv)
        assert end.value.code == 2 and names in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse_args(['--help'])
    said = capsys.readouterr().out
    assert 'examples:\n  one' in said
    assert '(default: theirs)' in ' '.join(said.split())


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
                f'{"x" * 250}.png',
                str(tmp_path / 'folder.png')):
        with pytest.raises(ValueError, match='--out'):
            check_target('--out', bad, ('.png', '.pdf'))
    check_folder('--out', str(tmp_path / 'x/y'))
    for bad in str(old), f'{old}/x', '/proc/x', str(tmp_path / ('x' * 300)):
        with pytest.raises(ValueError, match='--out'):
            check_folder('--out', bad)
    assert not os.path.exists(tmp_path / 'x')
