"""Classes encoded once a step: the gradients are the plain way's."""
from types import SimpleNamespace

import pytest
import torch
from accumulation_world import (VARIANTS, assert_same, batches_of,
                                count_text_runs, train_steps, trained_model,
                                wrapper_of)
from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper, OptimWrapperDict
from tiny import Clips
from torch import nn
from toy_runner import RUNTIME, toy_runner


@pytest.mark.parametrize('variant, num, counts', [
    *[(variant, 6, 4) for variant in VARIANTS], ('both', 5, 4)])
def test_gradients_equal_the_plain_ones(variant, num, counts):
    """Also where an epoch ends before a step is full."""
    plain, model = (trained_model(**VARIANTS[variant]) for _ in range(2))
    batches = batches_of(num)
    expected = train_steps(plain, wrapper_of(plain, counts, num), batches,
                           False)
    found = train_steps(model, wrapper_of(model, counts, num), batches)
    assert len(expected) == -(-num // counts)
    assert_same(found, expected)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value,
                                   rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('variant', ['both', 'prompts'])
def test_text_runs_once_a_step(variant):
    model = trained_model(**VARIANTS[variant])
    runs = count_text_runs(model)
    steps = train_steps(model, wrapper_of(model, 4, 10), batches_of(10))
    assert (runs.forward, runs.backward) == (3, 3) and len(steps) == 3
    train_steps(model, wrapper_of(model, 4, 10), batches_of(10), hook=False)
    assert (runs.forward, runs.backward) == (13, 13)
    train_steps(model, wrapper_of(model, 1), batches_of(3))
    assert (runs.forward, runs.backward) == (16, 16)


def test_autocast():
    exact, plain, model = (trained_model() for _ in range(3))
    batches, kind = batches_of(4), dict(type='AutocastOptimWrapper')
    full, = train_steps(exact, wrapper_of(exact, 4), batches, False)
    expected, = train_steps(plain, wrapper_of(plain, 4, **kind), batches,
                            False)
    found, = train_steps(model, wrapper_of(model, 4, **kind), batches)

    def error(gradients):
        """Of all gradients together: each one alone is a matter of chance."""
        return sum(float((gradients[name] - grad).norm()**2)
                   for name, grad in full.items())**.5

    # bfloat16 rounds; it does so no worse than the plain way
    assert error(found) < 1.5 * error(expected)
    assert error(expected) < .1 * sum(
        float(grad.norm()**2) for grad in full.values())**.5
    # the text side did run in bfloat16
    name = 'cls_head.text_classifier.text.text_projection'
    assert (found[name] - full[name]).norm() > 1e-3 * full[name].norm()


def _run(work_dir, hooks):
    """MMEngine's runner: two epochs of four micro-batches of one video,
    three in a step; the fourth, whose gradients wait in vain, is left out.
    """
    model = trained_model()
    counts = count_text_runs(model)
    toy_runner(
        work_dir, Clips(), model=model, batch_size=1,
        loader=dict(collate_fn=pseudo_collate), custom_hooks=hooks,
        param_scheduler=[],
        optim_wrapper=dict(type='AutocastOptimWrapper', dtype='float32',
                           optimizer=dict(type='SGD', lr=0.1),
                           clip_grad=dict(max_norm=1.0),
                           accumulative_counts=3)).train()
    return model.state_dict(), counts


def test_with_a_runner(tmp_path):
    runtime = Config.fromfile(RUNTIME).custom_hooks
    hooks = [h for h in runtime if 'Accumulation' in h['type']]
    assert [h['type'] for h in hooks] == ['EpochAccumulationHook',
                                          'TextAccumulationHook']
    found, counts = _run(tmp_path / 'a', hooks)
    expected, plain = _run(tmp_path / 'b', hooks[:1])
    assert (counts.forward, counts.backward) == (4, 2)
    assert (plain.forward, plain.backward) == (8, 8)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


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
