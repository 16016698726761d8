"""Micro-batches that are dropped, doubled or broken off: still right."""
import copy

import pytest
import torch
from accumulation_world import (assert_same, batches_of, gradients, loss_of,
                                trained_model)


def _both(run):
    """Gradients of a run with accumulation and without."""
    results = []
    for on in (True, False):
        model = trained_model()
        store = model.cls_head.text_classifier.class_accumulation

        def begin(first, last):
            if on:
                store.begin(first, last)

        run(model, begin)
        if on:
            assert store._leaf is None
        results.append(gradients(model))
    assert_same(*results)


def test_a_micro_batch_may_call_twice_or_be_dropped():
    a, b, c, d = batches_of(4)

    def run(model, begin):
        begin(True, False)
        loss_of(model, a)  # its loss was not wanted
        begin(False, False)
        (loss_of(model, b) + loss_of(model, c)).backward()
        loss_of(model, d).backward()
        begin(False, True)
        loss_of(model, a).backward()

    _both(run)


@pytest.mark.parametrize('joint', [True, False])
@pytest.mark.parametrize('forgotten', [True, False])
def test_the_last_micro_batch_may_call_twice_too(joint, forgotten):
    a, b, c, d = batches_of(4)

    def run(model, begin):
        begin(True, False)
        loss_of(model, a).backward()
        begin(False, True)
        if forgotten:
            loss_of(model, b)
            begin(False, True)  # announced again: it was not counted
        losses = [loss_of(model, c), loss_of(model, d)]
        if joint:
            sum(losses).backward()
        else:
            for loss in reversed(losses):
                loss.backward()

    _both(run)


def test_a_step_that_came_to_no_end_is_taken_over():
    a, b, c, d = batches_of(4)

    def run(model, begin):
        begin(True, False)
        loss_of(model, a).backward()
        begin(False, False)
        loss_of(model, b).backward()
        begin(True, False)  # an epoch was broken off
        loss_of(model, c).backward()
        begin(False, True)
        loss_of(model, d).backward()

    _both(run)


def test_validation_and_saving_in_the_middle_of_a_step():
    a, b = batches_of(2)

    def run(model, begin):
        begin(True, False)
        loss_of(model, a).backward()
        twin = copy.deepcopy(model)
        twin.eval(), model.eval()
        with torch.no_grad():
            torch.testing.assert_close(model.cls_head.text_classifier(),
                                       twin.cls_head.text_classifier())
            for p in model.parameters():  # as EMA swaps, and back
                p.data.mul_(2.0)
            assert not torch.allclose(model.cls_head.text_classifier(),
                                      twin.cls_head.text_classifier())
            for p in model.parameters():
                p.data.mul_(0.5)
        model.train()
        begin(False, True)
        loss_of(model, b).backward()

    _both(run)


@pytest.mark.parametrize('after', [1, 2, 3])
def test_other_classes_in_the_middle_of_a_step(after):
    """As a validation of several sets has: gradients were lost."""
    batches = batches_of(4)

    def run(model, begin):
        classifier = model.cls_head.text_classifier
        names = classifier.class_names
        for i, batch in enumerate(batches):
            begin(i == 0, i == 3)
            loss_of(model, batch).backward()
            if i + 1 == after:
                classifier.class_accumulation.end()
                model.eval()
                for others in (['x'], ['y', 'a z']):
                    classifier.set_classes(others)
                    with torch.no_grad():
                        assert len(classifier()) == len(others)
                classifier.set_classes(names)
                model.train()

    _both(run)


def test_weights_that_change_in_the_middle_of_a_step():
    a, b = batches_of(2)
    model = trained_model()
    classifier = model.cls_head.text_classifier
    store = classifier.class_accumulation

    def change():
        with torch.no_grad():
            classifier.text.text_projection.mul_(1.1)

    store.begin(True, False)
    loss_of(model, a)  # nothing waits: encoded anew
    change()
    plain = copy.deepcopy(model)
    loss_of(model, b).backward()
    store.begin(False, True)
    loss_of(model, a).backward()
    (loss_of(plain, b) + loss_of(plain, a)).backward()
    assert_same(gradients(model), gradients(plain))

    store.begin(True, False)
    loss_of(model, a).backward()
    change()
    for last in (False, True):
        store.begin(False, last)
        with pytest.raises(RuntimeError, match='TextAccumulationHook'):
            loss_of(model, b)
    store.begin(True, False)  # a fresh step goes on
    loss_of(model, b).backward()
    store.end()
    loss_of(model, b).backward()  # in the plain way


def test_other_calls_are_plain():
    model = trained_model(head=dict(loss_cls=dict(type='CLIPContrastiveLoss')))
    classifier = model.cls_head.text_classifier
    store = classifier.class_accumulation
    store.begin(True, False)
    loss_of(model, batches_of(1)[0]).backward()  # texts of the batch
    assert classifier.text.text_projection.grad is not None
    assert classifier().grad_fn is None  # a leaf
    classifier.set_classes(['one', 'two'])
    assert classifier().shape[0] == 2
    store.end()
    assert classifier().grad_fn is not None
