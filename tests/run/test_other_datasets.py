"""Training on what MMEngine and MMAction2 have beside our data set: wrappers,
frame folders; and several labels a video, which are refused."""
import copy

import cv2
import pytest
import torch
from commands import refused, vifi
from mmengine.dataset import ClassBalancedDataset
from tiny import NAMES
from tools_world import PIPELINES, settings_of

from projects.vifi_clip.datasets.video_file import VideoFile


def _train(config, work_dir, capsys) -> str:
    """Train one epoch, two iterations of four; the log."""
    assert vifi('train', config, '--work-dir', work_dir) == 0
    log, = work_dir.glob('*/*.log')
    assert 'Epoch(train) [1][2/2]' in log.read_text()
    assert torch.load(work_dir / 'epoch_1.pth')['meta']['iter'] == 2
    return log.read_text()


@pytest.mark.parametrize('wrap', [
    lambda inner: dict(type='RepeatDataset', times=2, dataset=inner),
    lambda inner: dict(type='ConcatDataset', datasets=[inner, inner]),
    lambda inner: dict(type='ClassBalancedDataset', oversample_thr=.3,
                       dataset=inner)], ids=['repeat', 'concat', 'balanced'])
def test_wrapped(tools, world, write_config, tmp_path, capsys, wrap):
    lines = (world / 'train.txt').read_text().splitlines()
    # two of labels 0 and 1; one of 2 and 3, which comes twice
    balanced = 'Balanced' in wrap({})['type']
    kept = [0, 4, 1, 5, 2, 3] if balanced else [0, 1, 2, 3]
    (world / 'train.txt').write_text('\n'.join(lines[i] for i in kept))
    loader = settings_of(world)['train_dataloader']
    loader['dataset'] = wrap(loader['dataset'])
    log = _train(write_config(root=world, train_dataloader=loader),
                 tmp_path / 'run', capsys)
    assert '8 videos / ' in log


def test_classes_in_balance(shared_world, tmp_path):
    """Rare classes are repeated, by the real wrapper and its formula."""
    from mmaction.registry import DATASETS
    settings = settings_of(shared_world)['train_dataloader']['dataset']
    labels = [0] * 6 + [1] * 2
    path = tmp_path / 'list.txt'
    path.write_text(''.join(f'train_{i}.mp4 {k}\n'
                            for i, k in enumerate(labels)))
    inner = DATASETS.build(dict(settings, ann_file=str(path)))
    assert [inner.get_cat_ids(i) for i in (0, 7)] == [[0], [1]]
    whole = ClassBalancedDataset(inner, oversample_thr=1.)
    # sqrt(1 / (2 / 8)) = 2 times the second; sqrt(1 / .75), rounded up, 2
    assert [whole.get_cat_ids(i)[0] for i in range(len(whole))] == [
        0] * 12 + [1] * 4
    alone = ClassBalancedDataset(inner, oversample_thr=.5)
    assert [alone.get_cat_ids(i)[0] for i in range(len(alone))] == [
        0] * 6 + [1] * 4
    assert whole[0]['data_samples'].gt_label.tolist() == [0]


def _frames(root) -> dict:
    """Settings over the world's clips as MMAction2's frame folders."""
    settings = settings_of(root)
    for split, count in dict(train=8, val=5).items():
        lines = (root / f'{split}.txt').read_text().splitlines()
        for line in lines:
            name = line.split()[0]
            folder = root / 'frames' / name.partition('.')[0]
            folder.mkdir(parents=True)
            for i, frame in enumerate(VideoFile(
                    str(root / 'videos' / name)).frames(range(12)), 1):
                cv2.imwrite(str(folder / f'img_{i:05}.jpg'), frame[..., ::-1])
        (root / f'{split}.txt').write_text('\n'.join(
            line.replace('.mp4', ' 12') for line in lines) + '\n')
    for part in 'train', 'val', 'test':
        dataset = settings[f'{part}_dataloader']['dataset']
        steps = copy.deepcopy(PIPELINES[part])[1:]
        steps[1] = dict(type='RawFrameDecode')
        settings[f'{part}_dataloader']['dataset'] = dict(
            type='RawframeDataset', pipeline=steps,
            data_prefix=dict(img='frames'), **{key: dataset[key] for key in (
                'ann_file', 'data_root', 'test_mode')})
    return settings


def test_frame_folders(tools, world, write_config, tmp_path, capsys):
    """MMAction2's RawframeDataset trains and is tested, to the labels."""
    settings = _frames(world)
    assert settings['train_dataloader']['dataset']['type'] == 'RawframeDataset'
    config = write_config(root=world, **settings)
    log = _train(config, tmp_path / 'run', capsys)
    assert '8 videos / ' in log and 'Epoch(val) [1]' in log
    metrics = tools.test(config, tmp_path / 'run/epoch_1.pth', '--work-dir',
                         tmp_path / 'test')
    assert 'acc/top1' in metrics and 'acc/top5' not in metrics
    # The list of such folders, and their pictures, are no videos to others.
    settings = settings_of(world)
    refused(capsys, 'train', write_config(root=world, **settings),
            '--work-dir', tmp_path / 'no', names='12 (no such file')
    settings['train_dataloader']['dataset'].update(
        data_prefix=dict(video='frames'))
    refused(capsys, 'train', write_config(root=world, **settings),
            '--work-dir', tmp_path / 'no', names='RawframeDataset')
    for given in world / 'frames/train_0', world / 'frames/train_0/*.jpg':
        refused(capsys, 'predict', given, '--config', 'small_world',
                names=['ffmpeg', 'train_0/*.jpg'])


@pytest.mark.parametrize('where', ['data set', 'frames', 'head'])
def test_several_labels_are_refused(tools, world, write_config, tmp_path,
                                    capsys, where):
    settings = _frames(world) if where == 'frames' else settings_of(world)
    if where == 'head':
        settings['model']['cls_head']['multi_class'] = True
    else:
        settings['train_dataloader']['dataset'].update(
            multi_class=True, num_classes=len(NAMES))
    refused(capsys, 'train', write_config(root=world, **settings),
            '--work-dir', tmp_path / 'run', names=['multi_class=True',
                                                   'not supported'])
    assert not list((tmp_path / 'run').glob('*.pth'))
