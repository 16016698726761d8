"""Optimizer steps are as many as in the paper's release, for 8 processes too.

The release's loop is played again here, from what is known of it: torch's
distributed sampler, which makes the shares even; a loader that drops its last,
short micro-batch; gradients that are set to zero at the start of an epoch and
after a step, which comes at every A-th micro-batch.
"""
from types import SimpleNamespace

import mmengine.dataset.sampler as samplers
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader, DistributedSampler
from toy_runner import toy_runner

from projects.vifi_clip.engine import EpochAccumulationHook
from projects.vifi_clip.errors import UserError


def _release(videos, processes, batch, accumulate, epochs):
    """Steps of each process, and the sum of the videos (which are numbers)
    behind each."""
    found = []
    for rank in range(processes):
        sampler = DistributedSampler(videos, processes, rank, shuffle=False)
        loader = DataLoader(videos, batch, sampler=sampler, drop_last=True)
        steps = []
        for _ in range(epochs):
            gradient = 0.
            for i, data in enumerate(loader):
                gradient += float(data.mean()) / accumulate
                if (i + 1) % accumulate == 0:
                    steps.append(gradient)
                    gradient = 0.
        found.append(steps)
    return found


def _ours(monkeypatch, loader_cfg, videos, processes, accumulate, epochs):
    """The same through MMEngine's sampler and wrapper, and our hook."""
    found = []
    for rank in range(processes):
        monkeypatch.setattr(samplers, 'get_dist_info',
                            lambda: (rank, processes))
        loader = DataLoader(
            videos, loader_cfg.batch_size, drop_last=loader_cfg.drop_last,
            sampler=DefaultSampler(videos, shuffle=False))
        weight = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
        wrapper = OptimWrapper(torch.optim.SGD([weight], lr=1.),
                               accumulative_counts=accumulate)
        runner = SimpleNamespace(
            train_dataloader=loader, optim_wrapper=wrapper,
            model=torch.nn.Linear(1, 1),
            train_loop=EpochBasedTrainLoop.__new__(EpochBasedTrainLoop))
        hook, values = EpochAccumulationHook(), [0.]
        for _ in range(epochs):
            hook.before_train_epoch(runner)
            for data in loader:
                # so that the gradient is the mean of the videos' numbers
                wrapper.update_params(-weight * data.mean())
                if float(weight.detach()) != values[-1]:
                    values.append(float(weight.detach()))
            hook.after_train_epoch(runner)
        found.append([b - a for a, b in zip(values, values[1:])])
    return found


# entry, classes trained on, shots, steps in all (None: by the play alone)
SETTINGS = [
    ('vifi_few_shot', 51, 2, 50), ('vifi_few_shot', 51, 8, None),
    ('vifi_few_shot', 101, 4, None), ('vifi_few_shot', 174, 2, None),
    ('vifi_base2novel', 26, 16, 66), ('vifi_base2novel', 87, 16, None)]


@pytest.mark.parametrize('entry, classes, shots, steps', SETTINGS)
def test_eight_processes(monkeypatch, entry, classes, shots, steps):
    monkeypatch.setenv('PRETRAINED', 'clip.pt')
    cfg = Config.fromfile(f'configs/{entry}.py')
    videos = [float(i + 1) for i in range(classes * shots)]
    accumulate = cfg.optim_wrapper.accumulative_counts
    expected = _release(videos, 8, 4, accumulate, 2)  # epochs
    found = _ours(monkeypatch, cfg.train_dataloader, videos, 8, accumulate, 2)
    assert {len(rank) for rank in found} == {len(expected[0])}
    assert steps in (None, len(expected[0]) // 2 * cfg.train_cfg.max_epochs)
    for one, other in zip(found, expected):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize('size, accumulate, said', [
    (2, 4, 'accumulative_counts=4.*accumulative_counts=3'),
    (2, 1.5, 'accumulative_counts'), (8, 1, 'train_dataloader.batch_size')])
def test_no_step_in_an_epoch_is_an_error(tmp_path, size, accumulate, said):
    """Of six videos."""
    runner = toy_runner(
        tmp_path, batch_size=size, loader=dict(drop_last=True),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.1),
                           accumulative_counts=accumulate))
    with pytest.raises(UserError, match=said):
        runner.train()
