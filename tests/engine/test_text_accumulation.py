"""Classes encoded once a step: the gradients are the plain way's."""
from types import SimpleNamespace

import pytest
import torch
from accumulation_world import (VARIANTS, assert_same, batches_of,
                                count_text_runs, train_steps, trained_model,
                                wrapper_of)
from mmaction.registry import HOOKS
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn


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


class _OwnRules(OptimWrapper):

    def should_sync(self):
        return True


@pytest.mark.parametrize('kind, kept', [
    (OptimWrapper, True), (_OwnRules, False),
    (lambda *args, **kwargs: OptimWrapperDict(
        a=OptimWrapper(*args, **kwargs)), False)])
def test_wrappers_with_rules_of_their_own_are_left_alone(kind, kept):
    model = trained_model()
    classifier = model.cls_head.text_classifier
    hook = HOOKS.build(dict(type='TextAccumulationHook'))
    wrapper = kind(torch.optim.SGD(model.parameters(), lr=0.1),
                   accumulative_counts=4)
    hook.before_train_iter(
        SimpleNamespace(model=model, optim_wrapper=wrapper), 0)
    assert (classifier() is classifier()) == kept  # a leaf
    hook.before_train_iter(SimpleNamespace(
        model=nn.Linear(2, 2), optim_wrapper=wrapper), 0)  # nothing to tell
