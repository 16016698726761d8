"""Ju et al. (A5, A6) against their formulas: where learnt tokens stand, the
temporal part, the loss, what trains."""
import math

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from open_clip.tokenizer import SimpleTokenizer
from tiny import NAMES, build_classifier, build_model, classifier_cfg, samples

T, D, W = 4, 32, 32
PROMPTS = dict(type='ContextPrompts', before=3, behind=2)


def TEMPORAL(depth):
    return dict(type='TemporalTransformer', depth=depth, residual=False,
                std=None, position_std=0.01, max_frames=T)


def build(depth=1, before=3, **kwargs):
    torch.manual_seed(0)
    return build_model(num_frames=T, tune='prompts', head=dict(
        temperature=0.07, temporal=TEMPORAL(depth),
        text_classifier=classifier_cfg(
            prompts=dict(PROMPTS, before=before), templates='{}'),
        loss_cls=dict(type='SampledCrossEntropyLoss'), **kwargs))


@torch.no_grad()
def encode(text, x, end):
    """CLIP's text tower over one embedded sentence [L, W]."""
    x = x + text.positional_embedding
    mask = torch.full((len(x), len(x)), float('-inf')).triu(1)
    for block in text.transformer.resblocks:
        z = block.ln_1(x)
        x = x + block.attn(z, z, z, attn_mask=mask, need_weights=False)[0]
        x = x + block.mlp(block.ln_2(x))
    return text.ln_final(x)[end] @ text.text_projection


@pytest.mark.parametrize('before, behind', [(3, 2), (0, 4), (5, 0)])
def test_places_of_the_learnt_tokens(before, behind):
    """[start][before][class][behind][end][to the end of the context]."""
    torch.manual_seed(0)
    classifier = build_classifier(templates='{}', prompts=dict(
        PROMPTS, before=before, behind=behind))
    text, table = classifier.text, classifier.prompts.table.weight
    table.data.normal_(std=0.3)
    ids = SimpleTokenizer(context_length=24)(
        [name.replace('_', ' ') for name in NAMES])
    rows = []
    for tokens in ids:
        end = int(tokens.argmax())  # of the class alone
        word = text.token_embedding(tokens)
        x = table[:24].clone()
        x[0] = word[0]
        x[before + 1:before + end] = word[1:end]
        x[before + end + behind] = word[end]
        rows.append(encode(text, x, before + end + behind))
    with torch.no_grad():
        torch.testing.assert_close(
            classifier(), F.normalize(torch.stack(rows), dim=-1),
            rtol=1e-4, atol=1e-5)


def test_one_table_for_all_classes_learns_where_it_stands():
    model = build().train()
    text = model.cls_head.text_classifier
    table = text.prompts.table
    assert table.weight.shape == (77, W)
    model.loss(torch.randn(2, T, 3, 32, 32), samples([[0], [1]]))[
        'loss_cls'].backward()
    ends = text.ends.tolist()
    used = {p for end in ends for p in [1, 2, 3, end - 2, end - 1]}
    assert len(set(ends)) > 1
    assert set(table.weight.grad.any(1).nonzero().flatten().tolist()) == used


@pytest.mark.parametrize('prompts, said', [
    (dict(before=0, behind=0), 'before=0'), (dict(before=-1), 'before=-1'),
    (dict(before=74), 'before=74'), (dict(max_tokens=8), 'max_tokens=8')])
def test_prompts_that_do_not_fit(prompts, said):
    with pytest.raises(ValueError, match=said):
        build_classifier(prompts={**PROMPTS, **prompts}, templates='{}')()


@pytest.mark.parametrize('depth', [1, 2])
def test_temporal_part(depth):
    module = build(depth).cls_head.temporal
    x = torch.randn(3, T, D)
    y = x + module.positions.weight
    for block in module.blocks:
        z = block.ln_1(y)
        y = y + block.attn(z, z, z, need_weights=False)[0]
        z = block.mlp[0](block.ln_2(y))
        y = y + block.mlp[2](z * torch.sigmoid(1.702 * z))
    assert len(module.blocks) == depth
    torch.testing.assert_close(module(x), y, rtol=1e-4, atol=1e-5)


def test_how_it_starts():
    prompts = MODELS.build(dict(PROMPTS, width=512)).table.weight
    module = MODELS.build(dict(TEMPORAL(1), embed_dim=512, max_frames=64))
    for weight in prompts, module.positions.weight:
        assert abs(weight.std() - 0.01) < 3e-4 and abs(weight.mean()) < 3e-4
    fc = module.blocks[0].mlp[0]  # PyTorch's own: uniform to W**-0.5
    for value in fc.weight, fc.bias:
        assert value.abs().max() <= 512**-0.5
        assert abs(value.std() - (3 * 512)**-0.5) < 2e-3


def test_sampled_classes():
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 12), torch.tensor([7, 2, 7])
    plain = MODELS.build(dict(type='SampledCrossEntropyLoss'))
    torch.testing.assert_close(plain(logits, labels),
                               F.cross_entropy(logits, labels))
    few = MODELS.build(dict(type='SampledCrossEntropyLoss', max_classes=5))
    drawn = set()
    for labels in labels, F.one_hot(labels, 12).float():
        for _ in range(40):
            x = logits.clone().requires_grad_()
            loss = few(x, labels)
            loss.backward()
            kept = x.grad.any(0).nonzero().flatten()
            assert len(kept) == 5 and {2, 7} <= set(kept.tolist())
            drawn.update(kept.tolist())
            index = torch.tensor([7, 2, 7])
            torch.testing.assert_close(loss, F.cross_entropy(
                logits[:, kept], (index[:, None] == kept).int().argmax(1)))
    assert drawn == set(range(12))
    one = MODELS.build(dict(type='SampledCrossEntropyLoss', max_classes=1))
    torch.testing.assert_close(  # those of the batch are always there
        one(logits, torch.tensor([7, 2, 7])),
        F.cross_entropy(logits[:, [2, 7]], torch.tensor([1, 0, 1])))
    with pytest.raises(ValueError, match='max_classes'):
        MODELS.build(dict(type='SampledCrossEntropyLoss', max_classes=0))


def test_what_trains():
    model = build(depth=2).train()
    trained = {n: p.numel() for n, p in model.named_parameters()
               if p.requires_grad}
    head = 'cls_head.'
    assert set(trained) == {
        f'{head}text_classifier.prompts.table.weight', *(
            f'{head}temporal.{n}'
            for n, _ in model.cls_head.temporal.named_parameters())}
    assert len(trained) == 1 + 1 + 2 * 12
    assert sum(trained.values()) == (
        77 * W + T * D + 2 * (12 * D * D + 13 * D))
    scale = model.cls_head.logit_scale
    assert not scale.requires_grad
    assert abs(scale - math.log(1 / 0.07)) < 1e-6
    with pytest.raises(ValueError, match='temperature'):
        build_model(head=dict(temperature=0))


def test_a_small_checkpoint_serves_other_classes():
    few, more = (build(), build())
    more.cls_head.text_classifier.set_classes([*NAMES, 'a long new name'])
    few.cls_head.text_classifier.prompts.table.weight.data.normal_()
    more.load_state_dict(few.state_dict())
    x = torch.randn(2 * T, D)
    with torch.no_grad():
        torch.testing.assert_close(
            more.cls_head(x)[:, :len(NAMES)], few.cls_head(x))
