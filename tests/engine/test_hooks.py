"""Hooks: one randomness, one result, whether a run was broken or not."""
import random

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.logging import HistoryBuffer
from toy_runner import ToyData, ToyMetric, ToyModel, toy_runner

from projects.vifi_clip.engine import hooks


class EpochData(BaseDataset):
    """Two samples; remembers the epochs it was told."""

    def __init__(self, seed=None) -> None:
        self.seed, self.epochs = seed, []
        super().__init__()

    def load_data_list(self) -> list:
        return 2 * [dict(inputs=torch.ones(3), targets=torch.tensor(0.))]

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


@MODELS.register_module(force=True)
class DrawingModel(ToyModel):
    """Writes down what each generator gives in training."""

    drawn = []

    def forward(self, inputs, targets, mode='tensor', **kwargs):
        self.drawn.append(
            (random.random(), np.random.rand(), float(torch.rand(()))))
        return super().forward(inputs, targets, mode)


def draws(*args, **kwargs) -> list:
    DrawingModel.drawn.clear()
    toy_runner(*args, model=dict(type='DrawingModel'), **kwargs).train()
    return list(DrawingModel.drawn)


@pytest.mark.parametrize('wrap, parts', [
    (lambda own, other: RepeatDataset(own, 2), 1),
    (lambda own, other: ConcatDataset([own, other]), 2)
], ids=['repeat', 'concat'])
def test_wrapped_datasets_learn_the_seed_and_the_epoch(tmp_path, wrap, parts):
    runner = toy_runner(
        tmp_path, dataset=wrap(EpochData(), EpochData(seed=7)), epochs=3)
    runner.train()
    dataset = runner.train_dataloader.dataset
    found = dataset.datasets if parts == 2 else [dataset.dataset]
    assert [part.epochs for part in found] == [[0, 1, 2]] * parts
    assert [part.seed for part in found] == [0, 7][:parts]


def test_randomness_follows_from_seed_epoch_and_rank(tmp_path, monkeypatch):
    """And not from what ran before."""
    unbroken = draws(tmp_path / 'a', epochs=3)
    draws(tmp_path / 'b', epochs=1)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    resumed = draws(tmp_path / 'b', epochs=3, resume=True)
    assert resumed == unbroken[3:]
    seeded = draws(tmp_path / 'c', epochs=1, randomness=dict(seed=1))
    monkeypatch.setattr(hooks, 'get_rank', lambda: 1)
    second = draws(tmp_path / 'd', epochs=1)
    numbers = sum(unbroken + seeded + second, ())
    assert len(set(numbers)) == len(numbers) == 3 * (9 + 3 + 3)


@pytest.mark.parametrize('finished', [1, 2])
def test_a_resumed_run_knows_its_best_epoch(tmp_path, finished):
    """Stopped while it validates the best, or the one after."""
    scores = [0.5, 0.9, 0.7]
    ToyMetric.scores = [*scores[:finished], KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        toy_runner(tmp_path, epochs=3, val=True).train()
    ToyMetric.scores = scores[finished:]
    toy_runner(tmp_path, epochs=3, val=True, resume=True).train()
    assert not ToyMetric.scores
    best, = tmp_path.glob('best_*')
    assert best.name == 'best_score_epoch_2.pth'


class BadData(ToyData):
    """Six samples of which some are bad."""

    ann_file = 'train.txt'

    def __init__(self, names, max_bad_ratio=0.5) -> None:
        super().__init__()
        self.bad_videos, self.max_bad_ratio = names, max_bad_ratio


def test_bad_videos_of_all_processes_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, 'all_gather_object',
                        lambda names: [names, ['a.mp4', 'z.mp4']])
    runner, texts = toy_runner(tmp_path, BadData(['a.mp4']), epochs=1), []
    monkeypatch.setattr(runner.logger, 'warning', texts.append)
    runner.train()
    assert '2 of 6' in texts[0] and 'a.mp4, z.mp4' in texts[0]
    with pytest.raises(RuntimeError, match='train.txt.*z.mp4'):
        toy_runner(tmp_path, BadData(['a.mp4'], 0.2), epochs=1).train()


def test_a_resumed_run_goes_on_and_runs_no_config(tmp_path):
    runner = toy_runner(tmp_path, epochs=2)
    runner.train()
    live = runner.message_hub.log_scalars['train/loss']
    # saving left it as it was
    assert type(live) is HistoryBuffer and len(live.data[0]) == 6
    path = tmp_path / 'epoch_2.pth'
    content = torch.load(path, weights_only=True)
    content['meta']['config'] = (
        f'import os\nos.mkdir({str(tmp_path / "ran")!r})\n')
    torch.save(content, path)
    resumed = toy_runner(tmp_path, epochs=3, resume=True)
    resumed.train()
    again = resumed.message_hub.log_scalars['train/loss']
    for new, old in zip(again.data, live.data):
        assert new.dtype == old.dtype and np.array_equal(new[:6], old)
        assert len(new) == 9
    assert again.max_length == live.max_length
    assert not (tmp_path / 'ran').exists()
