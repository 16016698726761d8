"""What attention pictures show: rows of maps of one or several models."""
from dataclasses import dataclass
from typing import List, Optional, Sequence

import numpy as np

from .maps import attention_maps
from .overlay import enlarge, overlay, value_range


@dataclass
class Row:
    """Maps of one model by one method.

    Attributes:
        model (str): Name of the model.
        method (str): One of ``attention.METHODS``.
        text (str, optional): Of 'gradient'.
        images (np.ndarray): Frames uint8 [T, H, W, 3] as the model sees them.
        maps (np.ndarray): float32 [T, h, w].
        per_frame (bool): Each frame has a scale of its own.
    """
    model: str
    method: str
    text: Optional[str]
    images: np.ndarray
    maps: np.ndarray
    per_frame: bool = False

    @property
    def what(self) -> str:
        """The method, with its text."""
        quoted = f' of “{self.text}”' if self.text else ''
        return self.method + quoted

    @property
    def scale(self) -> str:
        """What the lowest and the highest colour stand for."""
        if self.per_frame:
            return 'own scale in each frame'
        low, high = value_range(self.maps)
        if low < high / 100:
            low = 0
        if self.method == 'gradient':  # has no unit
            return f'{low:.2g} to {high:.2g}'
        return f'{100 * low:.2g}% to {100 * high:.2g}%'

    def pictures(self, size: int, chosen: Sequence[int]) -> np.ndarray:
        """Overlays of some frames, of at least ``size`` pixels; the scale is
        that of all frames."""
        return overlay(
            enlarge(self.images[chosen], size), self.maps[chosen],
            value_range(self.maps), self.per_frame)


@dataclass
class Scores:
    """What one model takes the video for.

    Attributes:
        model (str): Name of the model.
        labels (list[str]): Best first.
        values (list[float]): Probabilities, as many.
    """
    model: str
    labels: List[str]
    values: List[float]

    @classmethod
    def of(cls, model: str, labels: Sequence[str],
           values: np.ndarray) -> 'Scores':
        """From K labels and their probabilities [K] in any order."""
        order = np.argsort(-values, kind='stable')
        return cls(model, [labels[i] for i in order],
                   [float(values[i]) for i in order])

    def line(self, count: int = 3) -> str:
        """The best labels in one line."""
        return '   '.join(f'{label} {100 * value:.0f}%' for label, value in
                          list(zip(self.labels, self.values))[:count])


def make_rows(models: Sequence, names: Sequence[str],
              images: Sequence[np.ndarray], methods: Sequence[str],
              texts: Sequence[str], per_frame: bool = False,
              show_progress: bool = False) -> List[Row]:
    """Maps by each method, of each model.

    Args:
        models (Sequence): M recognizers.
        names (Sequence[str]): Their names.
        images (Sequence[np.ndarray]): The frames that each of them sees,
            uint8 [T, H, W, 3].
        methods (Sequence[str]): Of ``attention.METHODS``.
        texts (Sequence[str]): The text for 'gradient' of each model.
        per_frame (bool): See :class:`Row`. Defaults to False.
        show_progress (bool): A bar on standard error. Defaults to False.

    Returns:
        list[Row]: For each method, the models one below the other.
    """
    from tqdm import tqdm
    wanted = [(method, *model) for method in methods
              for model in zip(models, names, images, texts)]
    rows = []
    for method, model, name, frames, text in tqdm(
            wanted, unit='map', leave=False, disable=not show_progress):
        text = text if method == 'gradient' else None
        maps = attention_maps(model, frames, method, text=text)
        rows.append(Row(name, method, text, frames, maps, per_frame))
    return rows


def choose(total: int, count: int) -> List[int]:
    """Indices of ``count`` of ``total`` frames, evenly, first and last
    included; all if there are no more."""
    if total <= count:
        return list(range(total))
    return np.linspace(0, total - 1, count).round().astype(int).tolist()
