"""FROSTER (arXiv 2402.03241): the model keeps near to frozen CLIP, but for a
residual of its own.

Letters: N views, T frames, K classes, D embedding.
"""
from typing import Dict

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from .teachers import Embeddings


@MODELS.register_module()
class FeatureDistillationLoss(nn.Module):
    """One minus the cosine of the model's embeddings and the teacher's, the
    mean over frames plus the mean over classes.

    The model's, of length 1, pass a residual projector first, x + 0.1 P(x),
    with P linear, GELU, linear, and zero at the start. The class logits are
    made of what has not passed it, and in tests it is gone.

    Args:
        embed_dim (int): D.
        residual (float): Defaults to 0.1.
        loss_weight (float): Defaults to 2.0.
    """

    def __init__(self, embed_dim: int, residual: float = 0.1,
                 loss_weight: float = 2.0) -> None:
        super().__init__()
        self.residual, self.loss_weight = residual, loss_weight
        self.frames, self.classes = (
            projector(embed_dim) for _ in range(2))

    def forward(self, student: Embeddings, teacher: Embeddings,
                logit_scale: Tensor) -> Dict[str, Tensor]:
        """Return both terms, weighted."""
        return {f'loss_{name}_distillation': self.loss_weight * self._distance(
            getattr(self, name), getattr(student, name), getattr(
                teacher, name)) for name in ('frames', 'classes')}

    def _distance(self, project: nn.Module, own: Tensor,
                  taught: Tensor) -> Tensor:
        """Of [N, T, D] or [K, D] both, a scalar."""
        own = F.normalize(own.float(), dim=-1)
        own = own + self.residual * project(own)
        with torch.autocast(own.device.type, enabled=False):
            return (1 - F.cosine_similarity(
                own.float(), taught.float(), dim=-1)).mean()


def projector(embed_dim: int) -> nn.Sequential:
    """Linear, GELU, linear, without biases; zero at the start."""
    module = nn.Sequential(
        nn.Linear(embed_dim, embed_dim, bias=False), nn.GELU(),
        nn.Linear(embed_dim, embed_dim, bias=False))
    nn.init.kaiming_normal_(module[0].weight)
    nn.init.zeros_(module[2].weight)
    return module
