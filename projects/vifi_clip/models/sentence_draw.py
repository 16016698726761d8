"""Which sentences stand for classes in a training step that draws them.

Letters: S sentences, class by class; K classes; M of them that are asked for.
``fixed`` [S] is 1 for sentences that are never drawn, but stand beside those
that are; None where there is none.
"""
from typing import Optional, Tuple

import torch
from torch import Tensor


def sentences_at(chance: Tensor, labels: Tensor, owners: Tensor,
                 fixed: Optional[Tensor] = None) -> Tensor:
    """Return the index [M] of the sentence at ``chance``, from 0 to below 1,
    of those of each class of ``labels`` [M] that may be drawn; ``owners``
    [S] are the sentences' classes. One number, [1], takes the same template
    for all."""
    sizes = torch.bincount(owners)
    counts = sizes if fixed is None else torch.bincount(
        owners[fixed == 0], minlength=len(sizes))
    return (sizes.cumsum(0) - sizes)[labels] + (chance * counts[labels]).long()


def with_fixed(drawn: Tensor, owners: Tensor,
               fixed: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
    """Add to drawn sentences [M] the fixed ones of their classes: indices
    [M + ...] of sentences, and of the drawn one that each belongs to."""
    places = torch.arange(len(drawn), device=drawn.device)
    if fixed is None:
        return drawn, places
    which, rows = ((owners[drawn][:, None] == owners) & (fixed == 1)
                   ).nonzero().T
    return torch.cat([drawn, rows]), torch.cat([places, which])
