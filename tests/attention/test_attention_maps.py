"""Attention maps against towers computed by hand.

Letters: N frames, h heads, L tokens.
"""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from tiny import NAMES, build_model, model_cfg, tiny_arch
from torch import nn

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.attention.maps import attention_maps

PROMPTS = [None, dict(length=3, depth=1), dict(length=2, depth=2)]
LAYERS = 2


def _model(prompts=None, **backbone):
    """Two layers, 4 x 4 patches, and attention that is far from even."""
    cfg = model_cfg(
        prompts=prompts,
        data_preprocessor=dict(mean=[120., 110., 100.], std=[60., 70., 80.]))
    cfg['backbone'].update(backbone)
    model = MODELS.build(cfg).eval()
    with torch.no_grad():
        for name, param in model.backbone.named_parameters():
            if 'in_proj_weight' in name or 'prompts' in name:
                param.mul_(3)
    return model


def _frames(count=3, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def _pixels(frames):
    mean, std = np.array([120, 110, 100]), np.array([60, 70, 80])
    return torch.tensor((frames - mean) / std).permute(0, 3, 1, 2)


def _run_by_hand(model, frames, change=None):
    """The tower in float64, in steps; ``change`` is added to the attention.

    Returns:
        tuple: Weights of each layer [N, h, L, L], embeddings [N, D].
    """
    backbone = model.backbone
    p = {n: v.double() for n, v in backbone.state_dict().items()}
    x = F.conv2d(_pixels(frames), p['visual.conv1.weight'], stride=8)
    x = x.flatten(2).transpose(1, 2)
    first = p['visual.class_embedding'].expand(len(x), 1, -1)
    x = torch.cat([first, x], 1) + p['visual.positional_embedding']
    tokens = p.get('prompts.tokens')
    if tokens is not None:
        x = torch.cat([x, tokens[0].expand(len(x), -1, -1)], 1)
    x = _norm(x, p, 'visual.ln_pre')
    recorded = []
    for layer in range(LAYERS):
        if tokens is not None and 0 < layer < len(tokens):
            x = torch.cat([x[:, :17], tokens[layer].expand(len(x), -1, -1)], 1)
        name = f'visual.transformer.resblocks.{layer}.'
        y = _norm(x, p, name + 'ln_1')
        q, k, v = (y @ p[name + 'attn.in_proj_weight'].T
                   + p[name + 'attn.in_proj_bias']).split(64, -1)
        heads = []
        for head in range(2):
            part = slice(32 * head, 32 * head + 32)
            heads.append((q[..., part] @ k[..., part].mT
                          / 32**0.5).softmax(-1))
        weights = torch.stack(heads, 1)
        if change is not None:
            weights = weights + change[layer]
        recorded.append(weights)
        y = torch.cat([weights[:, 0] @ v[..., :32],
                       weights[:, 1] @ v[..., 32:]], -1)
        x = x + y @ p[name + 'attn.out_proj.weight'].T \
            + p[name + 'attn.out_proj.bias']
        y = _norm(x, p, name + 'ln_2') @ p[name + 'mlp.c_fc.weight'].T \
            + p[name + 'mlp.c_fc.bias']
        x = x + (y * torch.sigmoid(1.702 * y)) @ p[
            name + 'mlp.c_proj.weight'].T + p[name + 'mlp.c_proj.bias']
    return recorded, _norm(x[:, 0], p, 'visual.ln_post') @ p['visual.proj']


def _norm(x, p, name):
    return F.layer_norm(x, x.shape[-1:], p[name + '.weight'],
                        p[name + '.bias'])


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
    depth = prompts['depth'] if prompts else 0
    for frame, found in enumerate(attention_maps(model, frames, 'rollout')):
        matrices = []
        for layer in weights:
            matrix = layer[frame].mean(0).numpy() + np.eye(layer.shape[-1])
            matrices.append(matrix / matrix.sum(1, keepdims=True))
        np.testing.assert_allclose(found, _flow(matrices, depth), atol=1e-5)


@pytest.mark.parametrize('prompts', PROMPTS)
def test_gradient_against_finite_differences(prompts):
    model, frames = _model(prompts), _frames(1)
    depth, eps = prompts['depth'] if prompts else 0, 1e-4
    text = model.cls_head.text_classifier()[1].double()
    scale = model.cls_head.logit_scale.double().exp()
    found = attention_maps(model, frames, 'gradient', NAMES[1])
    for frame, image in zip(found, frames):
        plain, _ = _run_by_hand(model, image[None])
        length = plain[0].shape[-1]
        count = 2 * length**2
        matrices = []
        for layer in range(LAYERS):
            nudges = torch.eye(count, dtype=torch.double).view(
                count, 2, length, length) * eps
            scores = []
            for sign in (1, -1):
                change = [0.] * LAYERS
                change[layer] = sign * nudges
                _, x = _run_by_hand(model, image[None], change)
                scores.append(scale * F.normalize(x, dim=-1) @ text)
            grad = ((scores[0] - scores[1]) / (2 * eps)).detach()
            grad = grad.view(2, length, length)
            relevance = (grad * plain[layer][0]).clamp(min=0).mean(0)
            matrices.append(relevance.detach().numpy() + np.eye(length))
        expected = _flow(matrices, depth)
        np.testing.assert_allclose(frame, expected, rtol=1e-3,
                                   atol=1e-4 * expected.max())
        assert expected.max() > 1e-3


def test_frames_are_told_apart():
    """In parts, with repeats, each frame has the map that it has alone."""
    model, frames = _model(), _frames(7)
    frames[[2, 4]] = frames[0]
    for method in ('last', 'rollout', 'gradient'):
        maps = attention_maps(model, frames, method, NAMES[0])
        for frame, found in zip(frames, maps):
            alone, = attention_maps(model, frame[None], method, NAMES[0])
            np.testing.assert_allclose(found, alone, atol=1e-5)
        assert not np.allclose(maps[0], maps[1])


@pytest.mark.parametrize('prompts', PROMPTS)
def test_text_may_be_any(prompts):
    model, frames = _model(prompts), _frames(1)
    text = 'juggling balls'
    free = attention_maps(model, frames, 'gradient', text)
    known = attention_maps(model, frames, 'gradient', NAMES[2])
    assert not np.allclose(free, known)
    model.cls_head.text_classifier.set_classes([text, 'x'])
    np.testing.assert_allclose(
        free, attention_maps(model, frames, 'gradient', text),
        rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('settings', [
    dict(frozen=True), dict(grad_checkpointing=True)])
def test_gradient_of_a_frozen_or_checkpointed_tower(settings):
    plain, other = _model(), _model(**settings)
    other.load_state_dict(plain.state_dict())
    if 'frozen' in settings:
        other.requires_grad_(False)
    frames = _frames(2)
    expected = attention_maps(plain, frames, 'gradient', NAMES[0])
    with torch.inference_mode():
        found = attention_maps(other, frames, 'gradient', NAMES[0])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert all(p.grad is None for p in other.parameters())
    assert other.backbone.grad_checkpointing == bool(
        settings.get('grad_checkpointing'))


@pytest.mark.parametrize('change', [
    dict(method='heat'), dict(method='gradient'),
    dict(inputs=_frames()[:, :16]), dict(inputs=_frames(0)),
    dict(inputs=_frames().astype(np.float32))])
def test_bad_input(change):
    with pytest.raises(ValueError):
        attention_maps(_model(), **dict(dict(inputs=_frames()), **change))


def test_gradient_needs_texts():
    model = build_model().eval()
    model.cls_head = nn.Linear(32, 4)
    assert attention_maps(model, _frames(), 'last').shape == (3, 4, 4)
    with pytest.raises(UserError, match='Linear'):
        attention_maps(model, _frames(), 'gradient', NAMES[0])


def test_rectangular_frames():
    cfg = model_cfg(num_frames=1, data_preprocessor=dict(
        mean=[0.], std=[255.]))
    cfg['backbone']['arch'] = tiny_arch(vision_cfg=dict(image_size=(32, 48)))
    frames = np.zeros((2, 32, 48, 3), dtype=np.uint8)
    assert attention_maps(MODELS.build(cfg).eval(), frames).shape == (2, 4, 6)
