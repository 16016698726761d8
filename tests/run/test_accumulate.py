"""The batch of an optimizer step stays, whatever fits in memory."""
import pytest
import torch
from mmengine.config import Config
from tools_world import REPO, settings_of, start

from projects.vifi_clip.apis import accumulate, memory_trial
from projects.vifi_clip.apis.accumulate import (auto_accumulate, contrastive,
                                                largest, micro_batches)
from projects.vifi_clip.apis.memory_trial import MemoryTrial, free_memory
from projects.vifi_clip.errors import UserError


@pytest.mark.parametrize('total, processes, batch, wanted', [
    (256, 8, 4, [4, 2, 1]), (16, 1, 16, [16, 8, 4, 2, 1]), (12, 2, 6,
                                                            [6, 3, 2, 1])])
def test_every_micro_batch_makes_up_the_whole(total, processes, batch, wanted):
    sizes = micro_batches(total, processes, batch)
    assert sizes == wanted
    assert all(total % (processes * size) == 0 for size in sizes)


@pytest.mark.parametrize('total, said', [
    (100, 'multiple of 32 = 8 processes.*give 96 or 128'),
    (5, 'give 32, or'), (0, 'give 32'), (-32, 'give 32')])
def test_what_does_not_divide_is_refused(total, said):
    with pytest.raises(ValueError, match=said):
        micro_batches(total, 8, 4)


def test_the_first_that_fits():
    asked = []
    assert largest([8, 4, 2], lambda n: asked.append(n) or n <= 4) == 4
    assert asked == [8, 4]
    with pytest.raises(UserError, match='not even a batch of 1'):
        largest([2, 1], lambda n: False)


def test_finds_in_batch_losses():
    loss = dict(type='CLIPContrastiveLoss')
    assert list(contrastive(dict(cls_head=dict(parts=[loss]))))
    assert not list(contrastive(dict(cls_head=dict(type='A', loss_cls=None))))


@pytest.fixture
def cfg(world) -> Config:
    settings = settings_of(world)
    settings.pop('_base_')
    settings['optim_wrapper']['accumulative_counts'] = 3
    return Config(settings)


def test_a_trial_measures_and_leaves_the_config(cfg):
    before = cfg.pretty_text
    weights = cfg.model.backbone
    with MemoryTrial(cfg) as trial:
        assert trial.fits(4)
        one, two = trial._peaks[1], trial._peaks[2]
        assert 0 < one <= two < free_memory()
        trial._free = (one + 2 * (two - one)) / memory_trial._RESERVE + 1
        assert trial.fits(3) and trial.fits(1)
        # one sample more needs more than that, unless none was measured
        trial._peaks = {1: one, 2: one + 10**6}
        trial._free = one + 5 * 10**6
        assert not trial.fits(10**4)
    assert cfg.pretty_text == before and cfg.model.backbone is weights


def _limit(monkeypatch, most) -> list:
    """A device that has room for so many samples."""
    sizes = []

    def step(self, size) -> None:
        sizes.append(size)
        if size > most:
            raise torch.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr(MemoryTrial, 'step', step)
    monkeypatch.setattr(memory_trial, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.nn.Module, 'to', lambda self, *a, **k: self)
    return sizes


def test_out_of_memory_halves_the_micro_batch(cfg, monkeypatch):
    sizes = _limit(monkeypatch, most=1)
    auto_accumulate(cfg, 8)
    assert sizes == [4, 2, 1]
    assert cfg.train_dataloader.batch_size == 1
    assert cfg.optim_wrapper.accumulative_counts == 8
    assert cfg.optim_wrapper.optimizer.lr == 1e-3


def test_what_fits_stays(cfg, monkeypatch):
    sizes = _limit(monkeypatch, most=4)
    auto_accumulate(cfg, 8)
    assert sizes == [4] and cfg.train_dataloader.batch_size == 4
    assert cfg.optim_wrapper.accumulative_counts == 2


def test_an_in_batch_loss_keeps_its_batch(cfg, monkeypatch):
    _limit(monkeypatch, most=2)
    monkeypatch.setattr(accumulate, 'contrastive', lambda model: iter('c'))
    with pytest.raises(UserError, match='another training.*batch_size=2'):
        auto_accumulate(cfg, 8)
    assert cfg.train_dataloader.batch_size == 4


def test_end_to_end(tools, write_config, tmp_path):
    """The same weights as with the settings written out."""
    config = write_config()
    tools.train(config, '--work-dir', tmp_path / 'a', '--auto-accumulate', 8)
    tools.train(config, '--work-dir', tmp_path / 'b', '--cfg-options',
                'optim_wrapper.accumulative_counts=2')
    a, b = (torch.load(tmp_path / n / 'epoch_1.pth')['state_dict']
            for n in 'ab')
    assert all(torch.equal(a[name], b[name]) for name in b)


@pytest.mark.parametrize('options, said', [
    (['--auto-accumulate', 6], 'give 4 or 8'),
    (['--auto-accumulate', 8, '--auto-scale-lr'], 'give one of them')])
def test_bad_options(tools, write_config, capsys, options, said):
    assert tools.code_of_train(write_config(), *options) == 2
    assert said in capsys.readouterr().err


def test_two_processes_make_up_the_same_batch(tools, write_config, tmp_path):
    config = write_config(optim_wrapper=dict(
        type='AutocastOptimWrapper', dtype='float32',
        optimizer=dict(type='SGD', lr=0.05)))
    tools.train(config, '--work-dir', tmp_path / 'one', '--cfg-options',
                'optim_wrapper.accumulative_counts=2')
    process = start('bash', REPO / 'tools/dist_train.sh', config, 2,
                    '--work-dir', 'two', '--auto-accumulate', 8,
                    '--cfg-options', 'train_dataloader.batch_size=2',
                    cwd=tmp_path)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert '2 processes x batch 2 x accumulation 2 = 8' in output
    one, two = (torch.load(tmp_path / n / 'epoch_1.pth')['state_dict']
                for n in ('one', 'two'))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6)
