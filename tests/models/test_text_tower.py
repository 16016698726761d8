"""Sentences encoded in chunks equal those padded together, and cost less."""
import itertools

import pytest
import torch
import torch.nn.functional as F
from accumulation_world import assert_same
from open_clip.tokenizer import SimpleTokenizer
from tiny import build_classifier, tiny_arch

from projects.vifi_clip.models.text_tower import padded_tokens, plan_buckets

WORDS = ('a bow', 'arm', 'playing cards with a friend', 'zumba', 'two red '
         'boats on a lake', 'ski', 'washing the dishes by hand')
MIXED = [f'{a} {b}' for a, b in itertools.product(WORDS, WORDS)]


def _gradients(classifier, embeddings):
    weight = torch.randn(embeddings.shape,
                         generator=torch.Generator().manual_seed(1))
    classifier.zero_grad()
    (embeddings * weight).sum().backward()
    return [{n: p.grad for n, p in classifier.named_parameters()
             if p.grad is not None}]


@pytest.mark.parametrize('most', [None, 16384, 300, 1])
@pytest.mark.parametrize('layers', [False, True])
@pytest.mark.parametrize('text_cfg', [{}, dict(
    no_causal_mask=True, pool_type='last', pad_id=0)], ids=['causal', 'not'])
def test_chunks_equal_openclips_tower(most, layers, text_cfg):
    """Which runs all sentences together, up to the whole context."""
    classifier = build_classifier(
        arch=tiny_arch(text_cfg=text_cfg), class_names=MIXED, templates='{}',
        max_graph_tokens=most, grad_checkpointing=layers)
    tokens = SimpleTokenizer(context_length=24)(MIXED)
    expected = F.normalize(classifier.text(tokens), dim=-1)
    gradients = _gradients(classifier, expected)
    embeddings = classifier()
    torch.testing.assert_close(embeddings, expected, atol=1e-5, rtol=0)
    assert_same(_gradients(classifier, embeddings), gradients)
    with torch.no_grad():
        torch.testing.assert_close(classifier(), expected, atol=1e-5, rtol=0)


def _chunks(**kwargs):
    """A classifier, and the shapes [S, L] of what its tower reads."""
    classifier, shapes = build_classifier(class_names=MIXED, **kwargs), []
    classifier.text.token_embedding.register_forward_hook(
        lambda module, args, output: shapes.append(tuple(args[0].shape)))
    return classifier, shapes


def test_few_sentences_run_in_few_chunks_and_once():
    classifier, shapes = _chunks(templates='{}')
    classifier().sum().backward()
    assert 2 <= len(shapes) <= 4  # and none of them recomputed
    assert sum(rows for rows, _ in shapes) == len(MIXED)
    tokens = sum(rows * length for rows, length in shapes)
    assert tokens < 0.9 * classifier.tokens.numel()


def test_many_sentences_are_recomputed_in_bounded_pieces():
    classifier, shapes = _chunks(templates='{}', max_graph_tokens=200)
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


