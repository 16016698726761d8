"""The mean of the weights at the ends of epochs: what is tested, saved and
gone on with."""
import pytest
import torch
from commands import refused, vifi
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import CheckpointLoader
from toy_runner import RUNTIME, ToyMetric, toy_runner

from projects.vifi_clip.engine.averaging import check_average

EPOCHS, LENGTH = 4, 3
MEAN = dict(type='EpochMeanHook', begin_epoch=2)


class Seen(Hook):
    """Remembers the weights that are validated."""

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.weight = runner.model.linear.weight.detach().clone()


def run(folder, average=MEAN, start=None, checkpoint=(), val=False):
    """Train the toy; return the weights that were validated last."""
    hooks = [dict(hook) for hook in Config.fromfile(RUNTIME).custom_hooks]
    runner = toy_runner(
        folder, epochs=EPOCHS, custom_hooks=hooks + [average] * bool(average),
        resume=start is not None, load_from=start and str(start),
        checkpoint=dict(max_keep_ckpts=-1, **dict(checkpoint)), val=val)
    runner.register_hook(seen := Seen())
    runner.train()
    return getattr(seen, 'weight', None)


def content(folder, number, kind='epoch') -> tuple:
    """A checkpoint's weights: what stands for the model, what trains, and
    how often the mean took any."""
    file = torch.load(folder / f'{kind}_{number}.pth')
    average = file['ema_state_dict']
    return (file['state_dict']['linear.weight'],
            average['module.linear.weight'], int(average['steps']))


def test_mean_of_the_ends_of_epochs(tmp_path):
    run(tmp_path / 'plain', None)
    ToyMetric.scores = [.1, .2, .3, .4]
    validated = run(tmp_path, val=True)
    raws = [torch.load(tmp_path / f'plain/epoch_{n}.pth')['state_dict'][
        'linear.weight'] for n in range(1, EPOCHS + 1)]
    for epoch, raw in enumerate(raws, 1):
        mean, trains, steps = content(tmp_path, epoch)
        assert torch.equal(trains, raw)  # training is the same
        assert steps == epoch - 1
        torch.testing.assert_close(
            mean, torch.stack(raws[min(1, epoch - 1):epoch]).mean(0))
    assert torch.equal(validated, mean)
    assert not torch.allclose(mean, raw, rtol=1e-2)
    # the line of MMEngine's own, where one knows how long an epoch is
    run(tmp_path / 'theirs', dict(
        type='EMAHook', ema_type='StochasticWeightAverage',
        begin_iter=2 * LENGTH, interval=LENGTH))
    for epoch in range(1, EPOCHS + 1):
        for ours, theirs in zip(content(tmp_path, epoch)[:2],
                                content(tmp_path / 'theirs', epoch)):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize('interval', [1, 2])
def test_resumed_anywhere_equals_unbroken(tmp_path, interval):
    by = dict(by_epoch=False, interval=interval)
    run(tmp_path, checkpoint=by)
    end = content(tmp_path, EPOCHS * LENGTH, 'iter')
    for start in range(interval, EPOCHS * LENGTH, interval):
        folder = tmp_path / f'from_{start}'
        run(folder, start=tmp_path / f'iter_{start}.pth', checkpoint=by)
        assert all(map(torch.equal, content(folder, 12, 'iter')[:2], end[:2]))
        assert content(folder, 12, 'iter')[2] == end[2]


def test_what_no_mean_can_be_of():
    for hook in MEAN, dict(type='EMAHook'):
        for changes, words in (
                (dict(strategy=dict(type='FSDP2Strategy')), 'FSDP2Strategy'),
                (dict(model=dict(save_trainable_only=True)),
                 'save_trainable_only')):
            cfg = Config({**dict(model={}, custom_hooks=[hook]), **changes})
            with pytest.raises(ValueError, match=words) as error:
                check_average(cfg)
            assert hook['type'] in str(error.value)
            assert 'vifi-clip merge --mean' in str(error.value)
            cfg.custom_hooks = [dict(type='EpochSeedHook')]
            check_average(cfg)
    check_average(Config(dict(model={}, custom_hooks=[MEAN],
                              strategy=dict(type='DDPStrategy'))))


def test_files_of_a_mean(tools, write_config, tmp_path, capsys):
    """Train, then test, convert and refuse."""
    hooks = [dict(hook) for hook in Config.fromfile(RUNTIME).custom_hooks]
    config = write_config(
        custom_hooks=[*hooks, dict(MEAN, begin_epoch=1)],
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2))
    run, path = tmp_path / 'run', tmp_path / 'run/epoch_2.pth'
    tools.train(config, '--work-dir', run)
    first, last = (torch.load(run / f'epoch_{n}.pth') for n in (1, 2))
    raw = {key.removeprefix('module.'): value
           for key, value in last['ema_state_dict'].items() if key != 'steps'}
    changed = 0
    for key, value in last['state_dict'].items():
        torch.testing.assert_close(
            value, (first['state_dict'][key] + raw[key]) / 2)
        changed += not torch.equal(value, raw[key])
    assert changed > 20
    best, = run.glob('best_*_epoch_[12].pth')
    number = best.stem[-1]
    log, = (file.read_text() for file in run.glob('*/*.log'))
    metrics = tools.test(config, best, '--work-dir', run, '--single-view')
    assert f'Epoch(val) [{number}][2/2]    acc/top1: ' + \
        f'{metrics["acc/top1"]:.4f}' in log
    # either of the two, for all that reads checkpoints
    for key, state in ('', last['state_dict']), ('#ema_state_dict', raw):
        loaded = CheckpointLoader.load_checkpoint(f'{path}{key}', 'cpu')
        assert loaded['state_dict'].keys() == state.keys()
        assert tools.code_of_test(config, f'{path}{key}', '--work-dir',
                                  run) == 0
        out = tmp_path / f'out{key}.pth'
        assert vifi('convert', f'{path}{key}', out, '--source=vifi',
                    '--target=vifi') == 0
        torch.testing.assert_close(torch.load(out)['state_dict'], dict(state),
                                   rtol=0, atol=0)
    refused(capsys, 'train', config, '--work-dir', tmp_path / 'new',
            '--cfg-options', 'model.save_trainable_only=True',
            names=['EpochMeanHook', 'save_trainable_only'])
    with open(config, 'a') as file:
        file.write('\ncustom_hooks += [dict(type="EMAHook")]\n')
    refused(capsys, 'train', config, '--work-dir', tmp_path / 'new',
            names=['EpochMeanHook and EMAHook'])
    assert not (tmp_path / 'new').exists()
