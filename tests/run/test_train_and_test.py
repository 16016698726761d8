"""tools/train.py and tools/test.py on real clips, with their options."""
import csv
import pickle

import pytest
import torch
from commands import refused
from mmengine.config import Config
from tiny import NAMES
from tools_world import PIPELINES, settings_of

from projects.vifi_clip.evaluation.predictions_file import read_predictions


def _log(folder) -> str:
    return ''.join(p.read_text() for p in sorted(folder.glob('*/*.log')))


def test_train_then_test_with_views_and_dump(tools, trained, tmp_path):
    labels, scores = torch.arange(5) % len(NAMES), {}
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
        # metric and table are those of the dumped scores
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
    assert not torch.equal(scores['views'], scores['single'])
    assert not torch.equal(scores['views'], scores['amp'])
    torch.testing.assert_close(scores['views'], scores['amp'], atol=0.02,
                               rtol=0.05)


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
    assert content['meta']['iter'] == 4 and content['meta']['seed'] == 3
    assert content['optimizer']['param_groups'][0]['lr'] == pytest.approx(
        0.4 * 2 / 8)
    assert all(v.dtype is torch.float32
               for v in content['state_dict'].values())
    assert not list(folder.glob('best*'))
    log = _log(folder)
    assert "tune='image'" in log and 'Epoch(val)' not in log


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
    # of four classes, all others are among the best five
    assert metrics['acc/num_bad'] == 1 and metrics['acc/top5'] == 0.8
    for video, words in zip(videos, ('8 videos could not be read and were '
                                     'skipped in training', '5 videos could '
                                     'not be read and were counted as wrong')):
        assert f'1 of {words}: {video}' in _log(tmp_path / 'run')
