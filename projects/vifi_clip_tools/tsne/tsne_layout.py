"""Embeddings in two dimensions: t-SNE or UMAP."""
from typing import Optional

import numpy as np

from projects.vifi_clip.errors import need
from .cluster_scores import one_thread, unit_length

METHODS = ('tsne', 'umap')
PERPLEXITY, NEIGHBOURS = 30., 15
FEWEST = 5  # videos of which a picture tells something


def check_settings(num_videos: int,
                   source: str,
                   method: str = 'tsne',
                   perplexity: Optional[float] = None,
                   neighbours: Optional[int] = None) -> float:
    """The setting that a method will use.

    Args:
        num_videos (int): N.
        source (str): Named in errors.
        method (str): 'tsne' or 'umap'. Defaults to 'tsne'.
        perplexity (float, optional): Of t-SNE; how many neighbours count.
            Defaults to 30, or a third of the videos if those are fewer.
        neighbours (int, optional): Of UMAP. Defaults to 15, or N - 1.

    Returns:
        float: Perplexity, or number of neighbours.

    Raises:
        ValueError: Too few videos, or a value that does not suit them.
    """
    if method not in METHODS:
        raise ValueError(f'method must be one of {METHODS}, got {method!r}')
    if num_videos < FEWEST:
        raise ValueError(f'{source}: {num_videos} videos; a picture of '
                         f'neighbours takes {FEWEST} or more')
    if method == 'umap':
        if perplexity is not None:
            raise ValueError('--perplexity is a setting of t-SNE; UMAP has '
                             '--neighbors')
        value = min(NEIGHBOURS, num_videos - 1)
        value = value if neighbours is None else neighbours
        if not 2 <= value < num_videos:
            raise ValueError(f'--neighbors {value}: from 2 to '
                             f'{num_videos - 1} for the {num_videos} videos '
                             f'of {source}')
        return value
    if neighbours is not None:
        raise ValueError('--neighbors is a setting of UMAP; t-SNE has '
                         '--perplexity')
    value = min(PERPLEXITY, (num_videos - 1) / 3)
    value = value if perplexity is None else perplexity
    if not 1 <= value < num_videos:
        raise ValueError(
            f'--perplexity {value:g} with the {num_videos} videos of '
            f'{source}: it must be 1 or more and below their number; '
            f'{max(1, (num_videos - 1) // 3)} or less works well')
    return value


def layout(embeddings: np.ndarray,
           method: str = 'tsne',
           seed: int = 0,
           perplexity: Optional[float] = None,
           neighbours: Optional[int] = None) -> np.ndarray:
    """Place videos on a plane, neighbours by cosine beside each other.

    The same input and seed give the same places.

    Args:
        embeddings (np.ndarray): [N, D].
        method (str): 'tsne' (starts from the principal components) or
            'umap'. Defaults to 'tsne'.
        seed (int): Defaults to 0.
        perplexity (float, optional): See :func:`check_settings`.
        neighbours (int, optional): See :func:`check_settings`.

    Returns:
        np.ndarray: [N, 2].

    Raises:
        ValueError: Too few videos, or a bad value.
        UserError: scikit-learn or umap-learn is not installed.
    """
    value = check_settings(len(embeddings), 'the embeddings', method,
                           perplexity, neighbours)
    vectors = unit_length(embeddings).astype(np.float32)
    if method == 'umap':
        # n_jobs=1: what UMAP sets itself, with a warning, for a seed
        places = need('umap', 'umap').UMAP(
            n_neighbors=int(value), metric='cosine', random_state=seed,
            n_jobs=1)
        return places.fit_transform(vectors)
    manifold = need('sklearn.manifold', 'figures')
    with one_thread():
        return manifold.TSNE(
            2, perplexity=value, metric='cosine', init='pca',
            random_state=seed).fit_transform(vectors)
