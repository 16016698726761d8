"""Ju et al., Prompting Visual-Language Models for Efficient Video
Understanding (arXiv 2112.04478): learnt tokens around each class name, and a
loss over at most 400 classes. Their temporal part is
:class:`TemporalTransformer`.

Letters: S sentences, L tokens, W the text tower's width, N views, K classes.
"""
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class ContextPrompts(nn.Module):
    """Learnt tokens before and behind the class name, the same for all
    classes and addressed by position.

    Position p of a sentence holds row p of one table, but for the start, the
    class's own tokens and the end: [start][before][class][behind][end]. Which
    rows stand behind a class so depends on its number of tokens.

    Args:
        width (int): W; the text classifier gives it.
        before, behind (int): Learnt tokens on either side of the class.
        max_tokens (int): Rows of the table. Defaults to 77, CLIP's context.

    Raises:
        ValueError: No learnt token at all, or more than rows.
    """

    depth = 1  # the tokens stand in the first layer alone

    def __init__(self, width: int, before: int = 16, behind: int = 16,
                 max_tokens: int = 77) -> None:
        super().__init__()
        if min(before, behind) < 0 or not (
                0 < before + behind <= max_tokens - 2):
            raise ValueError(f'prompts: before={before} and behind={behind} '
                             'must be whole numbers from 0, together from 1 '
                             f'to {max_tokens - 2}')
        self.before, self.behind = before, behind
        self.table = nn.Embedding(max_tokens, width)
        nn.init.normal_(self.table.weight, std=0.01)

    @property
    def length(self) -> int:
        """Learnt tokens of a sentence."""
        return self.before + self.behind

    def embed(self, x: Tensor, ends: Tensor) -> Tensor:
        """Put the tokens into embedded sentences [S, L, W] with ends [S],
        in the place of words."""
        length, rows = x.shape[1], len(self.table.weight)
        if length > rows:
            raise ValueError(f'sentences of {length} tokens are longer than '
                             f'prompts.max_tokens={rows}')
        at, ends = torch.arange(length, device=x.device), ends[:, None]
        own = (at > self.before) & (at < ends - self.behind)
        own = own | (at == 0) | (at == ends)
        # [S, L]
        table = self.table.weight[:length].to(x.dtype)
        return torch.where(own[..., None], x, table)

    def replace(self, layer: int, x: Tensor) -> Tensor:
        """Leave the layers' inputs [S, L, W] as they are."""
        return x


@MODELS.register_module()
class SampledCrossEntropyLoss(nn.Module):
    """Cross-entropy over at most ``max_classes``: those of the batch, and
    others drawn at random where there are more classes.

    Args:
        max_classes (int): Defaults to 400. ValueError if not from 1.
    """

    def __init__(self, max_classes: int = 400) -> None:
        super().__init__()
        if max_classes < 1:
            raise ValueError(f'max_classes={max_classes} must be at least 1')
        self.max_classes = max_classes

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of [N, K] and index labels [N], or labels [N, K] of
        which a class takes part where it is not 0."""
        if logits.shape[1] > self.max_classes:
            present = torch.zeros_like(logits[0])
            present = present.index_fill(0, labels, 1) if (
                labels.ndim == 1) else labels.any(dim=0).to(present)
            # Those of the batch come first, the others in a random order.
            order = (present + torch.rand_like(present)).argsort(
                descending=True)
            kept = max(self.max_classes, int(present.sum()))
            # Not infinity, which times a label of 0 is no number.
            logits = logits.index_fill(1, order[kept:], -1e9)
        return F.cross_entropy(logits, labels)
