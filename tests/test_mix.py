"""configs/mix: our parts under MMAction2's own, and its parts under ours."""
import copy
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from tiny import NAMES, classifier_cfg, samples, tiny_arch

MIX = Path(__file__).parents[1] / 'configs' / 'mix'
PIXELS = {256: 36, 224: 32}

# What makes each model small (for the text side, see `knobs`), and the views
# and frames per view that the config's own test pipeline must give.
CASES = dict(
    tsn_r50_vifi_head_k400=(dict(
        backbone=dict(depth=18, pretrained=None, num_stages=2, strides=(1, 2),
                      dilations=(1, 1), out_indices=(1, )),
        cls_head=dict(in_channels=128)), 3 * 10, 8),
    slowonly_r50_vifi_head_k400=(dict(
        backbone=dict(depth=18, pretrained=None, base_channels=8),
        cls_head=dict(in_channels=64)), 10 * 3, 8),
    videomae_base_vifi_head_k400=(dict(
        backbone=dict(img_size=32, embed_dims=64, depth=2, num_heads=2),
        cls_head=dict(in_channels=64)), 5 * 3, 16),
    clip_b16_tsn_head_k400=(dict(
        backbone=dict(arch=dict(_delete_=True, **tiny_arch())),
        cls_head=dict(in_channels=32)), 1, 25 * 10))


@pytest.fixture(scope='module', autouse=True)
def knobs(tmp_path_factory):
    """The configs' knobs: a tiny text tower, random weights."""
    arch = tmp_path_factory.mktemp('arch') / 'tiny.json'
    arch.write_text(json.dumps(tiny_arch()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TEXT_ARCH', str(arch))
        patch.setenv('PRETRAINED', 'none')
        patch.setenv('VIDEOMAE', 'none')
        yield patch


def shrink(node):
    """A pipeline for smaller pictures."""
    if isinstance(node, dict):
        return {key: shrink(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(shrink(value) for value in node)
    return PIXELS.get(node, node) if isinstance(node, int) else node


def small_config(name: str, root: Path) -> Config:
    """A mix config, cut down, on one video of each of four classes."""
    cfg = Config.fromfile(MIX / f'{name}.py')
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.update(
            ann_file=str(root / 'train.txt'), indices=4,
            data_prefix=dict(video=str(root / 'videos')),
            pipeline=shrink(loader.dataset.pipeline))
    cfg.merge_from_dict(dict(
        model=copy.deepcopy(CASES[name][0]),  # `_delete_` is popped
        optim_wrapper=dict(optimizer=dict(lr=0.01))))
    return cfg


def batch_of(cfg: Config, part: str, indices) -> dict:
    dataset = DATASETS.build(cfg[f'{part}_dataloader'].dataset)
    return pseudo_collate([dataset[i] for i in indices])


@pytest.mark.parametrize(
    'name', [path.stem for path in sorted(MIX.glob('*.py'))])
def test_steps_and_tests_with_the_average_of_views(name, shared_world):
    init_default_scope('mmaction')
    cfg = small_config(name, shared_world)
    model = MODELS.build(cfg.model)
    model.init_weights()
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    model.train()
    data = batch_of(cfg, 'train', range(2))
    for _ in range(2):
        assert model.train_step(data, wrapper)['loss'].isfinite()
    stuck = {n for n, p in model.named_parameters()
             if torch.equal(p, start[n])}
    text = {n for n in start if n.startswith('cls_head.text_')}
    assert stuck == text and bool(text) == ('vifi_head' in name)

    model.eval()
    data = batch_of(cfg, 'test', [1])
    result, = model.test_step(data)
    assert result.pred_score.shape == (400, ) and result.gt_label == 1
    *_, num_views, num_frames = CASES[name]
    views = views_of(data['inputs'][0], num_views, num_frames)
    score = torch.stack([view_score(model, v) for v in views]).mean(0)
    torch.testing.assert_close(result.pred_score, score, atol=1e-6, rtol=1e-4)


def views_of(inputs, num_views, num_frames):
    """Normalised views, [T, 3, H, W] each, of a video's packed pixels."""
    if inputs.ndim == 5:  # [V, 3, T, H, W]
        views = inputs.transpose(1, 2)
    else:  # [V*T, 3, H, W]
        views = inputs.reshape(num_views, -1, *inputs.shape[1:])
    assert views.shape[:3] == (num_views, num_frames, 3)
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    return (views.float() - mean) / std


@torch.no_grad()
def view_score(model, view):
    """Class probabilities [K] of a single view, step by step."""
    head, is_3d = model.cls_head, type(model).__name__ == 'Recognizer3D'
    feats = model.backbone(view.transpose(0, 1)[None] if is_3d else view)
    # [1, C, T, h, w], [1, C], [T, C, h, w] or [T, C]
    feats = feats.transpose(0, 1).flatten(1).mean(1)
    # [C]: over time and space
    if hasattr(head, 'fc_cls'):
        return head.fc_cls(feats).softmax(0)
    video = F.normalize(head.projection.weight @ feats, dim=0)
    classes = head.text_classifier()
    return (head.logit_scale.exp() * classes @ video).softmax(0)


def test_videomae_starts_from_the_knob(knobs, tmp_path, shared_world):
    name, path = 'videomae_base_vifi_head_k400', tmp_path / 'videomae.pth'
    model = MODELS.build(small_config(name, shared_world).model)
    torch.save(dict(state_dict=model.state_dict()), path)
    with knobs.context() as patch:
        patch.setenv('VIDEOMAE', str(path))
        cfg = small_config(name, shared_world)
    other = MODELS.build(cfg.model)
    other.init_weights()
    weights = other.backbone.state_dict()
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, weights[key]), key


@pytest.mark.parametrize('eps', [0., 0.1])
@pytest.mark.parametrize('labels', [
    [[1], [3], [0]], [[.7, .3, 0, 0], [0, 0, .5, .5], [0, 1., 0, 0]],
    [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]], ids=['index', 'soft', 'hot'])
def test_losses_equal_the_native_ones(labels, eps):
    settings = dict(in_channels=8, label_smooth_eps=eps)
    ours = MODELS.build(dict(
        type='TemporalMeanPoolHead', num_frames=4,
        text_classifier=classifier_cfg(), **settings))
    native = MODELS.build(
        dict(type='TSNHead', num_classes=len(NAMES), **settings))
    logits = torch.randn(3, len(NAMES))
    expected = native.loss_by_feat(logits, samples(labels))
    losses = ours.loss_by_feat(logits, samples(labels))
    assert 'loss_cls' in losses
    assert expected.pop('top5_acc', 1) == 1  # of four classes
    torch.testing.assert_close(losses, dict(expected), check_dtype=False)
