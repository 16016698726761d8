"""Windows that slide over a long video, through a model.

Letters: W windows, T frames of each, U frames that differ, D embedding.
"""
from dataclasses import dataclass
from typing import Any, Callable, List, Tuple

import numpy as np
import torch
from torch import Tensor

from .inputs import VideoInput

_CHUNK = 64  # frames of a long video that are in memory at a time


@dataclass(frozen=True)
class WindowEmbeddings:
    """Embeddings of windows that slide over a video."""

    times: np.ndarray  # [W], centres in seconds
    window: float  # length, seconds; not more than the video has
    # float32 [W, D], as the head's ``fuse`` gives them, without tokens
    embeddings: Tensor

    @property
    def spans(self) -> List[Tuple[float, float]]:
        """Start and end of each window in seconds."""
        half = self.window / 2
        return [(max(0., float(time - half)), float(time + half))
                for time in self.times]


@torch.no_grad()
def embed_windows(infer: Any, video: VideoInput, window: float, stride: float,
                  finish: Callable[[Tensor], Any]
                  ) -> Tuple[np.ndarray, float, List[Any]]:
    """Embed the windows of :meth:`window_embeddings` of an inferencer.

    Returns their centres, their length, and what ``finish`` makes of the
    fused embeddings of all of them, some at a time.
    """
    head, num_frames = infer.model.cls_head, infer.num_frames
    with video.opened() as opened:
        grid = infer.sampler.windows(opened, window, stride, num_frames)
        if not getattr(infer.model.backbone, 'num_frames', None):
            frames = torch.cat([
                infer.frame_embeddings(grid.read(grid.unique[i:i + _CHUNK]))
                for i in range(0, len(grid.unique), _CHUNK)])
            # [U, D] -> [W, T, D] -> [W, D]
            return grid.times, grid.window, [finish(
                head.fuse(frames[grid.rows]))]
        done, some = [], max(1, _CHUNK // num_frames)
        for i in range(0, len(grid.rows), some):
            # A frame's embedding depends on its window.
            unique, rows = np.unique(grid.rows[i:i + some],
                                     return_inverse=True)
            images = grid.read(grid.unique[unique])[rows.reshape(-1)]
            done.append(finish(head.fuse(infer.frame_embeddings(
                images).unflatten(0, (-1, num_frames)))))
            # [w*T, 1 + P, D] -> [w, T, 1 + P, D] -> [w, 1 + P, D]
    return grid.times, grid.window, done
