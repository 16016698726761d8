"""Embeddings of the windows of a long video.

Letters: W windows, T frames of each, U frames that differ, D embedding.
"""
from typing import Any, List, Tuple

import numpy as np

_CHUNK = 64  # frames in memory at a time


def embed_windows(
        inferencer: Any, video: Any,
        window: float) -> Tuple[np.ndarray, List[Tuple[float, float]]]:
    """Embed each window of a video as a video of its own.

    Args:
        inferencer (ViFiCLIPInferencer): The model.
        video (VideoInput): The video.
        window (float): Seconds. Windows follow each other; the last reaches
            the end and may share frames with the one before. A video that
            is shorter is one window.

    Returns:
        tuple: Embeddings, float32 [W, D] of unit length, and start and end
        of each window in seconds.

    Raises:
        UserError: The video cannot be read.
    """
    import torch
    import torch.nn.functional as F

    from .sampling import opened
    with torch.no_grad():
        with opened(video) as here:
            grid = inferencer.sampler.windows(here, window, window,
                                              inferencer.num_frames)
            chunks = np.array_split(grid.unique,
                                    -(-len(grid.unique) // _CHUNK))
            parts = [inferencer.frame_embeddings(grid.read(chunk))
                     for chunk in chunks]
        frames = torch.cat(parts)  # [U, D]
        fused = inferencer.model.cls_head.fuse(
            frames[torch.from_numpy(grid.places)])  # [W, T, D] -> [W, D]
        embeddings = F.normalize(fused.float(), dim=-1).cpu().numpy()
    half = grid.window / 2
    return embeddings, [(max(0., float(time - half)), float(time + half))
                        for time in grid.times]
