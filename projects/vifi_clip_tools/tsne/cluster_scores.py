"""Agreement of clusters of embeddings with classes (Table 11)."""
from dataclasses import dataclass

import numpy as np

from projects.vifi_clip.errors import need

NUM_INITS = 10


@dataclass(frozen=True)
class ClusterScores:
    """Agreement of K clusters with K classes, each from 0 to 1."""
    homogeneity: float  # 1: each cluster holds one class only
    completeness: float  # 1: each class lies in one cluster only
    v_measure: float  # their harmonic mean
    num_videos: int
    num_classes: int  # K, of the classes that occur


def unit_length(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings [N, D] scaled to length 1, in float64; ValueError if
    one is all zeros."""
    vectors = np.asarray(embeddings, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(f'embedding {int(np.argmin(lengths))} is all zeros '
                         'and has no direction; embed the videos anew')
    return vectors / lengths


def cluster_scores(embeddings: np.ndarray, labels: np.ndarray,
                   seed: int = 0) -> ClusterScores:
    """Compare k-means clusters of embeddings [N, D] with labels [N].

    The paper gives homogeneity, completeness and V-measure and not the
    clustering behind them. Here it is k-means (k-means++, the best of
    ``NUM_INITS``) with as many clusters as classes, of embeddings of unit
    length, where squared distances are 2 - 2 cosine.
    """
    classes = len(np.unique(labels))
    means = need('sklearn.cluster', 'figures').KMeans(
        classes, n_init=NUM_INITS, random_state=seed)
    with one_thread():
        clusters = means.fit_predict(unit_length(embeddings))
    scores = need('sklearn.metrics', 'figures'
                  ).homogeneity_completeness_v_measure(labels, clusters)
    return ClusterScores(*map(float, scores), len(labels), classes)


def one_thread():
    """Give scikit-learn's sums one order, in a ``with`` block.

    Its parallel loops add up in the order in which threads finish; the last
    bits differ from run to run, and t-SNE makes another picture of them.
    """
    return need('threadpoolctl', 'figures').threadpool_limits(1)
