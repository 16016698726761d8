"""Numbers of workers and threads: worked out here by hand."""
import os
from pathlib import Path

import pytest
from mmengine.config import Config

from projects.vifi_clip.datasets import loader_settings
from projects.vifi_clip.datasets.loader_settings import (
    choose_workers, processes_here, resolve_workers, usable_cores)

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.mark.parametrize('cores, processes, accelerator, workers', [
    (96, 8, True, 11),  # 12 each, one for the main process
    (128, 4, True, 16),  # 31, but no model is that fast
    (16, 1, True, 15), (8, 8, True, 1), (4, 8, True, 1), (2, 1, False, 1),
    (1, 1, False, 0), (2, 2, False, 0), (8, 1, False, 2), (64, 1, False, 4)])
def test_workers(cores, processes, accelerator, workers):
    assert choose_workers(cores, processes, accelerator) == workers


@pytest.mark.parametrize('files, expected', [
    ({'cpu.max': '150000 100000\n'}, 2),  # one and a half: rounded up
    ({'cpu.max': '50000 100000\n'}, 1),
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
    cfg = Config.fromfile(CONFIGS / f'{entry}.py')
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
        cfg = Config.fromfile(CONFIGS / 'vifi_k400.py')
        assert resolve_workers(cfg) == resolve_workers(plain) == ''
        assert counts(cfg) == {(workers, workers > 0)}
    assert plain.train_dataloader.num_workers == 2
