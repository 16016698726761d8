"""Retrieval from a config to its figures, on clips of one colour each with
captions that tell it."""
import json
import pickle
from pathlib import Path

import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny import tiny_arch
from tools_world import REPO

ENTRY = REPO / 'configs/vifi_retrieval.py'
COLOURS = ['black', 'red', 'green', 'yellow']  # of the four classes


@pytest.fixture(scope='module')
def lists(tmp_path_factory) -> Path:
    """Captions of clips of the shared world, by the entry's names."""
    folder = tmp_path_factory.mktemp('lists')
    for name, video, texts in (
            ('train_9k', 'train_{}.mp4', ['a {} wall', 'all is {}']),
            ('test_JSFUSION', 'val_{}.mp4', ['a {} wall'])):
        (folder / f'{name}.json').write_text(json.dumps({
            video.format(i): [text.format(COLOURS[i % 4]) for text in texts]
            for i in range(4 * len(texts))}))
    return folder


@pytest.fixture(autouse=True)
def knobs(monkeypatch, shared_world, lists, tmp_path):
    """The entry at its real pixel size, with a cut-down architecture."""
    arch = tmp_path / 'arch.json'
    arch.write_text(json.dumps(tiny_arch(
        vision_cfg=dict(image_size=224, patch_size=56),
        text_cfg=dict(context_length=77))))
    for name, value in dict(
            ARCH=arch, PRETRAINED='none', WORKERS=0, LIST_DIR=lists,
            VIDEO_DIR=shared_world / 'videos').items():
        monkeypatch.setenv(name, str(value))


FEW_FRAMES = (
    '--cfg-options', 'model.cls_head.num_frames=4',
    'train_dataloader.dataset.pipeline.1.num_clips=4',
    *(f'{part}_dataloader.dataset.pipeline.1.num_frames=4'
      for part in ('val', 'test')))


@pytest.mark.slow
def test_training_finds_videos_by_their_captions(tools, tmp_path):
    run, dump = tmp_path / 'run', tmp_path / 'features.pkl'
    tools.train(ENTRY, '--work-dir', run, '--amp', *FEW_FRAMES,
                'train_cfg.max_epochs=12', 'train_cfg.val_interval=6',
                'optim_wrapper.optimizer.lr=1e-3', 'param_scheduler=None')
    best, = run.glob('best_retrieval_R1_epoch_*.pth')
    metrics = tools.test(ENTRY, best, '--work-dir', tmp_path / 'test',
                         '--dump', dump, *FEW_FRAMES)
    dumped = pickle.loads(dump.read_bytes())
    video, text = (
        torch.stack([torch.as_tensor(s['features'][name]) for s in dumped])
        for name in ('video_feature', 'text_feature'))
    scores = text @ video.T
    # place of each caption's own video
    ranks = 1. + (scores > scores.diag()[:, None]).sum(1)
    assert len(ranks) == 4
    assert metrics['retrieval/R1'] == 100 * (ranks == 1).float().mean()
    assert metrics['retrieval/MnR'] == ranks.mean()
    assert metrics['retrieval/R1'] >= 75  # chance is 25
    assert 'backbone.visual.conv1.weight' in torch.load(best)['state_dict']


def test_frozen_clip_needs_no_checkpoint(tools, tmp_path):
    metrics = tools.test(ENTRY, 'none', '--work-dir', tmp_path)
    assert set(metrics) == {f'retrieval/{name}' for name in
                            ('R1', 'R5', 'R10', 'MdR', 'MnR')}
    assert metrics['retrieval/R5'] == 100  # of four


def test_what_the_entry_samples():
    init_default_scope('mmaction')
    cfg = Config.fromfile(ENTRY)
    assert (8 * cfg.train_dataloader.batch_size
            == cfg.auto_scale_lr.base_batch_size == 128)
    assert cfg.model.cls_head.num_frames == 16
    train_set, test_set = (DATASETS.build(loader.dataset) for loader in (
        cfg.train_dataloader, cfg.test_dataloader))
    assert (len(train_set), len(test_set)) == (16, 4)
    for inputs in train_set[2]['inputs'], test_set[3]['inputs']:
        assert inputs['imgs'].shape == (16, 3, 224, 224)
        assert inputs['text'].shape[-1] == 77
    assert cfg.test_dataloader.dataset.test_mode
    assert not cfg.test_dataloader.sampler.shuffle


def test_entry_default_places(monkeypatch):
    for name in 'LIST_DIR', 'LIST_ROOT', 'DATA_ROOT', 'VIDEO_DIR':
        monkeypatch.delenv(name, raising=False)
    cfg = Config.fromfile(ENTRY)
    for loader, name in ((cfg.train_dataloader, 'train_9k'),
                         (cfg.test_dataloader, 'test_JSFUSION')):
        assert Path(loader.dataset.ann_file).resolve() == (
            REPO / f'data_splits/msrvtt/{name}.json')
        assert loader.dataset.data_prefix.video == 'data/msrvtt/videos'
