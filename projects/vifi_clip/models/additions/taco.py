"""TACO: what the classes are to each other, kept by relations to random
anchors (github.com/ZMHH-H/TACO; the paper's section on relation distillation).

Letters: N views, T frames, K classes, D embedding, A anchors.
"""
import math
from typing import Dict

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from .teachers import Embeddings


@MODELS.register_module()
class AnchorRelationLoss(nn.Module):
    """KL divergence between a teacher's and the model's class probabilities,
    where a video and a class are compared through random anchors.

    With anchors O [A, D], drawn on the unit sphere in each step, a video v and
    a class t are as near as (v O^T)(O t^T). The loss is
    KL(softmax(s Z_teacher) || softmax(s Z_model)), s the model's own
    exp(logit_scale), through which gradient flows on both sides.

    In training, the model's frames pass a projection first, in the main loss
    as well: v_t + B(A(mean of all frames v)), A from D to 2 D, B back, B zero
    at the start. So the model's own embeddings may stay general; in tests the
    projection is gone.

    Args:
        embed_dim (int): D.
        num_anchors (int): A. Defaults to 200.
        loss_weight (float): Defaults to 0.4.

    Raises:
        ValueError: No anchors.
    """

    def __init__(self, embed_dim: int, num_anchors: int = 200,
                 loss_weight: float = 0.4) -> None:
        super().__init__()
        if num_anchors < 1:
            raise ValueError(f'num_anchors={num_anchors} must be at least 1')
        self.num_anchors, self.loss_weight = num_anchors, loss_weight
        self.expand = nn.Linear(embed_dim, 2 * embed_dim)
        self.reduce = nn.Linear(2 * embed_dim, embed_dim)
        nn.init.kaiming_uniform_(self.expand.weight, a=math.sqrt(5))
        nn.init.zeros_(self.reduce.weight)
        nn.init.zeros_(self.reduce.bias)

    def specialise(self, frames: Tensor) -> Tensor:
        """Project frame embeddings [N, T, D]."""
        mean = frames.mean(dim=1, keepdim=True)
        # [N, 1, D]
        return frames + self.reduce(self.expand(mean))

    def forward(self, student: Embeddings, teacher: Embeddings,
                logit_scale: Tensor) -> Dict[str, Tensor]:
        """Return the weighted divergence, the mean over views."""
        with torch.autocast(logit_scale.device.type, enabled=False):
            anchors = F.normalize(torch.randn(
                self.num_anchors, student.classes.shape[1],
                device=logit_scale.device), dim=-1)
            own, taught = (logit_scale.float() * relations(x, anchors)
                           for x in (student, teacher))
            # [N, K]
            loss = F.kl_div(own.log_softmax(-1), taught.softmax(-1),
                            reduction='batchmean')
        return dict(loss_relation=self.loss_weight * loss)


def relations(embeddings: Embeddings, anchors: Tensor) -> Tensor:
    """Likeness [N, K] of videos and classes through anchors [A, D]."""
    video = F.normalize(embeddings.video.float(), dim=-1)
    return (video @ anchors.T) @ (anchors @ embeddings.classes.float().T)
