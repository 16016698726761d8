"""The small world's configs build, and its batches fit its models."""
from pathlib import Path

import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from projects.vifi_clip_tools.mini_world.build import build
from projects.vifi_clip_tools.mini_world.world import WorldParams

CONFIGS = Path(__file__).parents[1] / 'configs'


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """One clip of each class of the training set, 64 x 64 pixels."""
    root = tmp_path_factory.mktemp('mini_configs') / 'mini'
    build(root, WorldParams(train_per_class=1, test_per_class=1,
                            target_train_per_class=0, num_stills=8),
          workers=1)
    return root


def _load(monkeypatch, world, name):
    monkeypatch.setenv('DATA_ROOT', str(world))
    monkeypatch.setenv('MINI_CLIP', 'none')
    init_default_scope('mmaction')
    return Config.fromfile(CONFIGS / f'{name}.py')


def _batch(model, loader_cfg, count):
    dataset = DATASETS.build(loader_cfg.dataset)
    data = pseudo_collate([dataset[i] for i in range(count)])
    return model.data_preprocessor(data, training=False)


def test_pretraining_step(monkeypatch, world):
    cfg = _load(monkeypatch, world, 'mini_clip')
    model = MODELS.build(cfg.model).train()
    batch = _batch(model, cfg.train_dataloader, 8)
    assert batch['inputs'].shape == (8, 1, 3, 60, 60)
    loss = model(**batch, mode='loss')['loss_cls']
    loss.backward()
    tokens = model.cls_head.text_classifier.text.token_embedding.weight
    assert torch.isfinite(loss) and tokens.grad.abs().sum() > 0


@pytest.mark.parametrize('loader, views', [('val_dataloader', 1),
                                           ('test_dataloader', 12)])
def test_fine_tuning_views(monkeypatch, world, loader, views):
    cfg = _load(monkeypatch, world, 'vifi_mini')
    model = MODELS.build(cfg.model).eval()
    batch = _batch(model, cfg[loader], 2)
    assert batch['inputs'].shape == (2, views * 8, 3, 60, 60)
    with torch.no_grad():
        samples = model(**batch, mode='predict')
    assert samples[0].pred_score.shape == (24, )
    assert abs(float(samples[0].pred_score.sum()) - 1) < 1e-5


def test_spatial_views_differ(monkeypatch, world):
    cfg = _load(monkeypatch, world, 'vifi_mini')
    model = MODELS.build(cfg.model)
    batch = _batch(model, cfg.test_dataloader, 1)
    crops = batch['inputs'].reshape(3, 32, 3, 60, 60)
    assert not torch.equal(crops[0], crops[1])
    assert not torch.equal(crops[0], crops[2])


def test_training_and_validation_share_no_clip(world):
    lists = {name: set((world / f'annotations/{name}.txt').read_text().split())
             for name in ('train', 'val')}
    videos = {name: {x for x in rows if x.endswith('.mp4')}
              for name, rows in lists.items()}
    assert videos['train'] and not videos['train'] & videos['val']
