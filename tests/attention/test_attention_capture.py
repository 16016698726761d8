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

TIMM_VIT = timm_arch('vit_tiny_patch16_224', timm_pool='token')
TIMM_EVA = timm_arch('eva02_tiny_patch14_224', timm_pool='token')


def _backbone(arch, prompts=None):
    cfg = dict(type='CLIPVisionBackbone', arch=arch)
    if prompts:
        cfg.update(type='VLDeepPromptBackbone', prompts=prompts)
    return MODELS.build(cfg).eval()


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
