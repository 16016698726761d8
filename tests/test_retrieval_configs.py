"""The retrieval entries: places, figures, and a step of each."""
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import write_mp4
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from retrieval_world import WORDS, write_captioned_world
from tiny import tiny_arch
from tools_world import REPO


@pytest.fixture(scope='module')
def shared(tmp_path_factory) -> Path:
    """A captioned world that no test may change."""
    return write_captioned_world(tmp_path_factory.mktemp('retrieval'))


@pytest.fixture
def entry(monkeypatch, shared, tmp_path):
    """The entry at its real pixel size, with a cut-down architecture."""
    arch = tiny_arch(
        vision_cfg=dict(image_size=224, patch_size=56),
        text_cfg=dict(context_length=77))
    path = tmp_path / 'arch.json'
    path.write_text(json.dumps(arch))
    lists = tmp_path / 'lists'
    lists.mkdir()
    shutil.copy(shared / 'train.json', lists / 'train_9k.json')
    shutil.copy(shared / 'test.json', lists / 'test_JSFUSION.json')
    for name, value in dict(ARCH=path, PRETRAINED='none', LIST_DIR=lists,
                            VIDEO_DIR=shared / 'videos').items():
        monkeypatch.setenv(name, str(value))
    init_default_scope('mmaction')

    def load(**knobs):
        for name, value in knobs.items():
            monkeypatch.setenv(name, str(value))
        return Config.fromfile(REPO / 'configs/vifi_retrieval.py')

    return load


@pytest.mark.parametrize('tune', ['both', 'image', 'text', 'none'])
def test_entry_takes_a_step(entry, tune):
    cfg = entry(TUNE=tune)
    model = MODELS.build(cfg.model).train()
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 20
    data = pseudo_collate([dataset[i] for i in (0, 1, 2)])
    data = model.data_preprocessor(data, training=True)
    assert data['inputs']['imgs'].shape == (3, 16, 3, 224, 224)
    assert data['inputs']['text'].shape == (3, 77)
    loss = model(**data, mode='loss')['loss_contrastive']
    assert torch.isfinite(loss) and loss.requires_grad == (tune != 'none')
    parts = {name.split('.')[0] for name, p in model.named_parameters()
             if p.requires_grad}
    assert parts == dict(both={'backbone', 'cls_head'}, image={'backbone'},
                         text={'cls_head'}, none=set())[tune]


def test_entry_figures(entry):
    cfg = entry()
    loader = cfg.train_dataloader
    assert 8 * loader.batch_size == cfg.auto_scale_lr.base_batch_size == 128
    assert cfg.model.cls_head.num_frames == 16
    imgs = cfg.model.data_preprocessor.preprocessors.imgs
    assert imgs.mean == [123.675, 116.28, 103.53]
    assert cfg.test_dataloader.dataset.test_mode
    assert not cfg.test_dataloader.sampler.shuffle
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    assert len(dataset) == 5
    assert dataset[4]['inputs']['imgs'].shape == (16, 3, 224, 224)


def test_entry_default_places(monkeypatch):
    for name in 'LIST_DIR', 'LIST_ROOT', 'DATA_ROOT', 'VIDEO_DIR':
        monkeypatch.delenv(name, raising=False)
    cfg = Config.fromfile(REPO / 'configs/vifi_retrieval.py')
    train_set, test_set = (cfg[f'{split}_dataloader'].dataset
                           for split in ('train', 'test'))
    lists = REPO / 'data_splits' / 'msrvtt'
    assert Path(train_set.ann_file).resolve() == lists / 'train_9k.json'
    assert Path(test_set.ann_file).resolve() == lists / 'test_JSFUSION.json'
    assert train_set.data_prefix.video == 'data/msrvtt/videos'


def test_entry_builds_at_full_size(monkeypatch):
    monkeypatch.setenv('PRETRAINED', 'none')
    init_default_scope('mmaction')
    cfg = Config.fromfile(REPO / 'configs/vifi_retrieval.py')
    model = MODELS.build(cfg.model)
    assert model.backbone.visual.conv1.weight.shape == (768, 3, 16, 16)
    # OpenAI's CLIP ViT-B/16
    assert sum(p.numel() for p in model.parameters()) == 149_620_737


def test_entry_refuses_an_unknown_tune(entry):
    with pytest.raises(ValueError, match='TUNE=prompts: choose one of'):
        entry(TUNE='prompts')


@pytest.fixture
def mini(monkeypatch, tmp_path):
    """The small entry on five clips of the small world's size."""
    root = tmp_path / 'mini'
    (root / 'annotations').mkdir(parents=True)
    (root / 'videos').mkdir()
    captions = {}
    for i, word in enumerate(WORDS):
        frames = np.full((16, 64, 64, 3), WORDS[word], dtype=np.uint8)
        write_mp4(root / 'videos' / f'{i}.mp4', frames=frames)
        captions[f'videos/{i}.mp4'] = [f'a small {word} ring']
    for split in 'train', 'test':
        path = root / 'annotations' / f'retrieval_{split}.json'
        path.write_text(json.dumps(captions))
    monkeypatch.setenv('DATA_ROOT', str(root))
    monkeypatch.setenv('MINI_CLIP', 'none')
    init_default_scope('mmaction')

    def load(**knobs):
        for name, value in knobs.items():
            monkeypatch.setenv(name, str(value))
        return Config.fromfile(REPO / 'configs/mini_retrieval.py')

    return load


def test_mini_entry_takes_a_step(mini):
    cfg = mini(TUNE='image', SEED=2)
    assert cfg.randomness.seed == 2
    model = MODELS.build(cfg.model).train()
    assert model.tune == 'image'
    for split in 'train', 'test':
        dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
        data = pseudo_collate([dataset[i] for i in range(5)])
        data = model.data_preprocessor(data)
        assert data['inputs']['imgs'].shape == (5, 8, 3, 60, 60)
        assert data['inputs']['text'].shape == (5, 32)
        loss = model(**data, mode='loss')['loss_contrastive']
        assert torch.isfinite(loss)


def test_mini_entry_refuses_prompts(mini):
    with pytest.raises(ValueError, match='TUNE=prompts: retrieval'):
        mini(TUNE='prompts', PRETRAINED='none')
