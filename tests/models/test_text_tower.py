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
    embeddings, weight = classifier(), torch.randn_like(expected)
    torch.testing.assert_close(embeddings, expected, atol=1e-5, rtol=0)
    ((embeddings + expected) * weight).sum().backward()
    assert_same(gradients(classifier.text), gradients(plain))
    with torch.no_grad():
        torch.testing.assert_close(classifier(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('most, again', [(16384, 0), (200, 1)])
def test_many_sentences_are_recomputed_in_bounded_pieces(most, again):
    """And few run in few chunks, and once."""
    classifier, shapes = build_classifier(
        class_names=MIXED, templates='{}', max_graph_tokens=most), []
    classifier.text.token_embedding.register_forward_hook(
        lambda module, args, output: shapes.append(tuple(args[0].shape)))
    loss = classifier().sum()
    assert sum(rows for rows, _ in shapes) == len(MIXED)
    tokens, forward = [rows * length for rows, length in shapes], len(shapes)
    assert sum(tokens) < 0.9 * classifier.tokens.numel()
    assert forward > 4 and max(tokens) <= 50 if again else 2 <= forward <= 4
    loss.backward()
    assert len(shapes) == (1 + again) * forward


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


@pytest.mark.parametrize('short, times, device, num', [
    (19, 500, 'cpu', 1), (10, 500, 'cpu', 2), (10, 500, 'cuda', 2),
    (10, 100, 'cuda', 1)])  # launches cost
def test_buckets_that_save_little_are_not_made(short, times, device, num):
    lengths = torch.tensor([short] * times + [20] * times)
    assert len(plan_buckets(lengths, device)) == num
