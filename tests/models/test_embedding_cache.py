"""The cache notices changes, and looks without touching all weights."""
import copy

import pytest
import torch
from tiny import build_classifier
from torch import nn

from projects.vifi_clip.models import class_embeddings as embedding_cache
from projects.vifi_clip.models.class_embeddings import (SAMPLED,
                                                        EmbeddingCache,
                                                        Snapshot)


def _params(*shapes):
    return [nn.Parameter(torch.randn(shape)) for shape in shapes]


class _Counted:
    """A cache over some parameters, and how often it computed."""

    def __init__(self, *shapes):
        self.params, self.cache = _params(*shapes), EmbeddingCache()
        self.runs = 0

    def __call__(self):
        value = self.cache.get(self.params)
        if value is None:
            self.runs += 1
            value = sum(p.sum() for p in self.params)
            self.cache.put(self.params, value)
        return value


def test_a_write_behind_autograds_back_is_seen():
    counted = _Counted((512, 768), (300, ), ())
    counted()
    for i, param in enumerate(counted.params, 2):
        param.data.mul_(1.01)
        assert counted() == sum(p.sum() for p in counted.params)
        assert counted.runs == i
    # all of a small parameter is looked at
    counted.params[1].data[137] += 1e-3
    counted()
    assert counted.runs == 5


@pytest.mark.parametrize('change', [
    lambda p: p.data.__setitem__(slice(7, 9), 0.),  # two rows
    lambda p: p.data.__setitem__((slice(None), slice(3, 4)), 0.),  # a column
], ids=['rows', 'column'])
def test_a_part_of_a_large_parameter(change):
    params = _params((512, 768))
    before = Snapshot(params)
    assert before.matches(params)
    change(params[0])
    assert not before.matches(params)


def test_one_value_is_seen_after_the_mode_changes():
    """The trade-off: one value of many, written through ``.data``."""
    counted = _Counted((512, 768))
    counted()
    counted.params[0].data[0, 1] += 10.
    counted()
    assert counted.runs == 1  # not among those compared
    counted.cache.suspect()
    counted()
    assert counted.runs == 2
    with torch.no_grad():  # autograd sees any write
        counted.params[0][0, 1] -= 10.
    counted()
    assert counted.runs == 3


def test_all_weights_are_read_only_after_the_mode_changes(monkeypatch):
    passes = []
    norms = embedding_cache._norms
    monkeypatch.setattr(
        embedding_cache, '_norms',
        lambda params: passes.append(len(params)) or norms(params))
    classifier = build_classifier(frozen=True)
    first = classifier()
    for _ in range(3):
        assert classifier() is first
    assert len(passes) == 1
    classifier.train()
    for _ in range(3):  # a mode that changes nothing costs no encoding
        assert classifier() is first
    assert len(passes) == 2


def test_a_snapshot_is_small():
    params = _params((1000, 1000), (100, ))
    assert len(Snapshot(params)._values) <= 4 * (2 * SAMPLED + 100)


def test_nan_is_a_value_like_others():
    counted = _Counted((64, 64))
    counted.params[0].data[0, 0] = float('nan')
    counted(), counted()
    assert counted.runs == 1


def test_a_copy_keeps_and_checks_its_own():
    classifier = build_classifier(frozen=True)
    first = classifier()
    twin = copy.deepcopy(classifier)
    twin.text.text_projection.data.mul_(-1)
    torch.testing.assert_close(twin(), -first)
    assert classifier() is first
