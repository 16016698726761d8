"""tools/train.py and tools/test.py on real clips: options, checkpoints, and
runs that go on."""
import csv
import pickle
import shutil
import signal
import sys

import pytest
import torch
from commands import refused
from mmengine.config import Config
from tiny import NAMES, tiny_arch
from tools_world import (BLENDING, PIPELINES, PREPROCESSOR, REPO, ended,
                         settings_of)

from projects.vifi_clip.evaluation import read_predictions

EPOCHS = 3


def _log(folder) -> str:
    return ''.join(p.read_text() for p in sorted(folder.glob('*/*.log')))


def test_train_then_test_with_views_and_dump(tools, trained, tmp_path):
    labels, scores = torch.arange(5) % len(NAMES), {}
    (tmp_path / 'views').mkdir()
    kept = tmp_path / 'views' / 'config.py'
    kept.write_text('that of the training')
    for name, options in dict(
            views=[], single=['--single-view'], amp=['--amp']).items():
        dump, table = tmp_path / f'{name}.pkl', tmp_path / f'{name}.csv'
        metrics = tools.test(*trained, '--work-dir', tmp_path / name,
                             '--dump', dump, '--predictions', table, *options)
        scores[name] = torch.stack([
            s['pred_score'] for s in pickle.loads(dump.read_bytes())])
        assert scores[name].shape == (5, len(NAMES))
        torch.testing.assert_close(scores[name].sum(1), torch.ones(5))
        best, classes = scores[name].max(1)
        assert metrics['acc/top1'] == pytest.approx(
            float((classes == labels).float().mean()))
        assert 'acc/num_bad' not in metrics
        assert read_predictions(table)[2].tolist() == classes.tolist()
        rows = list(csv.DictReader(table.read_text().splitlines()))
        assert [(row['video'].rpartition('/')[2], row['class'],
                 row['predicted_class']) for row in rows] == [
            (f'val_{i}.mp4', NAMES[labels[i]], NAMES[classes[i]])
            for i in range(5)]
        assert [float(row['score']) for row in rows] == pytest.approx(
            best.tolist(), rel=1e-4)
    assert kept.read_text() == 'that of the training'
    for name in 'single', 'amp':
        assert not torch.equal(scores['views'], scores[name])
    torch.testing.assert_close(scores['views'], scores['amp'], atol=0.02,
                               rtol=0.05)


@pytest.mark.slow
def test_training_learns_and_keeps_the_best(tools, write_config, tmp_path,
                                            shared_world):
    # training clips as they are in test: no crops, no flips
    loader = settings_of(shared_world)['train_dataloader']
    loader['dataset']['pipeline'] = PIPELINES['val']
    run = tmp_path / 'run'
    config = write_config(
        train_cfg=dict(
            type='EpochBasedTrainLoop', max_epochs=12, val_interval=4),
        default_hooks=dict(checkpoint=dict(interval=4)),
        train_dataloader=loader)
    tools.train(config, '--work-dir', run)
    assert {path.name for path in run.glob('epoch_*.pth')} == {
        'epoch_8.pth', 'epoch_12.pth'}
    best, = run.glob('best_acc_top1_epoch_*.pth')
    metrics = tools.test(config, best, '--work-dir', tmp_path / 'test')
    assert metrics['acc/top1'] >= 0.8  # chance is 0.25
    assert 'eta:' in _log(run) and "tune='both'" in _log(run)


def test_options_reach_the_run(tools, write_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tools.train(
        write_config('vifi_tiny', auto_scale_lr=dict(base_batch_size=8)),
        '--no-validate', '--amp', '--seed', '3', '--auto-scale-lr',
        '--cfg-options', 'train_dataloader.batch_size=2',
        'optim_wrapper.optimizer.lr=0.4', 'model.tune=image')
    folder = tmp_path / 'work_dirs' / 'vifi_tiny'  # named by the config
    cfg = Config.fromfile(folder / 'vifi_tiny.py')
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.optim_wrapper.dtype == 'bfloat16'
    assert cfg.randomness.seed == 3 and cfg.val_cfg is None
    content = torch.load(folder / 'epoch_1.pth')
    assert (content['meta']['iter'], content['meta']['seed']) == (4, 3)
    assert content['optimizer']['param_groups'][0]['lr'] == pytest.approx(
        0.4 * 2 / 8)
    assert all(v.dtype is torch.float32
               for v in content['state_dict'].values())
    assert not list(folder.glob('best*'))
    assert "tune='image'" in _log(folder) and 'Epoch(val)' not in _log(folder)


@pytest.mark.parametrize('command, options, named', [
    ('train', ['--amp'], ['--amp', 'ApexOptimWrapper']),
    ('train', ['--auto-scale-lr'], ['base_batch_size']),
    ('test', ['none', '--dump', 'scores.txt'], ['--dump', 'scores.txt'])])
def test_options_that_do_not_go(write_config, tmp_path, capsys, command,
                                options, named):
    config = write_config(optim_wrapper=dict(
        type='ApexOptimWrapper', optimizer=dict(type='SGD', lr=0.1)))
    refused(capsys, command, config, *options, '--work-dir', tmp_path,
            names=named)


@pytest.mark.slow
def test_bad_videos(tools, write_config, world, tmp_path, capsys):
    train, val = videos = [world / 'videos' / name
                           for name in ('train_3.mp4', 'val_3.mp4')]
    train.write_bytes(train.read_bytes()[:200])
    val.write_bytes(b'')
    config, folder = write_config(root=world), ('--work-dir', tmp_path / 'run')
    refused(capsys, 'train', config, *folder, names=['1 of the 8 ', train])
    refused(capsys, 'test', config, 'none', *folder, names=str(val))
    tools.train(config, *folder, '--cfg-options',
                'train_dataloader.dataset.max_bad_ratio=0.2',
                'val_dataloader.dataset.on_bad_video=count_as_wrong')
    assert (tmp_path / 'run/epoch_1.pth').exists()
    metrics = tools.test(config, 'none', *folder, '--bad-videos',
                         'count_as_wrong')
    assert metrics['acc/num_bad'] == 1 and metrics['acc/top1'] <= 0.8
    for video, words in zip(videos, ('8 videos could not be read and were '
                                     'skipped in training', '5 videos could '
                                     'not be read and were counted as wrong')):
        assert f'1 of {words}: {video}' in _log(tmp_path / 'run')


def _towers(settings, **changes) -> None:
    """Change both towers."""
    settings['model']['backbone'].update(changes)
    settings['model']['cls_head']['text_classifier'].update(changes)


def test_checkpoints_that_do_not_fit(trained, write_config, tmp_path, tools,
                                     capsys):
    """Of another architecture, absent, or with code in it."""
    config, checkpoint = trained
    folder = '--work-dir', tmp_path / 'test'
    settings = settings_of(tmp_path)
    _towers(settings, arch=tiny_arch(vision_cfg=dict(width=96),
                                     text_cfg=dict(layers=3)))
    refused(capsys, 'test', write_config('wide', model=settings['model']),
            checkpoint, *folder,
            names=['class_embedding', '(96,)', '(64,)', 'resblocks.2'])
    evil, absent = tmp_path / 'evil.pth', tmp_path / 'no.pth'
    content = torch.load(checkpoint)
    content['meta']['extra'] = pickle.PickleError
    torch.save(content, evil)
    assert tools.code_of_test(config, evil, *folder, '--trust') == 0
    refused(capsys, 'test', config, absent, *folder, names=str(absent))
    refused(capsys, 'test', config, evil, *folder,
            names=[evil, 'PickleError', '--trust'])
    for argv in ['train'], ['test', 'none']:
        refused(capsys, argv[0], tmp_path / 'no.py', *argv[1:], names='no.py')


@pytest.mark.slow
def test_what_a_checkpoint_was_made_with(trained, tools, write_config,
                                         shared_world, tmp_path, capsys):
    """Other pixel statistics are refused, but for the two remedies that the
    message names; start weights are not asked for."""
    (config, checkpoint), run = trained, tmp_path / 'run'
    settings = settings_of(shared_world)
    _towers(settings, pretrained='gone/clip.pt')
    other = write_config('other', model=settings['model'])
    assert tools.test(other, checkpoint, '--work-dir', run) == tools.test(
        config, checkpoint, '--work-dir', run)
    refused(capsys, 'test', other, 'none', '--work-dir', run,
            names='gone/clip.pt')
    settings['model']['data_preprocessor'] = dict(
        settings['model']['data_preprocessor'], mean=[122.77, 116.75, 104.09])
    args = write_config('pixels', model=settings['model']), checkpoint, (
        '--work-dir'), run
    said = refused(capsys, 'test', *args, names=[
        checkpoint, '123.675', '122.77', 'model.data_preprocessor.mean=...'])
    override = said.partition('--cfg-options custom_hooks')[2].split()[0]
    for option in (f'custom_hooks{override}',
                   'model.data_preprocessor.mean=[123.675,116.28,103.53]'):
        assert tools.code_of_test(*args, '--cfg-options', option) == 0


def test_weights_that_are_not_finite(trained, tmp_path, capsys):
    """They become no figures; nor does training save what they become."""
    config, checkpoint = trained
    state = torch.load(checkpoint)['state_dict']
    broken, large = tmp_path / 'nan.pth', tmp_path / 'large.pth'
    for path, number in (broken, float('nan')), (large, 3e38):
        torch.save(dict(state_dict={name: torch.full_like(value, number)
                                    for name, value in state.items()}), path)
    metrics, again = tmp_path / 'metrics.json', tmp_path / 'again'
    refused(capsys, 'test', config, broken, '--work-dir', tmp_path / 'test',
            '--metrics', metrics, names=[broken, 'not finite'])
    assert not metrics.exists()
    for path, words in (broken, 'not finite'), (large, 'nan in epoch 1'):
        refused(capsys, 'train', config, '--work-dir', again, '--cfg-options',
                f'load_from={path}', names=words)
    assert not list(again.glob('*.pth'))


_KILLED = '''
import os, signal, sys
from mmengine.runner import EpochBasedTrainLoop
from projects.vifi_clip_tools.cli.main import main
run_epoch = EpochBasedTrainLoop.run_epoch

def until_the_second(self):
    if self.epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    run_epoch(self)

EpochBasedTrainLoop.run_epoch = until_the_second
main(['train', *sys.argv[1:]])
'''


@pytest.mark.slow
def test_killed_and_resumed_equals_unbroken(tools, write_config, shared_world,
                                            tmp_path):
    """With any number of workers, bit by bit, and all that could differ:
    augmentation, mixup, a schedule, an epoch whose last step is not a full
    one."""

    def write(name, num_workers) -> str:
        settings = settings_of(shared_world)
        settings['train_dataloader'].update(
            batch_size=2, num_workers=num_workers,
            persistent_workers=num_workers > 0)
        settings['optim_wrapper']['accumulative_counts'] = 3
        settings['model']['data_preprocessor'] = dict(
            PREPROCESSOR, blending=BLENDING)
        schedule = dict(
            type='CosineAnnealingLR', T_max=EPOCHS, by_epoch=True, begin=0,
            end=EPOCHS, eta_min_ratio=0.01, convert_to_iter_based=True)
        return write_config(name, **dict(
            settings, param_scheduler=[schedule],
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=EPOCHS)))

    unbroken, broken = tmp_path / 'unbroken', tmp_path / 'broken'
    tools.train(write('alone', 0), '--work-dir', unbroken)
    config = write('workers', 2)
    ended(sys.executable, '-c', _KILLED, config, '--work-dir', broken,
          cwd=REPO, code=-signal.SIGKILL)
    assert (broken / 'epoch_1.pth').exists()
    assert not (broken / f'epoch_{EPOCHS}.pth').exists()
    assert not list(broken.glob('*.tmp'))
    tools.train(config, '--work-dir', broken, '--resume')
    log = max(broken.glob('*/*.log')).read_text()
    assert 'resumed epoch: ' in log and 'Epoch(train) [1]' not in log
    ends = [torch.load(folder / f'epoch_{EPOCHS}.pth')
            for folder in (unbroken, broken)]
    for part in 'state_dict', 'optimizer':
        torch.testing.assert_close(*(end[part] for end in ends), rtol=0,
                                   atol=0)
    assert ends[0]['param_schedulers'] == ends[1]['param_schedulers']
    best = [end['message_hub']['runtime_info']['best_score'] for end in ends]
    assert best[0] == best[1]


def test_nothing_to_resume(trained, tools, write_config, tmp_path):
    """The run starts afresh, from load_from, and says so."""
    config = write_config(load_from=str(trained[1]))
    tools.train(config, '--work-dir', tmp_path / 'a', '--resume')
    log, = (path.read_text() for path in (tmp_path / 'a').glob('*/*.log'))
    assert f'no checkpoint in {tmp_path / "a"}' in log
    assert f'Load checkpoint from {trained[1]}' in log


@pytest.mark.slow
@pytest.mark.parametrize('last', ['', '/gone/epoch_1.pth', None])
def test_a_moved_folder_resumes(trained, tools, tmp_path, last, capsys):
    """So does one whose last_checkpoint was cut short by a kill, and a file
    that is named."""
    (config, checkpoint), run = trained, tmp_path / 'run'
    if last is None:
        refused(capsys, 'train', config, '--work-dir', run, '--resume',
                'absent.pth', names='absent.pth')
        assert not list(run.glob('*.pth'))
    else:
        shutil.copytree(checkpoint.parent, run)
        (run / 'last_checkpoint').write_text(last)
    tools.train(config, '--work-dir', run, '--resume',
                *[checkpoint] * (last is None),
                '--cfg-options', 'train_cfg.max_epochs=2')
    assert torch.load(run / 'epoch_2.pth')['meta']['iter'] == 4
