"""Retrieval from a config to its figures: training, test, two processes."""
import pickle
from pathlib import Path

import numpy as np
import pytest
import run_fixtures
import torch
from mmengine.config import Config
from retrieval_world import captioned_loader, write_captioned_world
from tiny import tiny_arch
from tools_world import NUM_FRAMES, REPO

tools = run_fixtures.tools


@pytest.fixture(scope='module')
def shared(tmp_path_factory) -> Path:
    """A captioned world that no test may change."""
    return write_captioned_world(tmp_path_factory.mktemp('retrieval'))


@pytest.fixture
def write_config(tmp_path, shared):
    """A config file over the repository's entry, with small parts."""

    def write(root=shared, name='config', **changes) -> str:
        entry = Config.fromfile(REPO / 'configs/vifi_retrieval.py')
        model = entry.model.to_dict()
        tower = dict(arch=tiny_arch(), pretrained=None)
        model['backbone'].update(tower)
        model['cls_head']['text_classifier'].update(tower)
        model['cls_head']['num_frames'] = NUM_FRAMES
        settings = dict(
            _base_=[str(REPO / 'configs/_base_/runtime.py')],
            model=model,
            train_dataloader=captioned_loader(root, 'train', 10),
            val_dataloader=captioned_loader(root, 'test', 2),
            test_dataloader=captioned_loader(root, 'test', 2),
            val_evaluator=entry.val_evaluator.to_dict(),
            test_evaluator=entry.test_evaluator.to_dict(),
            train_cfg=dict(
                type='EpochBasedTrainLoop', max_epochs=1, val_interval=1),
            val_cfg=entry.val_cfg.to_dict(),
            test_cfg=entry.test_cfg.to_dict(),
            optim_wrapper=dict(
                type='AutocastOptimWrapper', dtype='float32',
                optimizer=dict(type='AdamW', lr=1e-3)),
            default_hooks=dict(
                checkpoint=dict(save_best='retrieval/R1', rule='greater')))
        settings.update(changes)
        path = tmp_path / f'{name}.py'
        path.write_text('\n'.join(f'{k} = {v!r}'
                                  for k, v in settings.items()))
        return str(path)

    return write


def _ranks(dump: Path) -> list:
    """Place of each caption's own video, from dumped features."""
    samples = pickle.loads(dump.read_bytes())
    features = [sample['features'] for sample in samples]
    video = torch.stack([f['video_feature'] for f in features])
    text = torch.stack([f['text_feature'] for f in features])
    return [1 + sum(float(t @ v) > float(t @ video[i]) for v in video)
            for i, t in enumerate(text)]


@pytest.mark.slow
def test_training_finds_videos_by_their_captions(tools, write_config,
                                                 tmp_path):
    config = write_config(
        train_cfg=dict(
            type='EpochBasedTrainLoop', max_epochs=15, val_interval=5),
        default_hooks=dict(checkpoint=dict(
            interval=5, save_best='retrieval/R1', rule='greater')))
    run = tmp_path / 'run'
    tools.train(config, '--work-dir', run, '--amp')
    best, = run.glob('best_retrieval_R1_epoch_*.pth')
    dump = tmp_path / 'features.pkl'
    metrics = tools.test(config, best, '--work-dir', tmp_path / 'test',
                         '--dump', dump)
    ranks = _ranks(dump)
    assert len(ranks) == 5
    assert metrics['retrieval/R1'] == 100 * np.mean(np.equal(ranks, 1))
    assert metrics['retrieval/MnR'] == np.mean(ranks)
    assert metrics['retrieval/R1'] >= 80  # chance is 20
    content = torch.load(best)  # safely
    assert 'backbone.visual.conv1.weight' in content['state_dict']
    log = ''.join(p.read_text() for p in run.glob('*/*.log'))
    assert "tune='both'" in log and 'loss_contrastive' in log


def test_frozen_clip_needs_no_checkpoint(tools, write_config, tmp_path):
    first, second = (
        tools.test(write_config(), 'none', '--work-dir', tmp_path / name)
        for name in 'ab')
    assert first == second
    assert set(first) == {f'retrieval/{name}' for name in
                          ('R1', 'R5', 'R10', 'MdR', 'MnR')}
    assert first['retrieval/R5'] == 100  # of five


def test_count_as_wrong_is_refused(tools, write_config):
    with pytest.raises(ValueError, match='--bad-videos.*every video is'):
        tools.test(write_config(), 'none', '--bad-videos', 'count_as_wrong')
