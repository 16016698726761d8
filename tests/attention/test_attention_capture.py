"""Recording attention leaves no trace, and says what it cannot do."""
import pytest
import torch
from mmaction.registry import MODELS
from tiny import build_model, timm_arch, tiny_arch
from torch import nn

from projects.vifi_clip.engine.precision import apply_inference
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.attention.capture import (recorded_attention,
                                                        token_layout)

TIMM = dict(
    vit=timm_arch('vit_tiny_patch16_224', timm_pool='token'),
    eva=timm_arch('eva02_tiny_patch14_224', timm_pool='token'))


def _backbone(arch, **kwargs):
    cfg = dict(type='CLIPVisionBackbone', arch=arch)
    cfg.update(kwargs)
    return MODELS.build(cfg).eval()


def _state(backbone):
    modules = {n: id(m) for n, m in backbone.named_modules()}
    hooks = sum(len(m._forward_hooks) for m in backbone.modules())
    fused = [getattr(m, 'fused_attn', None) for m in backbone.modules()]
    return modules, hooks, fused


@pytest.mark.parametrize('prompts', [None, dict(length=3, depth=2)])
@pytest.mark.parametrize('grad', [False, True])
def test_embeddings_stay_and_all_is_put_back(prompts, grad):
    backbone = build_model(prompts=prompts).eval().backbone
    x = torch.randn(3, 3, 32, 32)
    x[2] = x[0]  # would be encoded once
    before, keys = _state(backbone), list(backbone.state_dict())
    with torch.set_grad_enabled(grad):
        expected = backbone(x)
        with recorded_attention(backbone) as layers:
            got = backbone(x)
            assert list(backbone.state_dict()) == keys
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    length = 17 + (prompts['length'] if prompts else 0)
    assert [w.shape for w in layers] == [(3, 2, length, length)] * 2
    assert all(w.requires_grad == grad for w in layers)
    assert _state(backbone) == before
    with torch.no_grad():
        assert torch.equal(backbone(x), backbone(x))


@pytest.mark.parametrize('family', TIMM)
def test_timm_towers(family):
    backbone = _backbone(TIMM[family])
    tokens = token_layout(backbone)
    x = torch.randn(2, 3, *tokens.image_size)
    before = _state(backbone)
    with torch.no_grad():
        expected = backbone(x)
    with recorded_attention(backbone) as layers:
        got = backbone(x)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)
    assert _state(backbone) == before
    assert len(layers) == 12 and tokens.first == 1
    assert layers[0].shape[-1] == tokens.end
    torch.testing.assert_close(layers[-1].sum(-1),
                               torch.ones(layers[-1].shape[:-1]))
    if family == 'vit':
        _check_last_layer(backbone, x, layers[-1].detach())
    grads = torch.autograd.grad(got.sum(), layers)
    assert all(grad.abs().sum() > 0 for grad in grads)


def _check_last_layer(backbone, x, recorded):
    """Queries and keys of timm's last layer, by hand."""
    block, seen = backbone.visual.trunk.blocks[-1], []
    hook = block.attn.register_forward_pre_hook(
        lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        backbone(x)
        hook.remove()
        q, k, _ = block.attn.qkv(seen[0]).split(192, -1)
        for head in range(3):
            part = slice(64 * head, 64 * head + 64)
            weights = (q[..., part] @ k[..., part].mT / 8).softmax(-1)
            torch.testing.assert_close(recorded[:, head], weights,
                                       atol=1e-5, rtol=1e-4)


def test_timm_tower_with_deep_prompts():
    backbone = _backbone(TIMM['vit'], type='VLDeepPromptBackbone',
                         prompts=dict(length=2, depth=3))
    with torch.no_grad(), recorded_attention(backbone) as layers:
        backbone(torch.randn(1, 3, 224, 224))
    assert layers[-1].shape == (1, 3, 199, 199)
    assert token_layout(backbone).prompts is backbone.prompts


def test_all_is_put_back_after_an_error():
    backbone = build_model().eval().backbone
    backbone.grad_checkpointing = True
    before = _state(backbone)
    with pytest.raises(RuntimeError):
        with recorded_attention(backbone):
            backbone(torch.randn(1, 3, 7, 7))
    assert _state(backbone) == before and backbone.grad_checkpointing


@pytest.mark.parametrize('build, name', [
    (lambda: _backbone(tiny_arch(vision_cfg=dict(
        layers=[1, 1, 1, 1], width=16, patch_size=None))),
     'ModifiedResNet'),
    (lambda: _backbone(tiny_arch(vision_cfg=dict(pool_type='avg'))), ''),
    (lambda: _backbone(tiny_arch(vision_cfg=dict(attentional_pool=True))),
     ''),
    (lambda: _backbone(tiny_arch(vision_cfg=dict(
        block_type='custom', qk_norm=True))), ''),
    (lambda: _backbone(timm_arch('vit_tiny_patch16_224', timm_pool='avg')),
     'VisionTransformer'),
    (lambda: _backbone(timm_arch('convnext_atto', timm_pool='avg')),
     'ConvNeXt'),
    (lambda: nn.Conv2d(3, 3, 1), 'Conv2d'),
    (lambda: apply_inference(build_model().eval(), precision='bf16').backbone,
     'InferenceBackbone')])
def test_other_towers_are_refused(build, name):
    with pytest.raises(UserError, match=name or 'class token'):
        with recorded_attention(build()):
            pass
