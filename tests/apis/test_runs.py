"""The batch of an optimizer step stays, whatever fits in memory; launchers
and strategies."""
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS, STRATEGIES
from tools_world import REPO, settings_of

from projects.vifi_clip.apis.runs import (MemoryTrial, accumulate,
                                          free_memory, largest, micro_batches,
                                          prepare_distributed)
from projects.vifi_clip.errors import UserError

ENTRIES = sorted(p.name for p in (REPO / 'configs').glob('vifi_*.py'))


@pytest.mark.parametrize('total, processes, batch, expected', [
    (256, 8, 4, [4, 2, 1]), (16, 1, 16, [16, 8, 4, 2, 1]),
    (12, 2, 6, [6, 3, 2, 1])])
def test_every_micro_batch_makes_up_the_whole(total, processes, batch,
                                              expected):
    sizes = micro_batches(total, processes, batch)
    assert sizes == expected
    assert all(total % (processes * size) == 0 for size in sizes)


@pytest.mark.parametrize('total, near', [
    (100, '96 or 128'), (5, '32'), (0, '32'), (-32, '32')])
def test_what_does_not_divide_is_refused(total, near):
    with pytest.raises(ValueError, match=f'32 = 8 processes.*give {near}'):
        micro_batches(total, 8, 4)


def test_the_first_that_fits():
    asked = []
    assert largest([8, 4, 2], lambda n: asked.append(n) or n <= 4) == 4
    assert asked == [8, 4]
    with pytest.raises(UserError, match='STRATEGY=fsdp'):
        largest([2, 1], lambda n: False)


@pytest.fixture
def cfg(shared_world) -> Config:
    settings = settings_of(shared_world)
    settings.pop('_base_')
    settings['optim_wrapper']['accumulative_counts'] = 3
    return Config(settings)


def test_a_trial_measures_and_leaves_the_config(cfg):
    before = cfg.pretty_text
    with MemoryTrial(cfg) as trial:
        assert trial.fits(4)
        one, two = trial.peaks
        assert 0 < one <= two < free_memory()
        # a machine with room for five, by what one and two took
        trial.peaks, trial.free = [10**6, 2 * 10**6], 6 * 10**6
        assert trial.fits(5) and not trial.fits(6)
    assert cfg.pretty_text == before


@pytest.mark.parametrize('room, batch, counts', [(1, 1, 8), (2, 2, 4),
                                                 (4, 4, 2)])
def test_a_smaller_micro_batch_accumulates_more(cfg, monkeypatch, room, batch,
                                                counts):
    monkeypatch.setattr(MemoryTrial, 'fits', lambda self, size: size <= room)
    accumulate(cfg, 8)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.optim_wrapper.accumulative_counts == counts
    assert cfg.optim_wrapper.optimizer.lr == 1e-3


@pytest.mark.parametrize('room, refused', [(2, True), (4, False)])
def test_an_in_batch_loss_keeps_its_batch(cfg, monkeypatch, room, refused):
    monkeypatch.setattr(MemoryTrial, 'fits', lambda self, size: size <= room)
    monkeypatch.setattr(MemoryTrial, '__enter__', lambda self: self)
    monkeypatch.setattr(MemoryTrial, '__exit__', lambda self, *error: None)
    cfg.model.cls_head.loss_cls = dict(type='CLIPContrastiveLoss')
    if refused:
        with pytest.raises(UserError, match='batch_size=2'):
            accumulate(cfg, 8)
    else:
        accumulate(cfg, 8)
    assert cfg.train_dataloader.batch_size == 4


@pytest.mark.parametrize('entry', ENTRIES)
def test_every_entry_takes_fsdp(monkeypatch, entry):
    monkeypatch.setenv('STRATEGY', 'fsdp')
    cfg = Config.fromfile(REPO / 'configs' / entry)
    assert RUNNERS.get(cfg.runner_type) and STRATEGIES.get(cfg.strategy.type)
    with pytest.raises(ValueError, match='tools/dist_train.sh'):
        prepare_distributed(cfg)


@pytest.mark.skipif(torch.cuda.is_available(), reason='is for CPU')
def test_launchers_that_need_gpus():
    with pytest.raises(ValueError, match='slurm.*tools/dist_train.sh'):
        prepare_distributed(Config(dict(launcher='slurm')))
