"""The batch of an optimizer step stays, whatever fits in memory; launchers
and strategies."""
import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS, STRATEGIES
from tools_world import REPO, settings_of

from projects.vifi_clip.apis.runs import (MemoryTrial, accumulate,
                                          free_memory, micro_batches,
                                          prepare_distributed)
from projects.vifi_clip.errors import UserError

ENTRIES = sorted(p.name for p in (REPO / 'configs').glob('vifi_*.py'))


def test_micro_batches():
    assert micro_batches(256, 8, 4) == [4, 2, 1]
    assert micro_batches(12, 2, 6) == [6, 3, 2, 1]
    for total, near in (100, '96 or 128'), (5, '32'), (0, '32'), (-32, '32'):
        with pytest.raises(ValueError, match=f'32 = 8 processes.*give {near}'):
            micro_batches(total, 8, 4)


@pytest.fixture
def cfg(shared_world) -> Config:
    settings = settings_of(shared_world)
    settings.pop('_base_')
    settings['optim_wrapper']['accumulative_counts'] = 3
    return Config(settings)


def test_a_trial_measures_and_leaves_the_config(cfg):
    before = cfg.pretty_text
    trial = MemoryTrial(cfg)
    assert trial.fits(4)
    one, two = trial.peaks
    assert 0 < one <= two < free_memory()
    # a machine with room for five, by what one and two took
    trial.peaks, trial.free = [10**6, 2 * 10**6], 6 * 10**6
    assert trial.fits(5) and not trial.fits(6)
    assert cfg.pretty_text == before


@pytest.mark.parametrize('room, batch, loss', [
    (0, None, 'CrossEntropyLoss'), (1, 1, 'CrossEntropyLoss'),
    (2, 2, 'CrossEntropyLoss'), (4, 4, 'CrossEntropyLoss'),
    # a smaller micro-batch is another training
    (2, None, 'CLIPContrastiveLoss'), (4, 4, 'CLIPContrastiveLoss')])
def test_a_smaller_micro_batch_accumulates_more(cfg, monkeypatch, room, batch,
                                                loss):
    monkeypatch.setattr(MemoryTrial, 'fits', lambda self, size: size <= room)
    monkeypatch.setattr(MemoryTrial, '__init__', lambda self, cfg: None)
    cfg.model.cls_head.loss_cls = dict(type=loss)
    if batch is None:
        before = cfg.pretty_text
        with pytest.raises(UserError, match='batch_size=2|STRATEGY=fsdp'):
            accumulate(cfg, 8)
        assert cfg.pretty_text == before
        return
    accumulate(cfg, 8)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.optim_wrapper.accumulative_counts == 8 // batch
    assert cfg.optim_wrapper.optimizer.lr == 1e-3


@pytest.mark.parametrize('entry', ENTRIES)
def test_every_entry_takes_fsdp(monkeypatch, entry):
    monkeypatch.setenv('STRATEGY', 'fsdp')
    cfg = Config.fromfile(REPO / 'configs' / entry)
    assert RUNNERS.get(cfg.runner_type) and STRATEGIES.get(cfg.strategy.type)
    with pytest.raises(ValueError, match='tools/dist_train.sh'):
        prepare_distributed(cfg)


def test_launchers_that_need_gpus(monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(ValueError, match='slurm.*tools/dist_train.sh'):
        prepare_distributed(Config(dict(launcher='slurm')))
