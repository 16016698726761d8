"""What a bundled small model has never seen: videos unlike those that it was
trained on, and words without an embedding. It would answer both, and surely.

Letters: T frames of a view, h x w pixels, F statistics.
"""
import json
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from open_clip.tokenizer import SimpleTokenizer

from ..checkpoints.files import ASSET, ASSETS

_EDGES = 2, 20  # steps of 0 to 255 that are a flat area, and an edge
UNLIKE = ('unlike the rendered shapes that this small model knows, so that '
          'the scores mean nothing')


class Known(NamedTuple):
    """Statistics of a model's training videos, a normal distribution."""

    mean: np.ndarray  # [F]
    precision: np.ndarray  # [F, F], the inverse of their covariance
    limit: float  # of the squared Mahalanobis distance


class KnownPixels:
    """What training videos look like: ``kinds`` are of the same videos in
    files and, without the traces of compression, as they were drawn."""

    def __init__(self, kinds: Sequence[Known]) -> None:
        self.kinds = kinds

    def distance(self, images: np.ndarray) -> float:
        """Return the squared Mahalanobis distance of frames, uint8 [T, h, w,
        3], from the nearest kind, over the limit."""
        values = pixel_statistics(images)
        return min(float((values - kind.mean) @ kind.precision
                         @ (values - kind.mean)) / kind.limit
                   for kind in self.kinds)

    def unlike(self, images: np.ndarray) -> bool:
        """Tell whether frames look like none of the training videos."""
        return self.distance(images) > 1


def known_pixels(weights: Optional[str]) -> Optional[KnownPixels]:
    """Return what the training videos of bundled weights ('vifi-clip://...')
    look like; None for other weights. benchmarks/known_pixels.py measures
    it."""
    if not str(weights).startswith(ASSET):
        return None
    file = ASSETS / f'{str(weights).removeprefix(ASSET)}_pixels.json'
    if not file.is_file():
        return None
    return KnownPixels([
        Known(np.array(kind['mean']), np.array(kind['precision']),
              kind['limit']) for kind in json.loads(file.read_text())])


def pixel_statistics(images: np.ndarray) -> np.ndarray:
    """Return F = 13 logarithms, of frames uint8 [T, h, w, 3]: steps between
    neighbours across, down and in time (mean, share of flat areas, share of
    edges), and mean and spread of brightness and of saturation."""
    frames = images.astype(np.float32)
    values: List[float] = []
    for axis in (2, 1, 0):
        steps = np.abs(np.diff(frames, axis=axis)).mean(-1)
        if not steps.size:  # a single frame
            steps = np.zeros(1)
        values += [steps.mean(), (steps < _EDGES[0]).mean(),
                   (steps > _EDGES[1]).mean()]
    for plane in frames.mean(-1), frames.max(-1) - frames.min(-1):
        values += [plane.mean(), plane.std((1, 2)).mean()]
    return np.log(np.array(values, float) + .01)


@torch.no_grad()
def unknown_texts(classifier: torch.nn.Module,
                  texts: Sequence[str]) -> List[str]:
    """Return those texts of which a word has no embedding: bundled weights
    hold the words of their training alone, and zeros for all others."""
    table = getattr(classifier.text, 'token_embedding', None)
    if not isinstance(classifier.tokenizer, SimpleTokenizer) or table is None:
        return []
    return [text for text in texts if not table.weight[
        classifier.tokenizer.encode(text)].any(-1).all()]


@torch.no_grad()
def label_warning(classifier: torch.nn.Module) -> str:
    """Say which classes of a model it does not know, or else cannot tell
    apart; '' if there are none."""
    names = classifier.class_names
    if unknown := unknown_message(classifier, names):
        return unknown
    rows = classifier.class_embeddings().float().cpu().numpy().round(5)
    groups: Dict[bytes, List[str]] = {}
    for name, row in zip(names, rows):
        groups.setdefault((row + 0.).tobytes(), []).append(name)
    equal = next((group for group in groups.values() if len(group) > 1), None)
    return (f'this model cannot tell apart: {_some(equal)}. It gives them '
            'equal scores') if equal else ''


def unknown_message(classifier: torch.nn.Module,
                    texts: Sequence[str]) -> str:
    """Say of which texts a model does not know the words; '' if of none."""
    unknown = unknown_texts(classifier, texts)
    return (f'this small model does not know all words of: {_some(unknown)}. '
            'It cannot tell unknown words apart, and their scores mean '
            'nothing') if unknown else ''


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:5]) + ' ...' * (len(names) > 5)
