"""Sentences encoded in chunks equal those padded together, and cost less."""
import itertools

import pytest
import torch
import torch.nn.functional as F
from tiny import build_classifier, tiny_arch

from projects.vifi_clip.models.text_tower import padded_tokens, plan_buckets

WORDS = ('a bow', 'arm', 'playing cards with a friend', 'zumba', 'two red '
         'boats on a lake', 'ski', 'washing the dishes by hand')
MIXED = [f'{a} {b}' for a, b in itertools.product(WORDS, WORDS)]
PROMPTS = dict(length=3, depth=2)


def _plain(classifier):
    """Every sentence on its own, up to its end token, with nobody else."""
    text, rows = classifier.text, []
    for tokens, end in zip(classifier.tokens, classifier.ends):
        length = int(end) + 1
        x = text.token_embedding(tokens[None, :length])
        prompts = classifier.prompts
        if prompts is not None:
            n = prompts.length
            x = torch.cat([x[:, :1], prompts.tokens[:1], x[:, 1 + n:]], 1)
        x = x + text.positional_embedding[:length]
        for i, block in enumerate(text.transformer.resblocks):
            if prompts is not None and 0 < i < prompts.depth:
                x = torch.cat(
                    [x[:, :1], prompts.tokens[i:i + 1], x[:, 1 + n:]], 1)
            x = block(x, attn_mask=text.attn_mask[:length, :length])
        x = text.ln_final(x[:, -1]) @ text.text_projection
        rows.append(F.normalize(x, dim=-1))
    return torch.cat(rows)


def _gradients(classifier, embeddings):
    weight = torch.randn(embeddings.shape,
                         generator=torch.Generator().manual_seed(1))
    classifier.zero_grad()
    (embeddings * weight).sum().backward()
    return {n: p.grad for n, p in classifier.named_parameters()
            if p.grad is not None}


@pytest.mark.parametrize('prompts', [None, PROMPTS], ids=['plain', 'prompts'])
@pytest.mark.parametrize('most', [None, 16384, 300, 1])
@pytest.mark.parametrize('layers', [False, True])
def test_chunks_equal_sentences_on_their_own(prompts, most, layers):
    classifier = build_classifier(
        class_names=MIXED, templates='{}', prompts=prompts,
        max_graph_tokens=most, grad_checkpointing=layers)
    expected = _plain(classifier)
    wanted = _gradients(classifier, expected)
    found = classifier()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    grads = _gradients(classifier, found)
    assert grads.keys() == wanted.keys() and len(grads) > 20
    for name, grad in grads.items():
        torch.testing.assert_close(
            grad, wanted[name], atol=1e-5 * float(wanted[name].abs().max()),
            rtol=1e-5, msg=name)
    with torch.no_grad():
        torch.testing.assert_close(classifier(), expected, atol=1e-5, rtol=0)


def test_a_tower_that_is_not_causal_runs_in_chunks():
    arch = tiny_arch(text_cfg=dict(no_causal_mask=True, pool_type='last',
                                   pad_id=0))
    classifier = build_classifier(arch=arch, class_names=MIXED,
                                  max_graph_tokens=300)
    calls = _chunk_lengths(classifier)
    found = classifier()
    assert len(calls) == -(-len(MIXED) // (75 // 24))
    assert {shape[1] for shape in calls} == {24}
    torch.testing.assert_close(
        found, F.normalize(classifier.text(classifier.tokens), dim=-1),
        atol=1e-5, rtol=0)


def _chunk_lengths(classifier):
    """Shapes [S, L] of what the tower reads."""
    shapes = []
    classifier.text.token_embedding.register_forward_hook(
        lambda module, args, output: shapes.append(tuple(args[0].shape)))
    return shapes


def test_few_sentences_run_in_few_chunks_and_once():
    classifier = build_classifier(class_names=MIXED, templates='{}')
    shapes = _chunk_lengths(classifier)
    classifier().sum().backward()
    lengths = classifier.ends + 1
    assert 2 <= len(shapes) <= 4  # and none of them recomputed
    assert sum(rows for rows, _ in shapes) == len(MIXED)
    tokens = sum(rows * length for rows, length in shapes)
    assert tokens < 0.9 * len(MIXED) * int(lengths.max())


def test_many_sentences_are_recomputed_in_bounded_pieces():
    classifier = build_classifier(class_names=MIXED, templates='{}',
                                  max_graph_tokens=200)
    shapes = _chunk_lengths(classifier)
    loss = classifier().sum()
    forward = len(shapes)
    assert forward > 4
    assert max(rows * length for rows, length in shapes) <= 50
    loss.backward()
    assert len(shapes) == 2 * forward


@pytest.mark.parametrize('seed', range(5))
def test_buckets_are_the_cheapest(seed):
    """By trying every way to cut the sorted lengths."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(5, 40, (14, ), generator=draw)
    buckets = plan_buckets(lengths * 64)  # so that a bucket's price is 1
    assert torch.cat(buckets).sort().values.tolist() == list(range(14))
    ordered, prices = sorted(lengths.tolist()), []
    for parts in range(4):
        for cuts in itertools.combinations(range(1, 14), parts):
            ends = [0, *cuts, 14]
            prices.append(sum((b - a) * ordered[b - 1] + 1
                              for a, b in zip(ends, ends[1:])))
    assert padded_tokens(buckets, lengths) + len(buckets) == min(prices)


def test_buckets_that_save_little_are_not_made():
    lengths = torch.tensor([19] * 500 + [20] * 500)
    assert len(plan_buckets(lengths)) == 1
    lengths = torch.tensor([10] * 500 + [20] * 500)
    assert len(plan_buckets(lengths)) == 2
    assert len(plan_buckets(lengths, 'cuda')) == 2
    assert len(plan_buckets(lengths[400:600], 'cuda')) == 1  # launches cost


@pytest.mark.parametrize('setting', [
    dict(max_graph_tokens=0), dict(max_graph_tokens=2.5),
    dict(max_graph_tokens=True), dict(shard_classes='yes')])
def test_bad_settings(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        build_classifier(**setting)
