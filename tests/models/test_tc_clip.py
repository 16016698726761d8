"""Context tokens: against a plain loop over frames, heads and tokens, and what
goes with them."""
import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny import assert_equals, model_cfg, samples, timm_arch, tiny_arch

from projects.vifi_clip.checkpoints.settings import (check_file,
                                                     collect_settings)
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.models.methods.tc_clip import merge_tokens

T = 4  # 4 frames of 16 patches; int(0.5 x 16) = 8 of each are merged
SMALL = dict(length=5, ratio=0.5, step=6)
ARCH = tiny_arch(vision_cfg=dict(layers=3))


def build(num_frames=T, backbone=None, **kwargs):
    """A tiny recognizer whose every parameter matters."""
    torch.manual_seed(0)
    cfg = model_cfg(num_frames=num_frames, **kwargs)
    cfg['backbone'].update(dict(
        SMALL, type='ContextBackbone', num_frames=None, arch=ARCH),
        **(backbone or {}))
    model = MODELS.build(cfg).eval()
    for name, param in model.named_parameters():
        if param.ndim == 1 or name.endswith('context_bias'):
            param.data.add_(0.1 * torch.randn_like(param))
        elif name.endswith('in_proj_weight'):
            param.data.mul_(3)  # attention that tells patches apart
    return model


def plain_merge(tokens, length, step):
    """Rows [W] one by one; a mean of all that each stands for."""
    groups = [[token] for token in tokens]
    while len(groups) > length:
        mean = torch.stack([torch.stack(g).mean(0) for g in groups]).detach()
        found = []
        for i in range(0, len(groups), 2):
            likeness = torch.cosine_similarity(mean[i], mean[1::2]).tolist()
            best = max(range(len(likeness)), key=likeness.__getitem__)
            found.append((likeness[best], i, 2 * best + 1))
        found.sort(key=lambda row: -row[0])
        num = min(step, len(groups) - length, len(groups) // 2)
        for _, i, j in found[:num]:
            groups[j] = groups[j] + groups[i]
        groups = [groups[i] for _, i, _ in found[num:]] + groups[1::2]
    return torch.stack([torch.stack(g).mean(0) for g in groups])


def plain_layer(block, frames, context, bias, settings):
    """A layer of T frames [L, W] and M rows of context."""
    width, heads = frames[0].shape[-1], block.attn.num_heads
    weights = block.attn.in_proj_weight.split(width)
    biases = block.attn.in_proj_bias.split(width)
    after, seeds = [], []
    for x in frames:
        own = block.ln_1(x)
        asked = own if context is None else torch.cat(
            [own, block.ln_1(context)])
        q = own @ weights[0].T + biases[0]
        k, v = (asked @ weights[i].T + biases[i] for i in (1, 2))
        pieces, looks = [], 0
        for h in range(heads):
            part = slice(h * width // heads, (h + 1) * width // heads)
            logits = q[:, part] @ k[:, part].T / (width // heads)**0.5
            if context is not None:
                kind = (torch.arange(len(asked)) >= len(own)).long()
                logits = logits + bias[h][kind]
            share = logits.exp() / logits.exp().sum(1, keepdim=True)
            looks = looks + share[0, 1:len(own)].detach() / heads
            pieces.append(share @ v[:, part])
        x = x + block.attn.out_proj(torch.cat(pieces, 1))
        after.append(x)
        num = int(settings['ratio'] * len(looks))
        best = sorted(range(len(looks)), key=lambda i: -float(looks[i]))[:num]
        seeds += [x[1 + i] for i in best]
    context = plain_merge(seeds, settings['length'], settings['step'])

    def mlp(x):
        y = block.mlp.c_fc(block.ln_2(x))
        return x + block.mlp.c_proj(y * torch.sigmoid(1.702 * y))

    return [mlp(x) for x in after], mlp(context)


def plain_tower(backbone, frames):
    """[T, 3, H, W] of one view to [T, D] and context [M, D]."""
    tower, context = backbone.visual, None
    x = tower.ln_pre(torch.cat([
        tower.class_embedding.expand(len(frames), 1, -1),
        tower.conv1(frames).flatten(2).mT], 1) + tower.positional_embedding)
    x = list(x)
    for layer, block in enumerate(tower.transformer.resblocks):
        x, context = plain_layer(
            block, x, context, backbone.context_bias[layer - 1] if layer
            else None, backbone.context)
    frames = torch.stack([tower.ln_post(row[0]) @ tower.proj for row in x])
    return frames, (tower.ln_post(context) @ tower.proj).detach()


@pytest.mark.parametrize('num_frames', [2, T, 8])
@pytest.mark.parametrize('backbone', [
    {}, dict(give_context=True), dict(grad_checkpointing=True)],
    ids=['frames', 'context', 'checkpointing'])
def test_equals_a_plain_loop(backbone, num_frames):
    """Embeddings of two views, and the gradient of every parameter."""
    model = build(num_frames, backbone).backbone.train().requires_grad_()
    reference = copy.deepcopy(model)
    x = torch.randn(2 * num_frames, 3, 32, 32)
    ours, expected = model(x), []
    for view in x.split(num_frames):
        frames, context = plain_tower(reference, view)
        expected.append(frames if not backbone.get('give_context') else
                        torch.cat([frames[:, None], context.expand(
                            num_frames, -1, -1)], 1))
    expected = torch.cat(expected)
    assert_equals(ours, expected, model, reference)


@pytest.mark.parametrize('num, length, step', [
    (40, 7, 100), (41, 6, 9), (232, 96, 100), (5, 5, 3), (9, 1, 2)])
def test_merging(num, length, step):
    """In several rounds, of an even and of an odd number."""
    tokens = torch.randn(2, num, 16, dtype=torch.float64).float()
    merged = merge_tokens(tokens, length, step)
    assert merged.shape == (2, length, 16)
    for ours, rows in zip(merged, tokens):
        torch.testing.assert_close(ours, plain_merge(rows, length, step))


def test_a_bias_that_shuts_the_context_out_leaves_clip():
    """Frames are then as in the CLIP whose weights it takes."""
    model = build()
    alone = MODELS.build(model_cfg(
        num_frames=T, backbone=dict(type='CLIPVisionBackbone', arch=ARCH)))
    alone.load_state_dict({k: v for k, v in model.state_dict().items()
                           if not k.endswith('context_bias')})
    x = torch.randn(2 * T, 3, 32, 32)
    with torch.no_grad():
        expected = alone.eval().backbone(x)
        model.backbone.context_bias.zero_()
        assert not torch.allclose(model.backbone(x), expected, atol=1e-3)
        model.backbone.context_bias[..., 1] = -1e9
        torch.testing.assert_close(model.backbone(x), expected, atol=1e-6,
                                   rtol=1e-5)


def test_layers_with_other_parts():
    """A part with a hook is called, a hook on the last layer sees all tokens;
    another attention is refused."""
    model = build().backbone
    x, seen = torch.randn(T, 3, 32, 32), []
    blocks = model.visual.transformer.resblocks
    with torch.no_grad():
        expected = model(x)
        for part in blocks[0].mlp.c_fc, blocks[-1]:
            part.register_forward_hook(
                lambda _, __, output: seen.append(output))
        torch.testing.assert_close(model(x), expected)
        assert len(seen) == 3 and seen[2][0].shape[:2] == (T, 17)
        blocks[0].attn = torch.nn.Sequential(blocks[0].attn)
        with pytest.raises(NotImplementedError, match='Sequential'):
            model(x)


def test_under_autocast():
    """Of all patches, none of which is chosen or merged by a rounded value."""
    model = build(backbone=dict(ratio=1, length=16 * T)).backbone
    x = torch.randn(T, 3, 32, 32)
    with torch.no_grad():
        expected = model(x)
        with torch.autocast('cpu', torch.bfloat16):
            ours = model(x).float()
    assert torch.cosine_similarity(ours, expected).min() > 0.99


@pytest.mark.parametrize('fusion', ['embedding', 'decision', 'image'])
def test_trains(fusion):
    model = build(head=dict(fusion=fusion)).train()
    losses = model(torch.randn(2, T, 3, 32, 32), samples([[0], [1]]),
                   mode='loss')
    losses['loss_cls'].backward()
    assert all(p.grad.any() for p in model.backbone.parameters())


@pytest.mark.parametrize('backbone, said', [
    (dict(arch=timm_arch('vit_tiny_patch16_224',
                         timm_model_pretrained=False)), 'arch'),
    (dict(arch=tiny_arch(vision_cfg=dict(layers=(1, 1, 1, 1)))), 'arch'),
    (dict(length=33), '32 that it is merged from'),
    (dict(length=0), 'length=0'), (dict(step=0), 'step=0')],
    ids=['timm', 'resnet', 'beyond', 'none', 'step'])
def test_what_is_refused(backbone, said):
    with pytest.raises(ValueError, match=said) as caught:
        build(backbone=backbone)
    assert '\n' not in str(caught.value)


def test_weights_know_their_context(tmp_path):
    """Which leaves no trace in their shapes."""
    path, model = str(tmp_path / 'a.pth'), build()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        vifi_clip=collect_settings(model))), path)
    check_file(path, model, Config(dict(model={})))
    with pytest.raises(UserError, match="context: .*'length': 5.* when .*7"):
        check_file(path, build(backbone=dict(length=7)),
                   Config(dict(model={})))
    with pytest.raises(ValueError, match='context_bias'):
        MODELS.build(model_cfg(num_frames=T, backbone=dict(
            type='CLIPVisionBackbone', arch=ARCH))).load_state_dict(
                model.state_dict())
