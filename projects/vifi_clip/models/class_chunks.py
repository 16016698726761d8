"""Which sentences run through the text tower together.

A causal tower's work and memory grow with the length to which the sentences
of a chunk are padded, so sentences of like length go together.
"""
from itertools import accumulate
from typing import List, Sequence, Tuple

import torch
from torch import Tensor

MOST_BUCKETS = 4
# A further bucket has to pay for its kernel launches, in tokens.
BUCKET_COST = dict(cpu=64)
BUCKET_COST_ELSEWHERE = 4096
WORTH = 0.1  # of all tokens is the least that buckets have to save


def plan_buckets(lengths: Tensor, device_type: str = 'cpu') -> List[Tensor]:
    """Sort sentences into at most four buckets of like length.

    Args:
        lengths (Tensor): Tokens of each sentence, [S] on CPU.
        device_type (str): Where the tower is. Defaults to 'cpu'.

    Returns:
        list[Tensor]: Indices of the sentences of each bucket, by length; one
        bucket where several would save less than a tenth of the tokens.
    """
    order = lengths.argsort(stable=True)
    sizes, counts = lengths.unique(return_counts=True)
    sizes, counts = sizes.tolist(), counts.tolist()
    cost = BUCKET_COST.get(device_type, BUCKET_COST_ELSEWHERE)
    cuts, padded = _best_cuts(sizes, counts, cost)
    if padded > (1 - WORTH) * len(order) * sizes[-1]:
        return [order]
    return list(order.split(cuts))


def _best_cuts(sizes: Sequence[int], counts: Sequence[int],
               cost: int) -> Tuple[List[int], int]:
    """Sentences in each bucket, and the tokens they are padded to.

    Exact, over the number of distinct sizes: best[j] is the cheapest way to
    put the j shortest sizes into as many buckets as there were rounds.
    """
    upto = list(accumulate(counts, initial=0))
    best, found = {0: (0, 0, [])}, []
    for _ in range(min(MOST_BUCKETS, len(sizes))):
        longer = {}
        for j in range(1, len(sizes) + 1):
            ways = []
            for i, (total, padded, cuts) in best.items():
                if i < j:
                    rows = upto[j] - upto[i]
                    tokens = rows * sizes[j - 1]
                    ways.append((total + tokens + cost, padded + tokens,
                                 cuts + [rows]))
            if ways:
                longer[j] = min(ways)
        best = longer
        found.append(best[len(sizes)])
    _, padded, cuts = min(found)
    return cuts, padded


def padded_tokens(chunks: Sequence[Tensor], lengths: Tensor) -> int:
    """Tokens of all chunks, each padded to its longest sentence."""
    return sum(len(rows) * int(lengths[rows].max()) for rows in chunks)


def split_chunks(chunks: Sequence[Tensor], lengths: Tensor,
                 max_tokens: int) -> List[Tensor]:
    """Cut chunks into pieces of at most ``max_tokens``, or one sentence."""
    pieces: List[Tensor] = []
    for rows in chunks:
        pieces += rows.split(
            max(1, max_tokens // int(lengths[rows].max())))
    return pieces


def restore_order(x: Tensor, chunks: Sequence[Tensor]) -> Tensor:
    """Rows of all chunks one after the other, back to [S, D] in order."""
    place = torch.cat(list(chunks)).argsort().to(x.device)
    return x.index_select(0, place)
