"""Contrastive loss between the videos and texts of a batch."""
from typing import Optional

import torch
import torch.distributed.nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.dist import all_gather, get_world_size
from open_clip.loss import gather_features
from torch import Tensor, nn


@MODELS.register_module()
class CLIPContrastiveLoss(nn.Module):
    """CLIP's symmetric loss, with several positives where labels repeat.

    Each video is to find its text among the batch's texts and each text its
    video. Rows that share a label are all positives and share the target
    evenly; with distinct labels this is CLIP's own loss. Under distributed
    training the batch is that of all processes, and gradients flow back
    through the gather; since DDP averages gradients over processes, the
    result equals one process on the joined batch.

    Args:
        loss_weight (float): Defaults to 1.0.
    """

    in_batch = True  # tells heads to hand over embeddings, not logits

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, video: Tensor, text: Tensor, logit_scale: Tensor,
                labels: Optional[Tensor] = None,
                frames: Optional[Tensor] = None) -> Tensor:
        """Return the loss of this batch, a scalar; ValueError if the shapes
        do not pair up.

        Args:
            video, text (Tensor): Normalised embeddings [B, D], row by row
                partners.
            logit_scale (Tensor): Factor of the cosines, already
                exponentiated.
            labels (Tensor, optional): [B] ids; equal ids are positives of
                each other, across processes too. Defaults to None: row i's
                only positive is its partner.
            frames (Tensor, optional): Their frames' embeddings [B, T, D],
                for losses that want them; not this one.
        """
        if video.shape != text.shape or video.ndim != 2:
            raise ValueError('video and text must have one shape [B, D], got '
                             f'{tuple(video.shape)} and {tuple(text.shape)}')
        if get_world_size() > 1:
            video, text = gather_features(video, text, gather_with_grad=True,
                                          world_size=get_world_size())
            if labels is not None:
                labels = torch.cat(all_gather(labels))
        with torch.autocast(video.device.type, enabled=False):
            logits = logit_scale.float() * video.float() @ text.float().T
        # [B, B], B now of all processes in the order of their ranks
        if labels is None:
            labels = torch.arange(len(logits), device=logits.device)
        same = (labels[:, None] == labels[None, :]).float()
        return self.loss_weight * self.compare(logits, same)

    def compare(self, logits: Tensor, same: Tensor) -> Tensor:
        """Return the loss of logits [B, B], where ``same`` is 1 for pairs of
        one label and 0 for others."""
        targets = same / same.sum(dim=1, keepdim=True)
        return (F.cross_entropy(logits, targets) +
                F.cross_entropy(logits.T, targets.T)) / 2
