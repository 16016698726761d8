"""Templates, descriptions, label sets, and a cache that is never stale; a
tower that encodes sentences in chunks, which equal those padded together."""
import copy
import itertools
import json

import open_clip
import pytest
import torch
import torch.nn.functional as F
from accumulation_world import assert_same, gradients
from tiny import NAMES, build_classifier, class_tokens, tiny_arch

from projects.vifi_clip.models.text_tower import plan_buckets


def test_templates_are_averaged_after_normalisation():
    templates = ['a photo of a {}.', 'a video of {class}', 'the {} action']
    classifier = build_classifier(templates=templates, frozen=True)
    together, single = classifier(), []
    for template in templates:
        classifier.set_classes(NAMES, templates=template)
        single.append(classifier())
    expected = F.normalize(torch.stack(single).mean(0), dim=-1)
    torch.testing.assert_close(together, expected, atol=1e-6, rtol=0)


def test_descriptions(tmp_path):
    sentences = {'archery': ['a bow', 'an arrow flies'],
                 'arm wrestling': ['two hands']}
    path = tmp_path / 'descriptions.json'
    path.write_text(json.dumps(sentences))
    classifier = build_classifier(
        class_names=list(sentences), description_file=str(path),
        frozen=True)
    rows = classifier.embed_texts(['a bow', 'an arrow flies', 'two hands'],
                                  '{}')
    torch.testing.assert_close(classifier()[1], rows[2])
    torch.testing.assert_close(
        classifier()[0], F.normalize(rows[:2].mean(0), dim=0))
    with pytest.raises(ValueError, match='zumba'):
        classifier.set_classes(['archery', 'zumba'])
    assert classifier.class_names == ['archery', 'arm wrestling']


def test_rows_of_some_labels():
    classifier = build_classifier(
        templates=['a photo of a {}.', 'a {} long video with more words'])
    labels = torch.tensor([3, 0, 3])
    for trains in True, False:
        classifier.requires_grad_(trains)
        torch.testing.assert_close(classifier(labels), classifier()[labels])


def test_the_mode_that_filled_the_cache_does_not_matter():
    classifier = build_classifier(frozen=True)
    with torch.inference_mode():
        full = classifier().clone()
    x = torch.randn(2, 32, requires_grad=True)
    (x @ classifier().T).sum().backward()  # fails on an inference tensor
    assert x.grad is not None
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert not torch.equal(classifier(), full)
    assert torch.equal(classifier(), full)


def _optimizer_step(c):
    for p in c.text.parameters():
        p.grad = torch.ones_like(p)
    torch.optim.SGD(c.text.parameters(), lr=0.1).step()


CHANGES = dict(
    optimizer_step=_optimizer_step,
    load_state_dict=lambda c: c.load_state_dict(
        {k: v + 0.1 for k, v in c.state_dict().items()}),
    set_classes=lambda c: c.set_classes(NAMES[::-1]),
    to_dtype=lambda c: c.double(),
    # as MMEngine's EMAHook exchanges weights
    in_place=lambda c: c.text.text_projection.data.add_(0.1),
    data_swap=lambda c: setattr(c.text.text_projection, 'data',
                                c.text.text_projection.data + 0.1),
    token_embedding=lambda c: c.text.token_embedding.weight.data.add_(
        torch.randn(32)))


@pytest.mark.parametrize('change', CHANGES)
def test_never_stale(change):
    classifier = build_classifier()
    with torch.no_grad():
        old = classifier().clone()
        CHANGES[change](classifier)
        fresh = copy.deepcopy(classifier)
        fresh.embedding_cache.clear()
        assert not torch.equal(classifier().float(), old)
        torch.testing.assert_close(classifier(), fresh())


@pytest.mark.parametrize('kwargs, match', [
    (dict(class_names=['a', '']), 'class'),
    (dict(class_names=None), 'class_names'),
    (dict(templates='a photo'), '{}'), (dict(templates=[]), '{}'),
    (dict(templates='{} and {}'), '{}'),
    (dict(max_graph_tokens=0), 'max_graph_tokens'),
    (dict(max_graph_tokens=2.5), 'max_graph_tokens'),
    (dict(max_graph_tokens=True), 'max_graph_tokens'),
    (dict(shard_classes='yes'), 'shard_classes')])
def test_bad_input(kwargs, match):
    with pytest.raises(ValueError, match=match):
        build_classifier(**kwargs)


def test_longest_prompt_that_fits_is_not_cut():
    # 24 places: start, 22 words, end
    name = ' '.join(['x'] * 22)
    classifier = build_classifier(class_names=[name, 'a'], templates='{}')
    assert classifier.tokens.shape == (2, 24)
    assert int(classifier.tokens[0, -1]) == 49407
    with pytest.raises(ValueError, match='25'):
        classifier.set_classes([name + ' x'])


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
