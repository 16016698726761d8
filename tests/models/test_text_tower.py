"""Sentences encoded in chunks equal those padded together, and cost less."""
import itertools

import open_clip
import pytest
import torch
import torch.nn.functional as F
from accumulation_world import assert_same, gradients
from tiny import build_classifier, class_tokens, tiny_arch

from projects.vifi_clip.models.text_tower import plan_buckets

WORDS = ('a bow', 'arm', 'playing cards with a friend', 'zumba', 'two red '
         'boats on a lake', 'ski', 'washing the dishes by hand')
MIXED = [f'{a} {b}' for a, b in itertools.product(WORDS, WORDS)]


def _gradients(text, embeddings):
    weight = torch.randn(embeddings.shape,
                         generator=torch.Generator().manual_seed(1))
    (embeddings * weight).sum().backward()
    return gradients(text)


@pytest.mark.parametrize('text_cfg, most, layers', [
    ({}, None, False), ({}, 16384, True), ({}, 300, False), ({}, 1, True),
    (dict(pool_type='eos', eos_id=49407), 16384, False),
    (dict(no_causal_mask=True, pool_type='last', pad_id=0), 300, True),
    # one place for the token
    (dict(embed_cls=True, context_length=23), 16384, False),
    (dict(proj_bias=True), 300, False), (dict(proj_type='none'), None, True)])
def test_chunks_equal_openclips_tower(text_cfg, most, layers):
    """Which runs all sentences together, up to the whole context."""
    classifier = build_classifier(
        arch=tiny_arch(text_cfg=text_cfg), class_names=MIXED, templates='{}',
        max_graph_tokens=most, grad_checkpointing=layers)
    tokens = class_tokens(MIXED, text_cfg.get('context_length', 24), '{}')
    exact = not {'no_causal_mask', 'embed_cls'} & text_cfg.keys()
    assert (classifier.tokens.shape[1] < tokens.shape[1]) == exact
    plain = open_clip.CustomTextCLIP(**tiny_arch(text_cfg=text_cfg)).text
    plain.load_state_dict(classifier.text.state_dict())
    expected = F.normalize(plain(tokens), dim=-1)
    embeddings = classifier()
    torch.testing.assert_close(embeddings, expected, atol=1e-5, rtol=0)
    assert_same(_gradients(classifier.text, embeddings),
                _gradients(plain, expected))
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
    assert sum(len(rows) * int(lengths[rows].max()) + 1
               for rows in buckets) == min(prices)


def test_buckets_that_save_little_are_not_made():
    lengths = torch.tensor([19] * 500 + [20] * 500)
    assert len(plan_buckets(lengths)) == 1
    lengths = torch.tensor([10] * 500 + [20] * 500)
    assert len(plan_buckets(lengths)) == 2
    assert len(plan_buckets(lengths, 'cuda')) == 2
    assert len(plan_buckets(lengths[400:600], 'cuda')) == 1  # launches cost


