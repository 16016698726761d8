"""Deep prompts against a plain reference from the paper's description."""
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from open_clip.tokenizer import SimpleTokenizer
from tiny import NAMES, build_classifier, tiny_arch


def _attention(block, x, mask):
    """Pre-norm self-attention and MLP with QuickGELU, in plain algebra."""
    y = block.ln_1(x)
    num_heads = block.attn.num_heads
    qkv = y @ block.attn.in_proj_weight.T + block.attn.in_proj_bias
    q, k, v = (z.unflatten(-1, (num_heads, -1)).transpose(1, 2)
               for z in qkv.chunk(3, dim=-1))
    scores = q @ k.transpose(-1, -2) / q.shape[-1]**0.5
    if mask is not None:
        scores = scores + mask
    y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    x = x + y @ block.attn.out_proj.weight.T + block.attn.out_proj.bias
    y = block.mlp.c_fc(block.ln_2(x))
    return x + block.mlp.c_proj(y * torch.sigmoid(1.702 * y))


def reference_image(backbone, images):
    """Prompts after the patch tokens, before ln_pre; replaced in layers."""
    tower, prompts = backbone.visual, backbone.prompts.tokens
    num, n = len(images), prompts.shape[1]
    patches = F.conv2d(images, tower.conv1.weight, stride=8)
    x = patches.flatten(2).transpose(1, 2)
    x = torch.cat([tower.class_embedding.expand(num, 1, -1), x], 1)
    x = x + tower.positional_embedding
    x = tower.ln_pre(torch.cat([x, prompts[0].expand(num, -1, -1)], 1))
    for layer, block in enumerate(tower.transformer.resblocks):
        if 0 < layer < len(prompts):
            x = torch.cat([x[:, :-n], prompts[layer].expand(num, -1, -1)], 1)
        x = _attention(block, x, None)
    return tower.ln_post(x[:, 0]) @ tower.proj


def reference_text(classifier, n):
    """n tokens after the start token, at the full context length."""
    tower, prompts = classifier.text, classifier.prompts.tokens
    sentences = ['X ' * n + name.replace('_', ' ') + '.' for name in NAMES]
    tokens = SimpleTokenizer(context_length=24)(sentences)
    num = len(tokens)
    x = tower.token_embedding(tokens)
    x = torch.cat([x[:, :1], prompts[0].expand(num, -1, -1), x[:, 1 + n:]], 1)
    x = x + tower.positional_embedding
    mask = torch.full((24, 24), float('-inf')).triu(1)
    for layer, block in enumerate(tower.transformer.resblocks):
        if 0 < layer < len(prompts):
            x = torch.cat([x[:, :1], prompts[layer].expand(num, -1, -1),
                           x[:, 1 + n:]], 1)
        x = _attention(block, x, mask)
    x = tower.ln_final(x)[torch.arange(num), tokens.argmax(-1)]
    return F.normalize(x @ tower.text_projection, dim=-1)


ARCH = tiny_arch(vision_cfg=dict(layers=4), text_cfg=dict(layers=4))


@pytest.mark.parametrize('grad_checkpointing', [False, True])
@pytest.mark.parametrize('length, depth', [(1, 1), (3, 2), (5, 4)])
def test_both_towers_equal_the_reference(length, depth, grad_checkpointing):
    prompts = dict(length=length, depth=depth)
    backbone = MODELS.build(dict(
        type='VLDeepPromptBackbone', arch=ARCH, prompts=prompts,
        grad_checkpointing=grad_checkpointing))
    classifier = build_classifier(
        arch=ARCH, prompts=prompts, grad_checkpointing=grad_checkpointing)
    for module in (backbone, classifier):
        for param in module.parameters():
            torch.nn.init.normal_(param, std=0.2)
    images = torch.randn(2, 3, 32, 32)
    for ours, theirs, tokens in (
        (backbone(images), reference_image(backbone, images),
         backbone.prompts.tokens),
        (classifier(), reference_text(classifier, length),
         classifier.prompts.tokens)):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
        weight = torch.randn_like(ours)
        grad, = torch.autograd.grad((ours * weight).sum(), tokens)
        expected, = torch.autograd.grad((theirs * weight).sum(), tokens)
        assert grad.abs().flatten(1).sum(1).min() > 0  # every layer's own
        torch.testing.assert_close(grad, expected, atol=1e-4, rtol=1e-3)


def test_init_from_words_and_at_random():
    classifier = build_classifier(
        prompts=dict(length=4, depth=2, init='a photo of a'))
    ids = SimpleTokenizer().encode('a photo of a')
    words = classifier.text.token_embedding.weight[ids]
    assert torch.equal(classifier.prompts.tokens[0], words)
    # The class text then reads as the hand-written prompt.
    assert torch.equal(
        classifier.tokens[0, :8],
        SimpleTokenizer()('a photo of a archery.')[0, :8])
    longer = build_classifier(
        prompts=dict(length=8, depth=2, init='a photo of a'))
    tokens = longer.prompts.tokens.detach()
    assert 0.01 < tokens[0].std() < 0.03 and tokens.mean().abs() < 0.01


@pytest.mark.parametrize('prompts, match', [
    (dict(length=0, depth=1), 'length'), (dict(length=2, depth=3), r'1\.\.2'),
    (dict(length=2), "lacks .*depth"), (dict(length=2, deep=1, depth=1),
                                        "unknown keys .*deep")])
def test_bad_prompt_settings(prompts, match):
    with pytest.raises(ValueError, match=match):
        MODELS.build(dict(type='VLDeepPromptBackbone', arch=tiny_arch(),
                          prompts=prompts))
    with pytest.raises(ValueError, match=match):
        build_classifier(prompts=prompts)


def test_prompt_too_long_for_the_context_names_the_class():
    with pytest.raises(ValueError, match='arm wrestling'):
        build_classifier(prompts=dict(length=20, depth=1),
                         class_names=['archery', 'arm wrestling'])
