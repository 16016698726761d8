"""The knob STRATEGY, and what becomes of a config under it."""
import inspect

import pytest
from mmengine._strategy import DeepSpeedStrategy
from mmengine._strategy.deepspeed import DeepSpeedOptimWrapper
from mmengine.config import Config
from mmengine.registry import RUNNERS, STRATEGIES
from tools_world import REPO

from projects.vifi_clip.apis.strategy import (NAMES, apply_strategy,
                                              check_name)

ENTRIES = sorted(p.name for p in (REPO / 'configs').glob('vifi_*.py'))


@pytest.fixture
def config(monkeypatch):
    """Function of (strategy, entry): the config."""

    def read(name, entry='vifi_k400.py') -> Config:
        monkeypatch.setenv('STRATEGY', name)
        cfg = Config.fromfile(REPO / 'configs' / entry)
        cfg.launcher = 'pytorch'
        return cfg

    return read


def test_there_is_a_file_for_each_name():
    folder = REPO / 'configs/_base_/scale'
    assert sorted(p.stem for p in folder.glob('*.py')) == sorted(NAMES)


@pytest.mark.parametrize('entry', ENTRIES)
@pytest.mark.parametrize('name', NAMES)
def test_every_entry_takes_every_strategy(config, name, entry):
    cfg = config(name, entry)
    apply_strategy(cfg)
    if name == 'ddp':
        assert 'strategy' not in cfg and 'runner_type' not in cfg
        return
    assert RUNNERS.get(cfg.runner_type) and STRATEGIES.get(cfg.strategy.type)


def test_ddp_changes_nothing(config):
    cfg = config('ddp')
    before = cfg.pretty_text
    apply_strategy(cfg)
    assert cfg.pretty_text == before


@pytest.mark.parametrize('stage', [2, 3])
def test_deepspeed_takes_over_the_wrapper(config, stage):
    cfg = config(f'deepspeed_zero{stage}')
    ours = cfg.optim_wrapper.to_dict()
    cfg.optim_wrapper.clip_grad = dict(max_norm=1)
    apply_strategy(cfg)
    strategy = cfg.strategy
    assert strategy.zero_optimization.stage == stage
    assert strategy.gradient_accumulation_steps == 16 == ours[
        'accumulative_counts']
    assert strategy.bf16 == dict(enabled=True)
    assert strategy.gradient_clipping == 1.0
    # MMEngine's strategy and wrapper take what is left
    names = set(inspect.signature(DeepSpeedStrategy.__init__).parameters)
    assert set(strategy) - {'type'} <= names
    wrapper = dict(cfg.optim_wrapper)
    assert wrapper.pop('type') == 'DeepSpeedOptimWrapper'
    inspect.signature(DeepSpeedOptimWrapper).bind(**wrapper)
    ours['optimizer'].pop('fused')
    assert wrapper['optimizer'] == ours['optimizer']


@pytest.mark.parametrize('change, said', [
    (dict(launcher='none'), 'dist_train.sh'),
    (dict(optim_wrapper=dict(type='AmpOptimWrapper')), 'AmpOptimWrapper'),
    (dict(optim_wrapper=dict(clip_grad=dict(max_norm=1, norm_type=1))),
     'max_norm alone')])
def test_what_cannot_be_moved(config, change, said):
    cfg = config('deepspeed_zero2')
    cfg.merge_from_dict(change)
    with pytest.raises(ValueError, match=said):
        apply_strategy(cfg)


def test_an_unknown_name(monkeypatch):
    monkeypatch.setenv('STRATEGY', 'zero4')
    with pytest.raises(ValueError, match='STRATEGY=zero4: must be one of ddp'):
        check_name()


@pytest.mark.parametrize('setting', ['float16', 'bf16', 16])
def test_fsdp_refuses_other_dtypes(setting):
    strategy = STRATEGIES.get('FSDP2Strategy')
    with pytest.raises(ValueError, match='param_dtype'):
        strategy(param_dtype=setting)
