"""The learning rate is timm's, as the paper's release uses it, step by step.
"""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from timm.scheduler import CosineLRScheduler

from projects.vifi_clip.engine import WarmupCosineLR

CONFIGS = Path(__file__).parents[2] / 'configs'
# entry, knobs, epochs of warm-up and in all, peak (recipes: "Optimisation")
PROTOCOLS = [
    ('vifi_zero_shot', {}, 5, 10, 8e-6), ('vifi_k400', {}, 5, 30, 22e-6),
    ('vifi_k400', dict(TUNE='text'), 5, 30, 8e-6),
    ('vifi_base2novel', {}, 5, 11, 2e-6),
    ('vifi_base2novel', dict(TUNE='prompts'), 5, 11, 4e-2),
    ('vifi_few_shot', {}, 5, 50, 2e-6),
    ('vifi_few_shot', dict(TUNE='prompts'), 5, 50, 8e-3),
    ('vifi_retrieval', {}, .5, 5, 1e-5), ('vifi_mini', {}, 1, 8, 3e-4),
    ('vifi_mini', dict(PROTOCOL='few_shot'), 1, 12, 3e-4),
    ('mini_retrieval', {}, 1, 6, 3e-4), ('mini_clip', {}, 1, 10, 1e-3)]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmaction')


def _optimizer(peak):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)


@pytest.mark.parametrize('entry, knobs, warmup, epochs, peak', PROTOCOLS)
@pytest.mark.parametrize('epoch_length', [1, 2, 38])
def test_every_protocol(monkeypatch, entry, knobs, warmup, epochs, peak,
                        epoch_length):
    for name, value in dict(knobs, PRETRAINED='clip.pt').items():
        monkeypatch.setenv(name, value)
    cfg = Config.fromfile(CONFIGS / f'{entry}.py')
    assert cfg.optim_wrapper.optimizer.lr == peak
    assert cfg.train_cfg.max_epochs == epochs
    total = epochs * epoch_length
    ours, theirs = OptimWrapper(_optimizer(peak)), _optimizer(peak)

    def build():
        """As MMEngine's runner does."""
        return PARAM_SCHEDULERS.build(
            dict(cfg.param_scheduler, optimizer=ours),
            default_args=dict(epoch_length=epoch_length))

    scheduler = build()
    timm = CosineLRScheduler(
        theirs, t_initial=total, lr_min=peak / 100, warmup_lr_init=0,
        warmup_t=round(warmup * epoch_length), cycle_limit=1,
        t_in_epochs=False)
    for t in range(total):
        if t == total // 2:  # a run that is resumed
            state, rate = scheduler.state_dict(), ours.get_lr()['lr'][0]
            scheduler = build()
            scheduler.load_state_dict(state)
            ours.param_groups[0]['lr'] = rate  # by the optimizer's state
        timm.step_update(t)
        assert ours.get_lr()['lr'] == [pytest.approx(
            theirs.param_groups[0]['lr'], rel=1e-9)], t
        ours.step()
        scheduler.step()


@pytest.mark.parametrize('setting', [
    dict(warmup=-1), dict(warmup=21), dict(eta_min_ratio=-1),
    dict(eta_min_ratio=5), dict(eta_min_ratio=float('nan'))])
def test_settings_that_make_no_schedule(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        WarmupCosineLR(OptimWrapper(_optimizer(1.)),
                       **{**dict(warmup=1, end=20), **setting})
