"""tools/train.py and tools/test.py on real clips, with their options."""
import csv
import pickle

import pytest
import torch
from mmengine.config import Config
from tiny import NAMES
from tools_world import PIPELINES, settings_of

from projects.vifi_clip.evaluation.predictions_file import read_predictions


def _dumped(path) -> dict:
    """Scores of each class by file name."""
    samples = pickle.loads(path.read_bytes())
    return torch.stack([sample['pred_score'] for sample in samples])


def _check_predictions(path, scores) -> None:
    """A line for each video: its file, label, best class and score."""
    with open(path, newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['video'].rpartition('/')[2] for row in rows] == [
        f'val_{i}.mp4' for i in range(5)]
    _, labels, predicted = read_predictions(path)
    assert labels.tolist() == [0, 1, 2, 3, 0]
    assert predicted.tolist() == scores.argmax(1).tolist()
    for row, label, best, score in zip(rows, labels, predicted, scores):
        assert (row['class'], row['predicted_class']) == (NAMES[label],
                                                          NAMES[best])
        assert float(row['score']) == pytest.approx(float(score.max()),
                                                    rel=1e-4)


def _log(folder) -> str:
    return ''.join(p.read_text() for p in sorted(folder.glob('*/*.log')))


def test_train_then_test_with_views_and_dump(tools, trained, tmp_path):
    config, checkpoint = trained
    metrics, scores = {}, {}
    for name, options in dict(
            views=[], single=['--single-view'], amp=['--amp']).items():
        dump, table = tmp_path / f'{name}.pkl', tmp_path / f'{name}.csv'
        metrics[name] = tools.test(config, checkpoint, '--work-dir',
                                   tmp_path / name, '--dump', dump,
                                   '--predictions', table, *options)
        scores[name] = _dumped(dump)
        _check_predictions(table, scores[name])
        assert scores[name].shape == (5, len(NAMES))
        torch.testing.assert_close(scores[name].sum(1), torch.ones(5))
        # the metric is that of the dumped scores
        labels = torch.arange(5) % len(NAMES)
        right = (scores[name].argmax(1) == labels).float().mean()
        assert metrics[name]['acc/top1'] == pytest.approx(float(right))
    assert not torch.equal(scores['views'], scores['single'])
    assert not torch.equal(scores['views'], scores['amp'])
    torch.testing.assert_close(scores['views'], scores['amp'], atol=0.02,
                               rtol=0.05)


def test_training_learns_and_keeps_the_best(tools, write_config, tmp_path,
                                            shared_world):
    # training clips as they are in test: no crops, no flips
    loader = settings_of(shared_world)['train_dataloader']
    loader['dataset']['pipeline'] = PIPELINES['val']
    config = write_config(
        train_cfg=dict(
            type='EpochBasedTrainLoop', max_epochs=12, val_interval=4),
        default_hooks=dict(checkpoint=dict(interval=4)),
        train_dataloader=loader)
    tools.train(config, '--work-dir', tmp_path / 'run')
    assert {path.name for path in (tmp_path / 'run').glob('epoch_*.pth')
            } == {'epoch_8.pth', 'epoch_12.pth'}
    best, = (tmp_path / 'run').glob('best_acc_top1_epoch_*.pth')
    metrics = tools.test(config, best, '--work-dir', tmp_path / 'test')
    assert metrics['acc/top1'] >= 0.8  # chance is 0.25
    log = _log(tmp_path / 'run')
    assert 'eta:' in log and "tune='both'" in log


def test_options_reach_the_run(tools, write_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tools.train(
        write_config('vifi_tiny'), '--no-validate', '--amp', '--seed', '3',
        '--cfg-options', 'train_dataloader.batch_size=2',
        'optim_wrapper.optimizer.lr=0.5', 'model.tune=image')
    folder = tmp_path / 'work_dirs' / 'vifi_tiny'  # named by the config
    cfg = Config.fromfile(folder / 'vifi_tiny.py')
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.optim_wrapper.dtype == 'bfloat16'
    assert cfg.randomness.seed == 3 and cfg.val_cfg is None
    content = torch.load(folder / 'epoch_1.pth')
    assert content['meta']['iter'] == 4 and content['meta']['seed'] == 3
    assert all(v.dtype is torch.float32
               for v in content['state_dict'].values())
    assert not list(folder.glob('best*'))
    log = _log(folder)
    assert "tune='image'" in log and 'Epoch(val)' not in log


def test_auto_scale_lr(tools, write_config, tmp_path):
    config = write_config(auto_scale_lr=dict(enable=False, base_batch_size=8))
    tools.train(config, '--auto-scale-lr', '--no-validate', '--work-dir',
                tmp_path / 'run')
    optimizer = torch.load(tmp_path / 'run' / 'epoch_1.pth')['optimizer']
    assert optimizer['param_groups'][0]['lr'] == pytest.approx(1e-3 / 2)
    with pytest.raises(ValueError, match='base_batch_size'):
        tools.train(write_config('other'), '--auto-scale-lr')


def test_options_that_do_not_go(tools, write_config, tmp_path):
    config = write_config(optim_wrapper=dict(
        type='ApexOptimWrapper', optimizer=dict(type='SGD', lr=0.1)))
    with pytest.raises(ValueError, match='--amp.*ApexOptimWrapper'):
        tools.train(config, '--amp', '--work-dir', tmp_path)
    with pytest.raises(ValueError, match='--dump.*pkl.*scores.txt'):
        tools.test(config, 'none', '--dump', 'scores.txt')


def test_bad_video_in_training(tools, write_config, world, tmp_path):
    video = world / 'videos' / 'train_3.mp4'
    video.write_bytes(video.read_bytes()[:200])
    config = write_config(root=world)
    with pytest.raises(RuntimeError, match='1 of the 8 .*train_3.mp4'):
        tools.train(config, '--work-dir', tmp_path / 'strict')
    tools.train(config, '--work-dir', tmp_path / 'lenient', '--cfg-options',
                'train_dataloader.dataset.max_bad_ratio=0.2')
    log = _log(tmp_path / 'lenient')
    assert ('1 of 8 videos could not be read and were skipped in training: '
            f'{video}') in log
    assert (tmp_path / 'lenient' / 'epoch_1.pth').exists()


def test_bad_video_in_test(tools, write_config, world, tmp_path):
    config, dump = write_config(root=world), tmp_path / 'whole.pkl'
    tools.test(config, 'none', '--dump', dump, '--work-dir', tmp_path / 'a')
    # labels as the model sees them, so that one less must show
    labels = _dumped(dump).argmax(1).tolist()
    (world / 'val.txt').write_text(''.join(
        f'val_{i}.mp4 {label}\n' for i, label in enumerate(labels)))
    metrics = tools.test(config, 'none', '--work-dir', tmp_path / 'b')
    assert metrics['acc/top1'] == 1 and 'acc/num_bad' not in metrics

    video = world / 'videos' / 'val_3.mp4'
    video.write_bytes(b'')
    with pytest.raises(RuntimeError, match=video.name):
        tools.test(config, 'none', '--work-dir', tmp_path / 'strict')
    metrics = tools.test(config, 'none', '--work-dir', tmp_path / 'wrong',
                         '--bad-videos', 'count_as_wrong')
    assert metrics['acc/num_bad'] == 1
    assert metrics['acc/top1'] == pytest.approx(0.8)
    assert ('1 of 5 videos could not be read and were counted as wrong: '
            f'{video}') in _log(tmp_path / 'wrong')
