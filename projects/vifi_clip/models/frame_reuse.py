"""Frames that occur several times in a batch are encoded once.

Letters: N frames of all videos and views, U different ones.
"""
from typing import Optional, Tuple

import torch
from torch import Tensor

_STRIDE = 997  # prime, so that a sample of pixels covers rows and columns


@torch.no_grad()
def _representatives(x: Tensor) -> Optional[Tensor]:
    """For each frame the first one that equals it, [N]; None if all differ.

    Frames are grouped by a sample of their pixels, and then compared in full
    with the first of their group.
    """
    sample = x.flatten(1)[:, ::_STRIDE]
    # [N, 3, H, W] -> [N, about 3HW / 997]
    groups, group = torch.unique(sample, dim=0, return_inverse=True)
    num = len(x)
    if len(groups) == num:
        return None
    index = torch.arange(num, device=x.device)
    first = torch.full((len(groups), ), num, device=x.device)
    first = first.scatter_reduce(0, group, index, 'amin')[group]
    # [U'] -> [N]
    repeats = (first != index).nonzero().flatten()
    equal = (x[repeats] == x[first[repeats]]).flatten(1).all(1)
    first[repeats] = torch.where(equal, first[repeats], repeats)
    return first


def unique_frames(x: Tensor) -> Tuple[Tensor, Optional[Tensor]]:
    """The different frames of a batch.

    A video with fewer frames than a view samples repeats some, as do still
    pictures. Exact: frames count as one only if every pixel is equal.

    Args:
        x (Tensor): [N, 3, H, W].

    Returns:
        tuple: The frames [U, 3, H, W] and, for each of the N, the index of
        its equal among them; ``x`` itself and None if all differ.
    """
    if len(x) < 2:
        return x, None
    first = _representatives(x)
    if first is None:
        return x, None
    kept, inverse = first.unique(return_inverse=True)
    if len(kept) == len(x):
        return x, None
    return x[kept], inverse
