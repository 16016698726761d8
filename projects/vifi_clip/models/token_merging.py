"""Token merging: similar tokens of a frame become one on the way up.

Bolya et al., "Token Merging: Your ViT But Faster" (ICLR 2023), section 3, for
towers that were trained without it. Between attention and MLP of every layer
r patch tokens are merged into others; the attention then counts a merged
token as often as the patches that are in it.

Letters: N frames, P patch tokens, A and B their two halves, d width of a key,
W width of a token.
"""
from typing import NamedTuple, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Matching(NamedTuple):
    """Which tokens merge. Tokens 0, 2, 4 ... are A, tokens 1, 3, 5 ... B."""
    kept: Tensor  # [N, A - r] indices into A, ascending
    merged: Tensor  # [N, r] indices into A
    into: Tensor  # [N, r] indices into B


def match_tokens(keys: Tensor, r: int) -> Matching:
    """Bipartite soft matching (section 3.2).

    Each token of A looks for the token of B whose key is most like its own
    (cosine); the r best of these pairs merge.

    Args:
        keys (Tensor): [N, P, d].
        r (int): Number of pairs; at most half of the tokens merge.
    """
    keys = F.normalize(keys.float(), dim=-1)
    similarity = keys[:, ::2] @ keys[:, 1::2].transpose(1, 2)
    # [N, A, B]
    best, partner = similarity.max(-1)
    order = best.argsort(dim=-1, descending=True, stable=True)
    # [N, A]
    r = min(r, keys.shape[1] // 2)
    merged, kept = order[:, :r], order[:, r:].sort(-1).values
    return Matching(kept, merged, partner.gather(1, merged))


def merge_tokens(x: Tensor, sizes: Tensor,
                 matching: Matching) -> Tuple[Tensor, Tensor]:
    """Merge pairs into their mean, weighted by sizes.

    Args:
        x (Tensor): Patch tokens [N, P, W].
        sizes (Tensor): Patches in each of them [N, P], float.
        matching (Matching): Of these tokens.

    Returns:
        tuple[Tensor, Tensor]: [N, P - r, W] (what is kept of A, then B) and
        their sizes.
    """
    num, width = len(x), x.shape[-1]
    a, b = x[:, ::2].reshape(-1, width), x[:, 1::2].reshape(-1, width)
    size_a, size_b = sizes[:, ::2].flatten(), sizes[:, 1::2].flatten()
    # [N, P, W] -> [N*A, W] and [N*B, W]: whole rows are quick to pick
    kept = _flat(matching.kept, len(a))
    merged, into = _flat(matching.merged, len(a)), _flat(
        matching.into, len(b))
    more = size_a[merged]
    total = size_b.index_add(0, into, more)
    sums = (b * size_b[:, None]).index_add_(0, into, a[merged] * more[:, None])
    b = (sums / total[:, None]).to(x.dtype)
    # sums are float32, as sizes are
    parts = [(a[kept], size_a[kept]), (b, total)]
    x = torch.cat([t.view(num, -1, width) for t, _ in parts], dim=1)
    return x, torch.cat([size.view(num, -1) for _, size in parts], dim=1)


def _flat(index: Tensor, num_rows: int) -> Tensor:
    """Indices within each frame, [N, i], to rows of all frames, [N*i]."""
    start = torch.arange(
        0, num_rows, num_rows // len(index), device=index.device)
    return (index + start[:, None]).flatten()


def merge_patches(x: Tensor, keys: Tensor, sizes: Tensor, r: int,
                  num_last: int) -> Tuple[Tensor, Tensor]:
    """Merge patch tokens only: neither the class token nor prompts.

    Args:
        x (Tensor): [N, 1 + P + n, W]: class token, patches, prompts.
        keys (Tensor): Their keys, the mean over the heads, [N, 1 + P + n, d].
        sizes (Tensor): [N, 1 + P + n].
        r (int): Number of tokens to take away.
        num_last (int): n, the number of prompts at the end.
    """
    end = x.shape[1] - num_last
    matching = match_tokens(keys[:, 1:end], r)
    patches, patch_sizes = merge_tokens(x[:, 1:end], sizes[:, 1:end], matching)
    x = torch.cat([x[:, :1], patches, x[:, end:]], dim=1)
    return x, torch.cat([sizes[:, :1], patch_sizes, sizes[:, end:]], dim=1)
