"""Homogeneity, completeness and V-measure, against entropies by hand."""
import math
from collections import Counter

import numpy as np
import pytest

from projects.vifi_clip_tools.tsne.cluster_scores import (cluster_scores,
                                                          unit_length)

pytest.importorskip('sklearn')


def _entropy(counts) -> float:
    total = sum(counts)
    return -sum(n / total * math.log(n / total) for n in counts)


def _conditional(of, given) -> float:
    """H(of | given), from the definition."""
    total = 0.
    for value in set(given):
        part = [a for a, b in zip(of, given) if b == value]
        total += len(part) / len(of) * _entropy(Counter(part).values())
    return total


def _by_hand(labels, clusters):
    h = 1 - _conditional(labels, clusters) / _entropy(
        Counter(labels).values())
    c = 1 - _conditional(clusters, labels) / _entropy(
        Counter(clusters).values())
    return h, c, 2 * h * c / (h + c)


def test_against_entropies():
    """Blobs far apart, so that the clusters are known; labels that differ."""
    rng = np.random.default_rng(0)
    blobs = np.repeat([0, 1, 2], [10, 14, 6])
    vectors = np.eye(8)[blobs] + 0.01 * rng.normal(size=(30, 8))
    labels = blobs.copy()
    labels[[0, 1, 12, 27]] = [1, 2, 0, 1]
    found = cluster_scores(vectors, labels + 5)  # gaps in labels are fine
    expected = _by_hand(labels.tolist(), blobs.tolist())
    assert (found.homogeneity, found.completeness,
            found.v_measure) == pytest.approx(expected, abs=1e-9)
    assert expected[0] != pytest.approx(expected[1], abs=1e-3)
    assert (found.num_videos, found.num_classes) == (30, 3)


def test_perfect_clusters_by_direction_not_length():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 20)
    lengths = rng.uniform(0.01, 100, size=(40, 1))
    vectors = lengths * (np.eye(4)[labels] + 0.02 * rng.normal(size=(40, 4)))
    assert cluster_scores(vectors, labels).v_measure == pytest.approx(1)


def test_noise_scores_low_and_a_seed_repeats():
    rng = np.random.default_rng(2)
    vectors, labels = rng.normal(size=(300, 8)), np.arange(300) % 3
    found = cluster_scores(vectors, labels, seed=7)
    assert found.v_measure < 0.05
    assert found == cluster_scores(vectors, labels, seed=7)


def test_bad_labels():
    with pytest.raises(ValueError, match='all 4 videos are of one class'):
        cluster_scores(np.eye(4), np.zeros(4, int))
    with pytest.raises(ValueError, match='each of a class of its own'):
        cluster_scores(np.eye(4), np.arange(4))
    with pytest.raises(ValueError, match='embedding 1 is all zeros'):
        unit_length(np.array([[1., 0], [0, 0]]))
