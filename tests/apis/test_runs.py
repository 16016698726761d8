"""The batch of an optimizer step stays, whatever fits in memory; launchers
and strategies; numbers of workers and threads, worked out here by hand."""
import os

import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS, STRATEGIES
from tools_world import REPO, settings_of

from projects.vifi_clip.apis.runs import (MemoryTrial, accumulate,
                                          free_memory, micro_batches,
                                          prepare_distributed)
from projects.vifi_clip.datasets import loader_settings
from projects.vifi_clip.datasets.loader_settings import (
    choose_workers, processes_here, resolve_workers, usable_cores)
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
    (2, None, 'CLIPContrastiveLoss'), (2, None, 'KLContrastiveLoss'),
    (4, 4, 'CLIPContrastiveLoss')])
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


@pytest.mark.parametrize('cores, processes, accelerator, workers', [
    (96, 8, True, 11),  # 12 each, one for the main process
    (128, 4, True, 16),  # 31, but no model is that fast
    (4, 8, True, 1), (2, 1, False, 1), (1, 1, False, 0), (64, 1, False, 4)])
def test_workers(cores, processes, accelerator, workers):
    assert choose_workers(cores, processes, accelerator) == workers


@pytest.mark.parametrize('files, expected', [
    ({'cpu.max': '150000 100000\n'}, 2),  # one and a half: rounded up
    ({'cpu.max': 'max 100000\n'}, 5),
    ({'cpu.max': '900000 100000\n'}, 5),
    ({'cpu/cpu.cfs_quota_us': '300000\n',
      'cpu/cpu.cfs_period_us': '100000\n'}, 3),
    ({'cpu/cpu.cfs_quota_us': '-1\n',
      'cpu/cpu.cfs_period_us': '100000\n'}, 5),
    ({}, 5)])
def test_cores_of_a_container(tmp_path, monkeypatch, files, expected):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(5)),
                        raising=False)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert usable_cores(str(tmp_path)) == expected


def test_processes(monkeypatch):
    assert processes_here() == 1
    monkeypatch.setenv('SLURM_NTASKS_PER_NODE', '4')
    assert processes_here() == 4
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '8')
    assert processes_here() == 8
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '0')
    with pytest.raises(ValueError, match='LOCAL_WORLD_SIZE=0'):
        processes_here()


def counts(cfg) -> set:
    return {(cfg[f'{part}_dataloader'].num_workers,
             cfg[f'{part}_dataloader'].persistent_workers)
            for part in ('train', 'val', 'test')}


@pytest.mark.parametrize('entry', ['vifi_k400', 'vifi_retrieval'])
def test_auto_is_resolved(monkeypatch, entry):
    cfg = Config.fromfile(REPO / 'configs' / f'{entry}.py')
    assert cfg.workers == 'auto' and counts(cfg) == {(4, True)}
    monkeypatch.setattr(loader_settings, 'usable_cores', lambda: 24)
    # one core reads in the main process
    for processes, accelerator, expected in (('2', True, (11, True)),
                                             ('16', False, (0, False))):
        monkeypatch.setenv('LOCAL_WORLD_SIZE', processes)
        monkeypatch.setattr('torch.cuda.is_available', lambda: accelerator)
        assert '24 cores' in resolve_workers(cfg)
        assert counts(cfg) == {expected}


def test_a_number_stays(monkeypatch):
    plain = Config(dict(train_dataloader=dict(num_workers=2)))
    for workers in 0, 3:
        monkeypatch.setenv('WORKERS', str(workers))
        cfg = Config.fromfile(REPO / 'configs' / 'vifi_k400.py')
        assert resolve_workers(cfg) == resolve_workers(plain) == ''
        assert counts(cfg) == {(workers, workers > 0)}
    assert plain.train_dataloader.num_workers == 2
