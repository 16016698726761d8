"""Learning rate and optimizer steps are those of the paper's release.

The rate is timm's. The release's loop is played again here, from what is
known of it: torch's distributed sampler, which makes the shares even; a loader
that drops its last, short micro-batch; gradients that are set to zero at the
start of an epoch and after a step, at every A-th micro-batch.
"""
from types import SimpleNamespace

import mmengine.dataset.sampler as samplers
import pytest
import torch
from mmaction.registry import PARAM_SCHEDULERS
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from timm.scheduler import CosineLRScheduler
from torch.utils.data import DataLoader, DistributedSampler
from toy_runner import toy_runner

from projects.vifi_clip.engine import EpochAccumulationHook, WarmupCosineLR
from projects.vifi_clip.errors import UserError


def _release(videos, processes, batch, accumulate, epochs):
    """Steps of each process, and the sum of the videos (which are numbers)
    behind each."""
    found = []
    for rank in range(processes):
        sampler = DistributedSampler(videos, processes, rank, shuffle=False)
        loader = DataLoader(videos, batch, sampler=sampler, drop_last=True)
        found.append([])
        for _ in range(epochs):
            gradient = 0.
            for i, data in enumerate(loader):
                gradient += float(data.mean()) / accumulate
                if (i + 1) % accumulate == 0:
                    found[-1].append(gradient)
                    gradient = 0.
    return found


def _ours(monkeypatch, loader_cfg, videos, processes, accumulate, epochs):
    """The same through MMEngine's sampler and wrapper, and our hook."""
    found = []
    for rank in range(processes):
        monkeypatch.setattr(samplers, 'get_dist_info',
                            lambda: (rank, processes))
        weight, values = torch.nn.Parameter(torch.zeros(
            (), dtype=torch.float64)), [0.]
        runner = SimpleNamespace(
            train_dataloader=DataLoader(
                videos, loader_cfg.batch_size, drop_last=loader_cfg.drop_last,
                sampler=DefaultSampler(videos, shuffle=False)),
            optim_wrapper=OptimWrapper(torch.optim.SGD([weight], lr=1.),
                                       accumulative_counts=accumulate),
            model=torch.nn.Linear(1, 1),
            train_loop=EpochBasedTrainLoop.__new__(EpochBasedTrainLoop))
        hook = EpochAccumulationHook()
        for _ in range(epochs):
            hook.before_train_epoch(runner)
            for data in runner.train_dataloader:
                # so that the gradient is the mean of the videos' numbers
                runner.optim_wrapper.update_params(-weight * data.mean())
                if weight.item() != values[-1]:
                    values.append(weight.item())
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


def _optimizer(peak):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)


@pytest.mark.parametrize('entry, knobs, warmup, epochs, peak', PROTOCOLS)
@pytest.mark.parametrize('epoch_length', [1, 2, 38])
def test_every_protocol(monkeypatch, entry, knobs, warmup, epochs, peak,
                        epoch_length):
    for name, value in dict(knobs, PRETRAINED='clip.pt').items():
        monkeypatch.setenv(name, value)
    cfg = Config.fromfile(f'configs/{entry}.py')
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
