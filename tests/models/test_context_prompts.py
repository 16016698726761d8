"""Prompts that look at the video: against a text tower that is run for each
video and class, and what goes with them."""
import copy

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from tiny import (NAMES, assert_gradients, class_tokens, model_cfg, samples,
                  tiny_arch)

from projects.vifi_clip.models.text_tower import end_positions

T = 4
ARCH = tiny_arch(vision_cfg=dict(layers=3), text_cfg=dict(layers=3))
PROMPTS = dict(length=4, depth=1, init='a photo of a')


def cfg(num_frames=T, arch=ARCH, text=None, **kwargs):
    cfg = model_cfg(num_frames=num_frames, **kwargs)
    cfg['backbone'] = dict(
        type='ContextBackbone', num_frames=None, arch=arch, length=5,
        ratio=0.5, step=6, give_context=True)
    cfg['cls_head'].update(in_channels=None)
    cfg['cls_head']['text_classifier'].update(dict(
        type='VideoTextClassifier', arch=arch, prompts=PROMPTS),
        **(text or {}))
    return cfg


def build(*args, **kwargs):
    """A tiny recognizer whose every parameter matters."""
    torch.manual_seed(0)
    model = MODELS.build(cfg(*args, **kwargs)).eval()
    for param in model.parameters():
        if param.ndim == 1:  # norms and biases
            param.data.add_(0.1 * torch.randn_like(param))
    return model


def plain_attention(attn, asking, asked, mask=None):
    """One sequence, head by head; ``mask`` [l, L] is added to logits."""
    width, heads, pieces = asking.shape[-1], attn.num_heads, []
    q, k, v = (x @ w.T + b for x, w, b in zip(
        (asking, asked, asked), attn.in_proj_weight.split(width),
        attn.in_proj_bias.split(width)))
    for part in torch.arange(width).split(width // heads):
        logits = q[:, part] @ k[:, part].T / len(part)**0.5
        if mask is not None:
            logits = logits + mask
        pieces.append(logits.softmax(1) @ v[:, part])
    return attn.out_proj(torch.cat(pieces, 1))


def plain_block(block, x, others=None):
    """A sentence [L, W], or what looks at ``others`` [M, W]."""
    if others is None:
        own = block.ln_1(x)
        mask = torch.full((len(x), len(x)), float('-inf')).triu(1)
        x = x + plain_attention(block.attn, own, own, mask)
    else:
        x = x + plain_attention(block.attn, block.ln_1(x),
                                block.ln_1_kv(others))
    y = block.mlp.c_fc(block.ln_2(x))
    return x + block.mlp.c_proj(y * torch.sigmoid(1.702 * y))


def plain_classes(classifier, contexts):
    """Each class for each video of context [M, D], [N, K, D]."""
    text, prompts = classifier.text, classifier.prompts
    tokens = class_tokens(NAMES)  # 'a photo of a ...', to the very end
    ends = end_positions(text, tokens)
    rows = []
    for context in contexts:
        for ids, end in zip(tokens, ends):
            x = text.token_embedding(ids)
            x = torch.cat([x[:1], prompts.tokens[0], x[5:]])
            x = x + text.positional_embedding
            for block in text.transformer.resblocks[:-1]:
                x = plain_block(block, x)
            given = plain_block(classifier.prompt_layer, x[1:5], context)
            x = plain_block(text.transformer.resblocks[-1],
                            torch.cat([x[:1], given, x[5:]]))
            rows.append(text.ln_final(x[end]) @ text.text_projection)
    return torch.stack(rows).unflatten(0, (len(contexts), -1))


@pytest.mark.parametrize('num_frames', [T, 8])
def test_equals_a_tower_for_each_video_and_class(num_frames):
    """Logits, and the gradient of every parameter."""
    model = build(num_frames).train()
    reference = copy.deepcopy(model)
    x = torch.randn(3, num_frames, 3, 32, 32)
    head = model.cls_head
    ours = head(model.extract_feat(x)[0])
    frames = reference.backbone(x.flatten(0, 1)).unflatten(0, (3, -1))
    other = reference.cls_head
    video = F.normalize(frames[:, :, 0].mean(1), dim=-1)
    classes = F.normalize(plain_classes(
        other.text_classifier, frames[:, 0, 1:]), dim=-1)
    expected = other.logit_scale.exp() * (classes @ video[..., None])[..., 0]
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    for logits in ours, expected:
        F.cross_entropy(logits, torch.tensor([0, 3, 1])).backward()
    assert_gradients(model, reference, frozen=[
        'cls_head.text_classifier.text.token_embedding.weight'])


def test_classes_are_the_videos():
    """Videos do not see each other, and a test splits them."""
    model = build()
    head = model.cls_head
    x = torch.randn(3, T, 3, 32, 32)
    with torch.no_grad():
        feats = model.extract_feat(x)[0]
        logits = head(feats)
        torch.testing.assert_close(logits[1:2], head(feats[T:2 * T]))
        frames = head.frame_embeddings(feats)
        context = frames[:, 0, 1:].clone()
        classes = head.encode_classes()
        apart = head.condition(classes, context)
        assert (apart[0] - apart[1]).abs().max() > 1e-4
    torch.testing.assert_close(apart, head.condition(classes, context))


def test_a_layer_that_adds_nothing_leaves_the_words():
    """At the start it is a copy of the last one, and the prompts are the
    words; without it the classes are CLIP's."""
    model = MODELS.build(cfg()).eval()
    text = model.cls_head.text_classifier
    own = text.text.transformer.resblocks[-1]
    assert torch.equal(text.prompt_layer.attn.in_proj_weight,
                       own.attn.in_proj_weight)
    assert torch.equal(text.prompt_layer.ln_1_kv.weight, own.ln_1.weight)
    plain = MODELS.build(dict(
        model_cfg()['cls_head']['text_classifier'], arch=ARCH)).eval()
    plain.load_state_dict({k: v for k, v in text.state_dict().items()
                           if not k.startswith('prompt')})
    with torch.no_grad():
        for part in text.prompt_layer.attn.out_proj, (
                text.prompt_layer.mlp.c_proj):
            part.weight.zero_()
            part.bias.zero_()
        got = text.condition(text(), torch.randn(2, 5, 32))
        torch.testing.assert_close(F.normalize(got, dim=-1),
                                   plain().expand(2, -1, -1))


def test_other_sentences():
    """Of a length of their own, in pieces; descriptions are sentences."""
    long = {name: [f'{name} that takes some more words'] if i else ['it']
            for i, name in enumerate(NAMES)}
    model = build(text=dict(max_graph_tokens=20)).train()
    text, context = model.cls_head.text_classifier, torch.randn(2, 5, 32)
    text.set_classes(NAMES, long, templates='{description}')
    whole = copy.deepcopy(text)
    whole.max_graph_tokens = None
    for side in text, whole:
        side.condition(side(), context).square().sum().backward()
    for ours, expected in zip(text.parameters(), whole.parameters()):
        if expected.requires_grad:  # not token embeddings
            torch.testing.assert_close(
                ours.grad, expected.grad, rtol=1e-4,
                atol=1e-5 * float(expected.grad.abs().max()))
    with pytest.raises(ValueError, match='one sentence'):
        text.set_classes(NAMES, templates=['a {}', 'the {}'])


@pytest.mark.parametrize('tune', ['both', 'image', 'text', 'none'])
def test_what_trains(tune):
    model = build(tune=tune).train()
    trained = {'both': ('backbone.', 'cls_head.'), 'none': (), 'image': (
        'backbone.', 'cls_head.text_classifier.prompt'), 'text': (
            'cls_head.text_classifier.', 'backbone.context_bias')}[tune]
    for name, param in model.named_parameters():
        assert param.requires_grad == (name.startswith(trained) and not (
            name.endswith('token_embedding.weight'))), name
    if tune != 'none':
        model.loss(torch.randn(2, T, 3, 32, 32), samples([[0], [1]]))[
            'loss_cls'].backward()
        assert all(p.grad is not None for p in model.parameters()
                   if p.requires_grad)


def test_text_in_bfloat16():
    model = build()
    context = torch.randn(2, 5, 32)
    text = model.cls_head.text_classifier
    with torch.no_grad():
        expected = text.condition(text(), context)
        text.text.to(torch.bfloat16)
        ours = text.condition(text(), context)
    assert ours.dtype == torch.float32
    assert F.cosine_similarity(ours, expected, dim=-1).min() > 0.99


@pytest.mark.parametrize('changes, said', [
    (dict(arch=tiny_arch(text_cfg=dict(width=64))), 'of 32 channels'),
    (dict(text=dict(prompts=dict(length=4, depth=2))), 'depth=1'),
    (dict(text=dict(templates=['a {}', 'the {}'])), 'one sentence'),
    (dict(text=dict(average='prob')), "average='embedding'"),
    (dict(auxiliary=[dict(type='AnchorRelationLoss', teacher=dict(
        type='EMATeacher'))]), 'AUX=none')])
def test_what_is_refused(changes, said):
    with pytest.raises(ValueError, match=said) as caught:
        build(**changes)
    assert '\n' not in str(caught.value)
