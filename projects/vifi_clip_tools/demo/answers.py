"""What visitors ask, and what they get.

Letters: T frames, K classes, H x W pixels.
"""
import os.path as osp
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from projects.vifi_clip.apis.inputs import VideoInput


@dataclass(frozen=True)
class Request:
    """What a visitor asks.

    Attributes:
        path (str): The uploaded video.
        labels (tuple[str]): K labels.
        template (str, optional): With ``{}`` where the label goes; None for
            the model's own.
        threshold (float): Below it, the best label does not count; 0 is off.
        num_views (int): Temporal views.
        seconds (float): Length of the video.
    """
    path: str
    labels: Tuple[str, ...]
    template: Optional[str] = None
    threshold: float = 0.
    num_views: int = 1
    seconds: float = 0.

    @property
    def video(self) -> VideoInput:
        """The file under its own name, which messages show."""
        return VideoInput(osp.basename(self.path), self.path)


@dataclass(frozen=True)
class Frames:
    """Frames of a video, and what to say of each.

    Attributes:
        images (np.ndarray): uint8 [T, H, W, 3].
        times (np.ndarray): [T], seconds.
        captions (list): T pairs of label and probability, or empty.
    """
    images: np.ndarray
    times: np.ndarray
    captions: Sequence[Tuple[str, float]] = ()


@dataclass(frozen=True)
class Recognition:
    """The answer.

    Attributes:
        label (str): The best label, or 'none of these'.
        ranking (list): K pairs of label and probability, best first.
        frames (Frames): One view, each frame on its own.
    """
    label: str
    ranking: List[Tuple[str, float]]
    frames: Frames


@dataclass(frozen=True)
class Found:
    """A video of the index.

    Attributes:
        hit (Hit): Where, and how similar.
        pictures (list): PIL pictures.
        problem (str): Why there are none.
    """
    hit: Any
    pictures: List[Any]
    problem: str
