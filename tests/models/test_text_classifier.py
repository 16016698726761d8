"""Templates, descriptions, label sets; a tower that encodes sentences in
chunks, which equal those padded together; embeddings that are never stale,
once per step, each by one process."""
import copy
import itertools
import json

import open_clip
import pytest
import torch
import torch.nn.functional as F
from tiny import (NAMES, assert_same, batches_of, build_classifier,
                  class_tokens, gradients, loss_of, tiny_arch, trained_model)
from torch import nn

from projects.vifi_clip.models.class_embeddings import (EmbeddingCache,
                                                        share_classes)
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


@pytest.mark.parametrize('number, part', [
    (0, slice(None)), (0, slice(7, 9)), (0, (slice(None), slice(3, 4))),
    (1, 137), (2, ())], ids=['whole', 'rows', 'column', 'small', 'scalar'])
def test_a_write_behind_autograds_back_is_seen(number, part):
    params = [nn.Parameter(torch.randn(shape))
              for shape in ((512, 768), (300, ), ())]
    params[0].data[0, 0] = float('nan')  # a value like others
    cache = EmbeddingCache()
    cache.put(params, torch.ones(1))
    assert cache.get(params) is not None
    params[number].data[part] += 1e-3
    assert cache.get(params) is None


def test_one_value_is_seen_after_the_mode_changes():
    """The trade-off: one value of many, written through ``.data``."""
    params, cache = [nn.Parameter(torch.randn(512, 768))], EmbeddingCache()
    cache.put(params, torch.ones(1))
    params[0].data[0, 1] += 10.
    assert cache.get(params) is not None  # not among those compared
    cache.suspect()
    assert cache.get(params) is None


def _both(run):
    """Gradients of a run with accumulation and without are the same."""
    results = []
    for on in (True, False):
        model = trained_model()
        store = model.cls_head.text_classifier.class_accumulation
        run(model, store.begin if on else lambda first, last: None)
        results.append(gradients(model))
    assert_same(*results)


# Micro-batches: whether it is the first and the last of a step, batches whose
# loss is dropped, and batches whose losses are summed and run backward.
STEPS = dict(
    twice_or_dropped=[(True, False, 'a', []), (False, False, '', ['bc', 'd']),
                      (False, True, '', ['a'])],
    # the last twice, and announced again, since it was not counted
    last_apart=[(True, False, '', ['a']), (False, True, 'b', []),
                (False, True, '', ['cd', 'a'])],
    broken_off=[(True, False, '', ['a']), (False, False, '', ['b']),
                (True, False, '', ['c']), (False, True, '', ['d'])])


@pytest.mark.parametrize('steps', STEPS.values(), ids=STEPS)
def test_micro_batches_of_all_kinds(steps):
    batches = dict(zip('abcd', batches_of(4)))

    def run(model, begin):
        for first, last, dropped, sums in steps:
            begin(first, last)
            for name in dropped:
                loss_of(model, batches[name])
            losses = [sum(loss_of(model, batches[name]) for name in names)
                      for names in sums]
            for loss in reversed(losses):
                loss.backward()

    _both(run)


@torch.no_grad()
def _swapped_weights(model):
    """As EMA swaps them, and back."""
    before = model.cls_head.text_classifier().clone()
    for factor in 2., .5:
        for p in model.parameters():
            p.data.mul_(factor)
        same = torch.allclose(model.cls_head.text_classifier(), before)
        assert same == (factor == .5)


@torch.no_grad()
def _other_classes(model):
    """As a validation of several sets has: gradients were lost."""
    classifier = model.cls_head.text_classifier
    names = classifier.class_names
    classifier.class_accumulation.end()
    classifier.set_classes(['x', 'y'])
    assert len(classifier()) == 2
    classifier.set_classes(names)


@pytest.mark.parametrize('validate', [
    copy.deepcopy, _swapped_weights, _other_classes])
@pytest.mark.parametrize('after', [1, 3])
def test_validation_in_the_middle_of_a_step(validate, after):
    batches = batches_of(4)

    def run(model, begin):
        for i, batch in enumerate(batches):
            begin(i == 0, i == 3)
            loss_of(model, batch).backward()
            if i + 1 == after:
                validate(model.eval())
                model.train()

    _both(run)


def test_weights_that_change_in_the_middle_of_a_step():
    a, b = batches_of(2)
    model = trained_model()
    classifier = model.cls_head.text_classifier
    store = classifier.class_accumulation
    weight = classifier.text.text_projection
    store.begin(True, False)
    loss_of(model, a)  # nothing waits: encoded anew
    weight.data.mul_(1.1)
    plain = copy.deepcopy(model)
    loss_of(model, b).backward()
    store.begin(False, True)
    loss_of(model, a).backward()
    (loss_of(plain, b) + loss_of(plain, a)).backward()
    assert_same(gradients(model), gradients(plain))

    store.begin(True, False)
    loss_of(model, a).backward()
    weight.data.mul_(1.1)
    for last in (False, True):
        store.begin(False, last)
        with pytest.raises(RuntimeError, match='TextAccumulationHook'):
            loss_of(model, b)
    store.begin(True, False)  # a fresh step goes on
    loss_of(model, b).backward()
    store.end()
    loss_of(model, b).backward()  # in the plain way


@pytest.mark.parametrize('num', [1, 3, 8, 100])
@pytest.mark.parametrize('world_size', [1, 2, 3, 8])
def test_every_class_has_one_owner_and_like_work(num, world_size):
    costs = torch.randint(5, 30, (num, ))
    slots, gathered, work = -(-num // world_size), [], []
    for rank in range(world_size):
        share, rows = share_classes(costs, rank, world_size)
        assert torch.equal(share, share.sort().values)
        gathered += share.tolist() + [-1] * (slots - len(share))
        work.append(int(costs[share].sum()))
    assert torch.tensor(gathered)[rows].tolist() == list(range(num))
    # once; a process without a class encodes one in vain
    assert len(gathered) - gathered.count(-1) == max(num, world_size)
    # no two processes differ by more than one class
    assert num < world_size or max(work) - min(work) <= int(costs.max())
