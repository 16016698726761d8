"""Hooks: one randomness, one result, whether a run was broken or not."""
import random

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.logging import HistoryBuffer
from toy_runner import ToyData, ToyMetric, ToyModel, toy_runner

from projects.vifi_clip.engine import PlainCheckpointHook, hooks


class EpochData(BaseDataset):
    """Two samples; remembers the epochs it was told."""

    def __init__(self, seed=None) -> None:
        self.seed, self.epochs = seed, []
        super().__init__()

    def load_data_list(self) -> list:
        return [
            dict(inputs=torch.ones(3), targets=torch.tensor(float(i)))
            for i in range(2)
        ]

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


@pytest.fixture
def draws():

    def run(*args, **kwargs) -> list:
        DrawingModel.drawn.clear()
        toy_runner(*args, model=dict(type='DrawingModel'), **kwargs).train()
        return list(DrawingModel.drawn)

    return run


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


def test_randomness_does_not_depend_on_what_ran_before(tmp_path, draws):
    unbroken = draws(tmp_path / 'a', epochs=3)
    assert len(set(unbroken)) == 9  # no two steps alike
    draws(tmp_path / 'b', epochs=1)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    resumed = draws(tmp_path / 'b', epochs=3, resume=True)
    assert resumed == unbroken[3:]


def test_ranks_and_seeds_draw_apart(tmp_path, draws, monkeypatch):
    first = draws(tmp_path / 'a', epochs=1)
    seeded = draws(tmp_path / 'b', epochs=1, randomness=dict(seed=1))
    monkeypatch.setattr(hooks, 'get_rank', lambda: 1)
    second = draws(tmp_path / 'c', epochs=1)
    for one, two in [(first, seeded), (first, second)]:
        assert not {x for row in one for x in row} & {
            x for row in two for x in row}


def test_gradients_do_not_cross_epochs(tmp_path):
    # three micro-batches in an epoch, two in a step
    settings = dict(optim_wrapper=dict(
        optimizer=dict(type='AdamW', lr=0.1), accumulative_counts=2))
    unbroken = toy_runner(tmp_path / 'a', epochs=3, **settings)
    unbroken.train()
    toy_runner(tmp_path / 'b', epochs=1, **settings).train()
    resumed = toy_runner(tmp_path / 'b', epochs=3, resume=True, **settings)
    resumed.train()
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    states = unbroken.optim_wrapper.optimizer.state.values()
    assert {int(state['step']) for state in states} == {3}


def test_what_does_not_fill_a_step_is_left_out(tmp_path):
    """Two of three micro-batches make the only step."""
    runner = toy_runner(
        tmp_path, epochs=1, param_scheduler=[],
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.1), accumulative_counts=2))
    model = ToyModel()
    model.load_state_dict(runner.model.state_dict())
    runner.train()
    data, optimizer = ToyData(), torch.optim.SGD(model.parameters(), 0.1)
    x = data.inputs[:4]
    model(x, x.sum(1), 'loss')['loss'].backward()
    optimizer.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(runner.model.state_dict()[name], value)


def _best(folder) -> list:
    return sorted(path.name for path in folder.glob('best_*'))


@pytest.mark.parametrize('scores', [
    [0.5, KeyboardInterrupt()], [0.5, 0.9, KeyboardInterrupt()]
], ids=['validating the best', 'validating another'])
def test_a_resumed_run_knows_its_best_epoch(tmp_path, scores):
    ToyMetric.scores = [0.5, 0.9, 0.7]
    toy_runner(tmp_path / 'a', epochs=3, val=True).train()
    assert _best(tmp_path / 'a') == ['best_score_epoch_2.pth']

    ToyMetric.scores = list(scores)
    with pytest.raises(KeyboardInterrupt):
        toy_runner(tmp_path / 'b', epochs=3, val=True).train()
    ToyMetric.scores = [0.5, 0.9, 0.7][len(scores) - 1:]
    toy_runner(tmp_path / 'b', epochs=3, val=True, resume=True).train()
    assert not ToyMetric.scores
    assert _best(tmp_path / 'b') == ['best_score_epoch_2.pth']


class BadData(ToyData):
    """Six samples of which some are bad."""

    ann_file = 'train.txt'

    def __init__(self, names, max_bad_ratio=0.5) -> None:
        super().__init__()
        self.bad_videos, self.max_bad_ratio = names, max_bad_ratio


@pytest.fixture
def warnings_of(monkeypatch):

    def run(runner) -> str:
        texts = []
        monkeypatch.setattr(runner.logger, 'warning', texts.append)
        runner.train()
        return '\n'.join(texts)

    return run


def test_bad_videos_are_reported(tmp_path, warnings_of):
    text = warnings_of(toy_runner(tmp_path, BadData(['b.mp4', 'a.mp4']),
                                  epochs=1))
    assert text == ('2 of 6 videos could not be read and were skipped in '
                    'training: a.mp4, b.mp4')
    assert warnings_of(toy_runner(tmp_path, BadData([]), epochs=1)) == ''


def test_bad_videos_of_all_processes_count(tmp_path, warnings_of,
                                           monkeypatch):
    def gather(names):
        return [names, ['a.mp4', 'z.mp4']]

    monkeypatch.setattr(hooks, 'all_gather_object', gather)
    text = warnings_of(toy_runner(tmp_path, BadData(['a.mp4']), epochs=1))
    assert text.startswith('2 of 6') and text.endswith('a.mp4, z.mp4')
    runner = toy_runner(tmp_path, BadData(['a.mp4'], 0.2), epochs=1)
    with pytest.raises(RuntimeError, match='train.txt.*z.mp4'):
        runner.train()


def test_history_goes_round_exactly(tmp_path):
    buffer = HistoryBuffer(max_length=5)
    for i in range(8):
        buffer.update(1 / (i + 3), i + 1)
    hub = dict(log_scalars=dict(loss=buffer, empty=HistoryBuffer()))
    content = dict(meta=dict(config='raise SystemExit'), message_hub=hub)
    hook = PlainCheckpointHook()
    hook.before_save_checkpoint(None, content)
    torch.save(content, tmp_path / 'a.pth')
    content = torch.load(tmp_path / 'a.pth', weights_only=True)
    hook.after_load_checkpoint(None, content)
    back = content['message_hub']['log_scalars']
    for name, old in dict(loss=buffer, empty=HistoryBuffer()).items():
        assert type(back[name]) is HistoryBuffer
        assert back[name].max_length == old.max_length
        for new_values, old_values in zip(back[name].data, old.data):
            assert new_values.dtype == old_values.dtype
            assert np.array_equal(new_values, old_values)
    assert back['loss'].mean(3) == buffer.mean(3)
    back['loss'].update(1.0)  # and goes on
    assert back['loss'].current() == 1.0


def test_resuming_does_not_run_the_config_in_a_checkpoint(tmp_path):
    toy_runner(tmp_path, epochs=1).train()
    path = tmp_path / 'epoch_1.pth'
    content = torch.load(path, weights_only=True)
    content['meta']['config'] = (
        f'import os\nos.mkdir({str(tmp_path / "ran")!r})\n')
    torch.save(content, path)
    toy_runner(tmp_path, epochs=2, resume=True).train()
    assert (tmp_path / 'epoch_2.pth').exists()
    assert not (tmp_path / 'ran').exists()


def test_saving_leaves_the_live_history_alone(tmp_path):
    runner = toy_runner(tmp_path, epochs=2)
    runner.train()
    live = runner.message_hub.log_scalars['train/loss']
    assert type(live) is HistoryBuffer and len(live.data[0]) == 6
    resumed = toy_runner(tmp_path, epochs=3, resume=True)
    resumed.train()
    again = resumed.message_hub.log_scalars['train/loss']
    assert np.array_equal(again.data[0][:6], live.data[0])
    assert len(again.data[0]) == 9
