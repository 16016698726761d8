"""A source of models for FiftyOne's zoo: see docs/hub.md.

    model = foz.load_zoo_model('vifi_clip/video-clip', pretrained='FOLDER',
                               classes=['juggling', 'knitting'])
    dataset.apply_model(model, label_field='vifi')
    dataset.compute_embeddings(model, embeddings_field='vifi_embedding')
"""
import os
from typing import Any, List, Optional, Sequence

import fiftyone as fo
import fiftyone.core.models as fom
import numpy as np

from vifi_clip import ViFiCLIP


def download_model(model_name: str, model_path: str) -> None:
    """Make the folder that FiftyOne looks for; weights come with vifi_clip,
    or are fetched when a model is loaded."""
    os.makedirs(model_path, exist_ok=True)


def load_model(model_name: str, model_path: str,
               pretrained: str = 'small_world', **kwargs: Any) -> fom.Model:
    """Load a model; ``pretrained`` and ``device`` are those of
    ``ViFiCLIP.from_pretrained``, and the rest :class:`VideoCLIP`'s."""
    device = kwargs.pop('device', 'auto')
    return VideoCLIP(ViFiCLIP.from_pretrained(pretrained, device=device),
                     **kwargs)


class VideoCLIP(fom.Model, fom.EmbeddingsMixin, fom.PromptMixin):
    """Labels and embeddings of videos.

    Args:
        model (ViFiCLIP): What computes them.
        classes (Sequence[str], optional): Defaults to None: its own.
        text_prompt (str, optional): A sentence with ``{}`` where a class
            goes. Defaults to None: its own.
    """

    media_type = 'video'
    has_embeddings = can_embed_prompts = ragged_batches = True
    transforms, preprocess = None, False

    def __init__(self, model: ViFiCLIP,
                 classes: Optional[Sequence[str]] = None,
                 text_prompt: Optional[str] = None) -> None:
        self.model, self.classes = model, classes
        self.text_prompt = text_prompt
        self._embedding: Optional[np.ndarray] = None

    def predict(self, arg: Any) -> fo.Classification:
        """Return the best label of a video, an ``eta.core.video.VideoReader``
        of FiftyOne, with its probability."""
        best, = self.model(_video(arg), self.classes, self.text_prompt,
                           top_k=1)
        return fo.Classification(label=best['label'],
                                 confidence=best['score'])

    def embed(self, arg: Any) -> np.ndarray:
        """Return the embedding [D] of a video, of length 1."""
        self._embedding, = self.model.get_video_features(_video(arg))
        return self._embedding

    def get_embeddings(self) -> np.ndarray:
        """Return the last embedding of a video, [1, D]."""
        return self._embedding[None]

    def embed_prompt(self, arg: str) -> np.ndarray:
        """Return the embedding [D] of a text, of length 1."""
        return self.embed_prompts([arg])[0]

    def embed_prompts(self, args: List[str]) -> np.ndarray:
        """Return the embeddings [M, D] of texts."""
        return self.model.get_text_features(args, self.text_prompt)


def _video(reader: Any) -> Any:
    """The file, which is read in a safe way, or the frames of a clip of it."""
    if len(reader) == reader.total_frame_count:
        return reader.inpath
    return np.stack(list(reader))
