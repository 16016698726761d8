"""ST-Adapter and AIM against plain loops over frames and positions, on the
same frozen weights; what trains."""
import copy

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from tiny import assert_equals, model_cfg, samples, timm_arch, tiny_arch

from projects.vifi_clip.checkpoints.settings import collect_settings
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.attention.maps import attention_maps
from projects.vifi_clip_tools.export.modules import build_parts

T = 3
KINDS = dict(
    st_adapter=dict(type='STAdapterBackbone', channels=6),
    st_both=dict(type='STAdapterBackbone', channels=6, before_attention=True),
    aim=dict(type='AIMBackbone'))


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def build(kind=None, num_frames=T, noise=0., **backbone):
    """A tiny recognizer; with ``noise`` every parameter matters."""
    cfg = model_cfg(num_frames=num_frames, tune='adapters')
    cfg['backbone'].update(dict(KINDS[kind], num_frames=None)
                           if kind else {}, **backbone)
    torch.manual_seed(0)
    model = MODELS.build(cfg).eval()
    for param in model.backbone.parameters() if noise else ():
        param.data.add_(noise * torch.randn_like(param))
    return model


def plain_attention(attn, tokens):
    """One sequence [L, W], head by head."""
    width, heads = tokens.shape[-1], attn.num_heads
    q, k, v = (tokens @ w.T + b for w, b in zip(
        attn.in_proj_weight.split(width), attn.in_proj_bias.split(width)))
    pieces = []
    for q, k, v in zip(*(x.split(width // heads, 1) for x in (q, k, v))):
        weights = (q @ k.T / (width // heads)**0.5).exp()
        pieces.append(weights / weights.sum(1, keepdim=True) @ v)
    return torch.cat(pieces, 1) @ attn.out_proj.weight.T + attn.out_proj.bias


def plain_mlp(block, x):
    y = x @ block.mlp.c_fc.weight.T + block.mlp.c_fc.bias
    y = y * torch.sigmoid(1.702 * y)
    return y @ block.mlp.c_proj.weight.T + block.mlp.c_proj.bias


def plain_st_adapter(adapter, x):
    """x[:, 1:] += W2 conv(W1 x[:, 1:]), [T, L, W]."""
    if isinstance(adapter, torch.nn.Identity):
        return x
    rows, taps = x.clone(), adapter.conv.weight[:, 0, :, 0]  # [C, 3]
    for place in range(1, x.shape[1]):
        low = x[:, place] @ adapter.down.weight.T + adapter.down.bias
        for t in range(len(x)):
            y = adapter.conv.bias
            for tap, s in enumerate((t - 1, t, t + 1)):
                if 0 <= s < len(x):
                    y = y + taps[:, tap] * low[s]
            rows[t, place] = x[t, place] + (
                y @ adapter.up.weight.T + adapter.up.bias)
    return rows


def plain_aim_adapter(adapter, x):
    y = F.gelu(x @ adapter[0].weight.T + adapter[0].bias)
    return y @ adapter[2].weight.T + adapter[2].bias


def plain_layer(block, adapters, x):
    """Tokens of a view [T, L, W]."""
    if not hasattr(adapters, 'temporal'):
        x = plain_st_adapter(adapters['before_attention'], x)
        x = x + torch.stack([plain_attention(block.attn, frame)
                             for frame in block.ln_1(x)])
        x = plain_st_adapter(adapters['before_mlp'], x)
        return x + plain_mlp(block, block.ln_2(x))
    y = block.ln_1(x)
    y = torch.stack([plain_attention(block.attn, y[:, place])
                     for place in range(x.shape[1])], 1)
    x = x + plain_aim_adapter(adapters.temporal, y)
    y = torch.stack([plain_attention(block.attn, frame)
                     for frame in block.ln_1(x)])
    x = x + y + plain_aim_adapter(adapters.spatial, y)
    y = block.ln_2(x)
    return x + plain_mlp(block, y) + 0.5 * plain_aim_adapter(adapters.mlp, y)


def plain_tower(backbone, frames):
    """[T, 3, H, W] of one view to [T, D]."""
    tower = backbone.visual
    x = torch.cat([tower.class_embedding.expand(len(frames), 1, -1),
                   tower.conv1(frames).flatten(2).mT], 1)
    x = x + tower.positional_embedding
    if hasattr(backbone, 'adapter_positions'):
        x = x + backbone.adapter_positions[:, None]
    x = tower.ln_pre(x)
    for block, adapters in zip(tower.transformer.resblocks,
                               backbone.adapters):
        x = plain_layer(block, adapters, x)
    return tower.ln_post(x[:, 0]) @ tower.proj


@pytest.mark.parametrize('checkpointing', [False, True])
def test_equals_a_plain_loop(kind, checkpointing):
    """Embeddings of two views, and the gradient of every parameter."""
    model = build(kind, noise=0.1, grad_checkpointing=checkpointing
                  ).backbone.train().requires_grad_()
    reference = copy.deepcopy(model)
    x = torch.randn(2 * T, 3, 32, 32)
    ours = model(x)
    expected = torch.cat([plain_tower(reference, view)
                          for view in x.split(T)])
    assert_equals(ours, expected, model, reference)


@torch.no_grad()
def test_starts_as_frozen_clip(kind):
    """Bit by bit; a frame that moves changes nothing but its own embedding
    then, and the others' later."""
    model, plain = build(kind), build()
    plain.load_state_dict(
        {name: value for name, value in model.state_dict().items()
         if '.adapter' not in name})
    x = torch.randn(7, T, 3, 32, 32)
    few = x[:5].flatten(0, 1)  # one chunk of both: sizes may change a bit
    assert torch.equal(model.backbone(few), plain.backbone(few))
    trained, other = build(kind, noise=0.1).backbone, x[0].clone()
    other[1] = x[1, 0]
    for backbone, same in (model.backbone, True), (trained, False):
        assert torch.allclose(backbone(x[0])[0], backbone(other)[0],
                              atol=1e-6) == same


def test_adapters_alone_train(kind):
    """And their dropped paths are those of training; CLIP's mode is eval."""
    model = build(kind, noise=0.1, **(
        dict(drop_path=0.5) if kind == 'aim' else {})).train()
    x = torch.randn(2, T, 3, 32, 32)
    for name, param in model.named_parameters():
        assert param.requires_grad == name.startswith('backbone.adapter')
    assert model.backbone.adapters.training
    assert not any(module.training for module in (
        *model.backbone.visual.modules(),
        *model.cls_head.text_classifier.text.modules()))
    losses = []
    for _ in range(2):
        model.zero_grad()
        losses.append(model.loss(x, samples([[0], [1]]))['loss_cls'])
        losses[-1].backward()
    assert (losses[0] == losses[1]) == (kind != 'aim')
    assert all(p.grad is not None for p in model.parameters()
               if p.requires_grad)


@pytest.mark.parametrize('kind, expected', [
    # 11 x (2 x 768 x 384 + 384 + 768 + 3 x 384 + 384): theirs have a 12th,
    # which nothing reads, 7.1 M in all; 23 of 24
    ('STAdapterBackbone', 6_517_632),
    # 12 x 3 x (2 x 768 x 192 + 192 + 768) + 8 x 768: their 11 M have a head
    # of 400 x 768 and ln_post
    ('AIMBackbone', 10_657_536)])
def test_numbers_of_parameters(kind, expected):
    with torch.device('meta'):
        backbone = MODELS.build(dict(
            type=kind, arch='ViT-B-16-quickgelu', num_frames=8))
    assert expected == sum(
        p.numel() for n, p in backbone.named_parameters() if 'visual' not in n)


@pytest.mark.parametrize('arch', [
    timm_arch('vit_tiny_patch16_224', timm_model_pretrained=False),
    tiny_arch(vision_cfg=dict(layers=(1, 1, 1, 1))),
    tiny_arch(vision_cfg=dict(pool_type='avg'))],
    ids=['timm', 'resnet', 'average'])
def test_towers_without_such_layers_are_refused(kind, arch):
    with pytest.raises(ValueError, match='takes no adapters') as caught:
        build(kind, arch=arch)
    assert '\n' not in str(caught.value)


def test_maps_and_files(kind, tmp_path):
    """Attention within frames is shown, views are not written; a checkpoint
    brings its CLIP where a CLIP is asked for."""
    model = build(kind, noise=0.1)
    frames = torch.zeros(T, 32, 32, 3, dtype=torch.uint8).numpy()
    assert attention_maps(model, frames, 'last').shape == (T, 4, 4)
    with pytest.raises(UserError, match='see each other'):
        build_parts(model, ['video'], 'float')
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        vifi_clip=collect_settings(model))), tmp_path / 'a.pth')
    clip = build(pretrained=str(tmp_path / 'a.pth')).backbone.visual
    torch.testing.assert_close(clip.state_dict(),
                               model.backbone.visual.state_dict())
