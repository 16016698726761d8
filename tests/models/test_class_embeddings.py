"""Class embeddings: never stale, once per step, each by one process."""
import copy
from types import SimpleNamespace

import pytest
import torch
from accumulation_world import (VARIANTS, assert_same, batches_of,
                                count_text_runs, gradients, loss_of,
                                train_steps, trained_model, wrapper_of)
from mmaction.registry import HOOKS
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from projects.vifi_clip.models.class_embeddings import (EmbeddingCache,
                                                        share_classes)


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
    cache.put(params, torch.ones(1))
    with torch.no_grad():  # autograd sees any write
        params[0][0, 1] -= 10.
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


@pytest.mark.parametrize('variant, num, counts', [
    *[(variant, 6, 4) for variant in VARIANTS], ('both', 5, 4),
    ('both', 3, 1)])
def test_gradients_equal_the_plain_ones(variant, num, counts):
    """Also where an epoch ends before a step is full. The text side runs once
    a step, and in the plain way once a micro-batch."""
    plain, model = (trained_model(**VARIANTS[variant]) for _ in range(2))
    runs = [count_text_runs(m) for m in (plain, model)]
    batches, steps = batches_of(num), -(-num // counts)
    expected = train_steps(plain, wrapper_of(plain, counts, num), batches,
                           False)
    gradients = train_steps(model, wrapper_of(model, counts, num), batches)
    assert len(expected) == steps
    assert_same(gradients, expected)
    torch.testing.assert_close(model.state_dict(), plain.state_dict(),
                               rtol=1e-4, atol=1e-6)
    if variant != 'chunks':
        assert [(r.forward, r.backward) for r in runs] == [
            (num, num), (steps, steps)]


def test_autocast():
    """bfloat16 rounds; it does so no worse than the plain way. All gradients
    together: each one alone is a matter of chance."""

    def gradients(kind, hook):
        model = trained_model()
        grads, = train_steps(model, wrapper_of(model, 4, type=kind),
                             batches_of(4), hook)
        return torch.cat([grad.flatten() for grad in grads.values()])

    exact = gradients('OptimWrapper', False)
    plain, accumulated = (gradients('AutocastOptimWrapper', hook)
                          for hook in (False, True))
    error = (plain - exact).norm()
    assert 1e-3 * exact.norm() < error < .1 * exact.norm()
    assert (accumulated - exact).norm() < 1.5 * error


@pytest.mark.parametrize('kind, kept', [
    (OptimWrapper, True),
    (type('OwnRules', (OptimWrapper, ), dict(
        should_sync=lambda self: True)), False),
    (lambda *args, **kwargs: OptimWrapperDict(
        a=OptimWrapper(*args, **kwargs)), False)])
def test_wrappers_with_rules_of_their_own_are_left_alone(kind, kept):
    model = trained_model()
    classifier = model.cls_head.text_classifier
    wrapper = kind(torch.optim.SGD(model.parameters(), lr=0.1),
                   accumulative_counts=4)
    for trained in nn.Linear(2, 2), model:  # nothing to tell of the first
        HOOKS.build(dict(type='TextAccumulationHook')).before_train_iter(
            SimpleNamespace(model=trained, optim_wrapper=wrapper), 0)
    assert (classifier() is classifier()) == kept  # a leaf
