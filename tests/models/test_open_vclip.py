"""Attention to the neighbouring frames: against a plain loop over frames, and
what it must not share."""
import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny import assert_equals, model_cfg, samples, timm_arch, tiny_arch

from projects.vifi_clip.checkpoints.settings import (check_file,
                                                     collect_settings)
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.attention.maps import attention_maps
from projects.vifi_clip_tools.export.modules import build_parts

T = 4


def build(num_frames=T, backbone=None, **kwargs):
    """A tiny recognizer whose every parameter matters."""
    torch.manual_seed(0)
    cfg = model_cfg(num_frames=num_frames, **kwargs)
    cfg['backbone'].update(dict(
        type='NeighbourBackbone', num_frames=None), **(backbone or {}))
    model = MODELS.build(cfg).eval()
    for param in model.parameters():
        if param.ndim == 1:  # norms and biases
            param.data.add_(0.1 * torch.randn_like(param))
    return model


def plain_attention(attn, frames):
    """The formula: frames [T, L, W], one after the other, head by head."""
    width, heads, out = frames.shape[-1], attn.num_heads, []
    queries, keys, values = (
        frames @ weight.T + bias for weight, bias in zip(
            attn.in_proj_weight.split(width), attn.in_proj_bias.split(width)))
    for t in range(len(frames)):
        rows = []
        for part in keys, values:
            zero = torch.zeros_like(part[0])
            after = part[t + 1] if t + 1 < len(frames) else zero
            before = part[t - 1] if t else zero
            rows.append(torch.cat([after, before, part[t]]))  # [3L, W]
        pieces = []
        for q, k, v in zip(*(x.split(width // heads, 1)
                             for x in (queries[t], *rows))):
            logits = q @ k.T / (width // heads)**0.5
            weights = logits.exp() / logits.exp().sum(1, keepdim=True)
            pieces.append(weights @ v)
        out.append(torch.cat(pieces, 1))
    return attn.out_proj(torch.stack(out))


def plain_tower(backbone, frames):
    """[T, 3, H, W] of one view to [T, D]."""
    tower = backbone.visual
    x = tower.ln_pre(torch.cat([
        tower.class_embedding.expand(len(frames), 1, -1),
        tower.conv1(frames).flatten(2).mT], 1) + tower.positional_embedding)
    num_tokens, prompts = x.shape[1], backbone.prompts
    for layer, block in enumerate(tower.transformer.resblocks):
        if prompts is not None and layer < prompts.depth:
            own = prompts.tokens[layer].expand(len(frames), -1, -1)
            x = torch.cat([x[:, :num_tokens],
                           own if layer else tower.ln_pre(own)], 1)
        x = x + plain_attention(block.attn, block.ln_1(x))
        y = block.mlp.c_fc(block.ln_2(x))
        x = x + block.mlp.c_proj(y * torch.sigmoid(1.702 * y))
    return tower.ln_post(x[:, 0]) @ tower.proj


@pytest.mark.parametrize('num_frames', [1, 2, T])
@pytest.mark.parametrize('backbone', [
    {}, dict(prompts=dict(length=3, depth=2)),
    dict(prompts=dict(length=3, depth=1)), dict(grad_checkpointing=True)],
    ids=['plain', 'prompts', 'shallow', 'checkpointing'])
def test_equals_a_plain_loop(backbone, num_frames):
    """Embeddings of two views, and the gradient of every parameter."""
    model = build(num_frames, backbone).backbone.train().requires_grad_()
    reference = copy.deepcopy(model)
    x = torch.randn(2 * num_frames, 3, 32, 32)
    ours = model(x)
    expected = torch.cat([plain_tower(reference, view)
                          for view in x.split(num_frames)])
    assert_equals(ours, expected, model, reference)


def test_zeros_at_the_ends_take_their_share():
    """A view of one frame is not that frame on its own."""
    model = build(1)
    alone = MODELS.build(model_cfg(num_frames=1)).eval()
    alone.load_state_dict(model.state_dict())  # the same names and shapes
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(model.backbone(x), alone.backbone(x),
                                  atol=1e-3)


@torch.no_grad()
def test_how_far_a_frame_is_seen():
    """By its neighbours, and in two layers by those behind them."""
    model, x = build().backbone, torch.randn(T, 3, 32, 32)
    first, other = model(x)[0], torch.randn(3, 32, 32)
    for place, same in (3, True), (2, False):
        changed = x.clone()
        changed[place] = other
        assert torch.allclose(model(changed)[0], first, atol=1e-5) == same


def test_layers_with_other_parts():
    """A part with a hook is called; another attention is refused."""
    model = build().backbone
    x, seen = torch.randn(T, 3, 32, 32), []
    block = model.visual.transformer.resblocks[0]
    with torch.no_grad():
        expected = model(x)
        handle = block.mlp.c_fc.register_forward_hook(
            lambda *args: seen.append(1))
        torch.testing.assert_close(model(x), expected)
        handle.remove()
        assert seen
        block.attn = torch.nn.Sequential(block.attn)
        with pytest.raises(NotImplementedError, match='Sequential'):
            model(x)


def test_under_autocast():
    model = build().backbone
    x = torch.randn(T, 3, 32, 32)
    with torch.no_grad():
        expected = model(x)
        with torch.autocast('cpu', torch.bfloat16):
            ours = model(x).float()
    assert 0 < (ours - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize('fusion', ['embedding', 'decision', 'image'])
def test_trains(fusion):
    model = build(head=dict(fusion=fusion)).train()
    losses = model(torch.randn(2, T, 3, 32, 32), samples([[0], [1]]),
                   mode='loss')
    losses['loss_cls'].backward()
    assert all(p.grad is not None for p in model.backbone.parameters())


@pytest.mark.parametrize('arch', [
    timm_arch('vit_tiny_patch16_224', timm_model_pretrained=False),
    tiny_arch(vision_cfg=dict(layers=(1, 1, 1, 1)))], ids=['timm', 'resnet'])
def test_towers_without_such_layers_are_refused(arch):
    with pytest.raises(ValueError, match='arch') as caught:
        build(backbone=dict(arch=arch))
    assert '\n' not in str(caught.value)


def test_weights_know_how_frames_attend(tmp_path):
    """They have the names and shapes of any CLIP's."""
    path, model = str(tmp_path / 'a.pth'), build()
    plain = MODELS.build(model_cfg(num_frames=T))
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        vifi_clip=collect_settings(model))), path)
    check_file(path, model, Config(dict(model={})))
    with pytest.raises(UserError, match='neighbours: 1 when .*, 0 in'):
        check_file(path, plain, Config(dict(model={})))


def test_another_number_than_the_heads_is_refused():
    with pytest.raises(ValueError, match='num_frames'):
        build(backbone=dict(num_frames=3))


def test_what_shows_or_writes_frames_alone_is_refused():
    model = build()
    with pytest.raises(UserError, match='see each other'):
        build_parts(model, ['video'], 'float')
    frames = torch.zeros(T, 32, 32, 3, dtype=torch.uint8).numpy()
    with pytest.raises(UserError, match='neighbours'):
        attention_maps(model, frames)
