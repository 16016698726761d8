"""Attention maps against towers computed by hand; recording attention leaves
no trace, and says what it cannot do.

Letters: N frames, h heads, L tokens.
"""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from tiny import NAMES, build_model, model_cfg, timm_arch, tiny_arch
from torch import nn

from projects.vifi_clip.engine.precision import apply_inference
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.attention.maps import (attention_maps,
                                                     recorded_attention,
                                                     token_layout)

PROMPTS = [None, dict(length=3, depth=1), dict(length=2, depth=2)]
LAYERS = 2
TIMM_VIT = timm_arch('vit_tiny_patch16_224', timm_pool='token')
TIMM_EVA = timm_arch('eva02_tiny_patch14_224', timm_pool='token')


def _model(prompts=None, **backbone):
    """Two layers, 4 x 4 patches, and attention that is far from even."""
    cfg = model_cfg(prompts=prompts, data_preprocessor=dict(
        mean=[120., 110., 100.], std=[60., 70., 80.]))
    cfg['backbone'].update(backbone)
    model = MODELS.build(cfg).eval()
    with torch.no_grad():
        for name, param in model.backbone.named_parameters():
            if 'in_proj_weight' in name or 'prompts' in name:
                param.mul_(3)
    return model


def _frames(count=3):
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def _run_by_hand(model, frames, change=None):
    """The tower in float64, in steps; ``change`` is added to the attention.

    Returns:
        tuple: Weights of each layer [N, h, L, L], embeddings [N, D].
    """
    p = {n.removeprefix('visual.'): v.double()
         for n, v in model.backbone.state_dict().items()}

    def linear(x, name):
        return F.linear(x, p[f'{name}weight'], p[f'{name}bias'])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], p[f'{name}.weight'],
                            p[f'{name}.bias'])

    pixels = (frames - np.array([120, 110, 100])) / np.array([60, 70, 80])
    x = F.conv2d(torch.tensor(pixels).permute(0, 3, 1, 2),
                 p['conv1.weight'], stride=8).flatten(2).transpose(1, 2)
    first = p['class_embedding'].expand(len(x), 1, -1)
    x = torch.cat([first, x], 1) + p['positional_embedding']
    prompts = p.get('prompts.tokens', torch.zeros(1, 0, 64))
    x = torch.cat([x, prompts[0].expand(len(x), -1, -1)], 1)
    x, recorded = norm(x, 'ln_pre'), []
    for layer in range(LAYERS):
        if 0 < layer < len(prompts):
            x[:, 17:] = prompts[layer]
        block = f'transformer.resblocks.{layer}.'
        qkv = linear(norm(x, block + 'ln_1'), block + 'attn.in_proj_')
        q, k, v = qkv.unflatten(-1, (3, 2, 32)).permute(2, 0, 3, 1, 4)
        # [N, L, 192] -> 3 x [N, h, L, 32]
        weights = (q @ k.mT / 32**0.5).softmax(-1)
        if change is not None:
            weights = weights + change[layer]
        recorded.append(weights)
        y = (weights @ v).transpose(1, 2).flatten(2)
        x = x + linear(y, block + 'attn.out_proj.')
        y = linear(norm(x, block + 'ln_2'), block + 'mlp.c_fc.')
        x = x + linear(y * torch.sigmoid(1.702 * y), block + 'mlp.c_proj.')
    return recorded, norm(x[:, 0], 'ln_post') @ p['proj']


def _flow(matrices, fresh):
    """Product of [L, L] of all layers, first layer first; tokens behind the
    patches are replaced before each of the ``fresh`` layers."""
    total = np.eye(len(matrices[0]))
    for layer, matrix in enumerate(matrices):
        if 0 < layer < fresh:
            total[17:] = 0
        total = matrix @ total
    return total[0, 1:17].reshape(4, 4)


@pytest.mark.parametrize('prompts', PROMPTS)
def test_last_layer_and_rollout(prompts):
    model, frames = _model(prompts), _frames()
    weights, _ = _run_by_hand(model, frames)
    maps = attention_maps(model, frames, 'last')
    assert maps.dtype == np.float32 and maps.shape == (3, 4, 4)
    expected = weights[-1].mean(1)[:, 0, 1:17].reshape(3, 4, 4)
    np.testing.assert_allclose(maps, expected, atol=1e-5)
    assert maps.std() > 0.01  # far from even
    depth = (prompts or {}).get('depth', 0)
    for frame, rollout in enumerate(attention_maps(model, frames, 'rollout')):
        matrices = []
        for layer in weights:
            matrix = layer[frame].mean(0).numpy() + np.eye(layer.shape[-1])
            matrices.append(matrix / matrix.sum(1, keepdims=True))
        np.testing.assert_allclose(rollout, _flow(matrices, depth), atol=1e-5)


@pytest.mark.parametrize('prompts', PROMPTS)
def test_gradient_against_finite_differences(prompts):
    model, frames, name = _model(prompts), _frames(1), 'juggling balls'
    depth, eps = prompts['depth'] if prompts else 0, 1e-4
    maps, = attention_maps(model, frames, 'gradient', name)  # of no class
    model.cls_head.text_classifier.set_classes(['x', name])
    text = model.cls_head.text_classifier()[1].double()
    scale = model.cls_head.logit_scale.double().exp()
    weights, _ = _run_by_hand(model, frames)
    shape = weights[0].shape[1:]
    nudges = torch.eye(shape.numel(), dtype=torch.double).view(-1, *shape)
    matrices = []
    for layer in range(LAYERS):
        scores = []
        for step in (eps, -eps):
            change = [0.] * LAYERS
            change[layer] = step * nudges
            _, x = _run_by_hand(model, frames, change)
            scores.append(scale * F.normalize(x, dim=-1) @ text)
        grad = ((scores[0] - scores[1]) / (2 * eps)).view(shape)
        relevance = (grad * weights[layer][0]).clamp(min=0).mean(0)
        matrices.append(relevance.detach().numpy() + np.eye(shape[-1]))
    expected = _flow(matrices, depth)
    np.testing.assert_allclose(maps, expected, rtol=1e-3,
                               atol=1e-4 * expected.max())
    assert expected.max() > 1e-3


def test_frames_are_told_apart():
    """In parts, with repeats, each frame has the map that it has alone."""
    model, frames = _model(), _frames(7)
    frames[[2, 4]] = frames[0]
    for method in ('last', 'rollout', 'gradient'):
        maps = attention_maps(model, frames, method, NAMES[0])
        for frame, values in zip(frames, maps):
            alone, = attention_maps(model, frame[None], method, NAMES[0])
            np.testing.assert_allclose(values, alone, atol=1e-5)
        assert not np.allclose(maps[0], maps[1])


@pytest.mark.parametrize('checkpointing', [False, True])
def test_gradient_of_a_frozen_or_checkpointed_tower(checkpointing):
    plain, other = _model(), _model(grad_checkpointing=checkpointing)
    other.load_state_dict(plain.state_dict())
    other.requires_grad_(checkpointing)
    frames = _frames(2)
    expected = attention_maps(plain, frames, 'gradient', NAMES[0])
    with torch.inference_mode():
        maps = attention_maps(other, frames, 'gradient', NAMES[0])
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-7)
    assert all(p.grad is None for p in other.parameters())


@pytest.mark.parametrize('change', [
    dict(method='heat'), dict(method='gradient'),
    dict(inputs=_frames()[:, :16]), dict(inputs=_frames(0)),
    dict(inputs=_frames().astype(np.float32))])
def test_bad_input(change):
    with pytest.raises(ValueError):
        attention_maps(_model(), **dict(dict(inputs=_frames()), **change))


def test_gradient_needs_texts():
    model = _model()
    model.cls_head = nn.Linear(32, 4)
    assert attention_maps(model, _frames(), 'last').shape == (3, 4, 4)
    with pytest.raises(UserError, match='Linear'):
        attention_maps(model, _frames(), 'gradient', NAMES[0])


def test_rectangular_frames():
    model = _model(arch=tiny_arch(vision_cfg=dict(image_size=(32, 48))))
    frames = np.zeros((2, 32, 48, 3), dtype=np.uint8)
    assert attention_maps(model, frames).shape == (2, 4, 6)


def _backbone(arch, prompts=None):
    cfg = model_cfg(prompts=prompts)['backbone']
    return MODELS.build(dict(cfg, arch=arch)).eval()


def _vit(**vision):
    return lambda: _backbone(tiny_arch(vision_cfg=vision))


def _state(backbone):
    return [(name, id(m), len(m._forward_hooks),
             getattr(m, 'fused_attn', None),
             getattr(m, 'grad_checkpointing', None))
            for name, m in backbone.named_modules()]


@pytest.mark.parametrize('arch, prompts, patches, heads, layers', [
    (tiny_arch(), None, 16, 2, 2),
    (tiny_arch(), dict(length=3, depth=2), 16, 2, 2),
    (TIMM_VIT, None, 196, 3, 12), (TIMM_EVA, None, 256, 3, 12),
    (TIMM_VIT, dict(length=2, depth=3), 196, 3, 12)])
def test_embeddings_stay_and_all_is_put_back(arch, prompts, patches, heads,
                                             layers):
    backbone, weights = _backbone(arch, prompts), []
    tokens = token_layout(backbone)
    if hasattr(backbone.visual, 'trunk'):
        # timm's other way of attention, with the weights
        attn = backbone.visual.trunk.blocks[-1].attn
        attn.fused_attn = False
        attn.attn_drop.register_forward_hook(
            lambda *args: weights.append(args[2]))
    x = torch.randn(3, 3, *tokens.image_size)
    x[2] = x[0]  # would be encoded once
    length = 1 + patches + (prompts['length'] if prompts else 0)
    assert tokens.first == 1 and tokens.prompts is backbone.prompts
    before = _state(backbone)
    for grad in False, True:
        with torch.set_grad_enabled(grad):
            expected = backbone(x)
            with recorded_attention(backbone) as recorded:
                embeddings = backbone(x)
        torch.testing.assert_close(embeddings, expected, atol=1e-5, rtol=1e-5)
        shape = 3, heads, length, length
        assert [w.shape for w in recorded] == [shape] * layers
        assert all(w.requires_grad == grad for w in recorded)
        assert _state(backbone) == before
    grads = torch.autograd.grad(embeddings.sum(), recorded)
    assert all(grad.abs().sum() > 0 for grad in grads)
    if weights:
        torch.testing.assert_close(recorded[-1], weights[-1], atol=1e-5,
                                   rtol=1e-4)
    backbone(x)
    assert len(recorded) == layers  # nothing is recorded any more
    backbone.grad_checkpointing = True
    before = _state(backbone)
    with pytest.raises((RuntimeError, AssertionError)):
        with recorded_attention(backbone):
            backbone(torch.randn(1, 3, 7, 7))
    assert _state(backbone) == before


def _changed():
    backbone = build_model().eval().backbone
    block = backbone.visual.transformer.resblocks[0]
    block.mlp.append(nn.Identity())  # so that OpenCLIP's own forward runs
    return backbone


@pytest.mark.parametrize('build, name', [
    (_vit(layers=[1, 1, 1, 1], width=16, patch_size=None), 'ModifiedResNet'),
    (_vit(pool_type='avg'), 'class token'),
    (_vit(block_type='custom', qk_norm=True), 'class token'),
    (lambda: _backbone(timm_arch('vit_tiny_patch16_224', timm_pool='avg')),
     'VisionTransformer'),
    (lambda: nn.Conv2d(3, 3, 1), 'Conv2d'),
    (_changed, 'changed'),
    (lambda: apply_inference(build_model().eval(), precision='bf16').backbone,
     'InferenceBackbone')])
def test_other_towers_are_refused(build, name):
    with pytest.raises(UserError, match=name):
        backbone = build()
        with recorded_attention(backbone):
            backbone(torch.randn(1, 3, 32, 32))
