"""An index of vectors, without videos."""
import numpy as np

from projects.vifi_clip.apis.identity import Identity
from projects.vifi_clip_tools.search.store import Entry, State, VideoIndex


def unit(vectors) -> np.ndarray:
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def entries(vectors, names=None):
    """One entry for each vector [N, D], of videos /v/0.mp4, /v/1.mp4 ..."""
    names = names or [f'/v/{i}.mp4' for i in range(len(vectors))]
    return [Entry(name, State(1, 2, None), vector[None])
            for name, vector in zip(names, vectors)]


def make_index(path, vectors, names=None) -> VideoIndex:
    """An index of N videos with embeddings [N, D]."""
    index = VideoIndex.create(str(path), Identity(
        'some_config', None, '0' * 64, vectors.shape[1], 2))
    if len(vectors):
        index.add(entries(vectors, names))
    return index
