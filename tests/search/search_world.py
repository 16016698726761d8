"""Videos of one colour, and a model that embeds them by their colour."""
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from helpers import write_mp4

from projects.vifi_clip.apis.identity import Identity
from projects.vifi_clip.apis.inputs import expand_inputs
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.errors import UnreadableVideo
from projects.vifi_clip_tools.search.store import Entry, State, VideoIndex

COLOURS = dict(red=(255, 0, 0), green=(0, 255, 0), blue=(0, 0, 255))


def unit(vectors) -> np.ndarray:
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def colour_clip(path, *colours, frames: int = 10) -> str:
    """Write a clip that shows each colour for ``frames`` frames of 1/25 s."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return write_mp4(path, frames=[
        np.full((64, 64, 3), COLOURS[colour], np.uint8)
        for colour in colours for _ in range(frames)])


class ColourModel:
    """An inferencer whose embedding is the mean colour, D = 3; Ctrl-C comes
    after ``stop_after`` videos."""

    embed_dim, num_frames, checkpoint = 3, 2, None

    def __init__(self, seed: int = 0, stop_after=None) -> None:
        torch.manual_seed(seed)
        self.model = torch.nn.Linear(2, 2)  # has a fingerprint
        self.cfg = SimpleNamespace(filename=f'colours_{seed}',
                                   get=lambda key: None)
        self.seen, self.stop_after = [], stop_after

    def embed(self, videos, num_views=1, batch_size=1, on_error='raise'):
        for video in expand_inputs(videos):
            if len(self.seen) == self.stop_after:
                raise KeyboardInterrupt
            self.seen.append(video.path)
            try:
                file = VideoFile(video.path)
                pixels = file.frames(range(len(file)))
            except UnreadableVideo as error:
                yield dict(video=video.name, error=error.reason)
                continue
            yield dict(video=video.name,
                       embedding=unit(np.mean(pixels, axis=(0, 1, 2))))

    def text_embeddings(self, texts, templates=None):
        return unit([COLOURS[text] for text in texts])


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
