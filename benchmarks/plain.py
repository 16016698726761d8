"""The plain computation, from the paper's description alone.

Every frame through the image encoder, the mean of the frames' embeddings,
and at each step every prompted class name through the text encoder at the
context's full 77 tokens; cosine similarity over the temperature. No cache,
no truncation, and OpenCLIP's own blocks. It is what others are measured
against, so nothing of this package's computing is used.
"""
import copy
from typing import Optional

import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from projects.vifi_clip.models.blocks import FusedBlock


class PlainViFiCLIP(nn.Module):
    """ViFi-CLIP written down straight from section 4 of the paper.

    Args:
        model (nn.Module): A :class:`ViFiCLIP` whose weights and classes to
            copy, and which of them train.
        num_frames (int): T.
    """

    def __init__(self, model: nn.Module, num_frames: int) -> None:
        super().__init__()
        classifier = model.cls_head.text_classifier
        self.num_frames = num_frames
        self.visual = openclips_own(model.backbone.visual)
        self.text = openclips_own(classifier.text)
        self.logit_scale = copy.deepcopy(model.cls_head.logit_scale)
        stats = model.data_preprocessor
        self.register_buffer('mean', stats.mean.detach().clone())  # [3, 1, 1]
        self.register_buffer('std', stats.std.detach().clone())
        template = classifier.templates[0]
        self.register_buffer('tokens', classifier.tokenizer([
            template.replace('{}', name.replace('_', ' '))
            for name in classifier.class_names]))
        # [C, 77]

    def forward(self, frames: Tensor, labels: Optional[Tensor] = None):
        """Return class probabilities [B, C] of frames, uint8 [B, T, 3, H, W],
        or the loss where labels [B] are given."""
        x = frames.flatten(0, 1)
        # [B, T, 3, H, W] -> [B*T, 3, H, W]
        x = (x.float() - self.mean) / self.std
        video = self.visual(x).unflatten(0, (-1, self.num_frames)).mean(1)
        # [B*T, D] -> [B, D]
        classes = self.text(self.tokens)
        video = F.normalize(video, dim=-1)
        classes = F.normalize(classes, dim=-1)
        logits = self.logit_scale.exp() * video @ classes.T
        if labels is None:
            return logits.softmax(-1)
        return F.cross_entropy(logits, labels)


def openclips_own(tower: nn.Module) -> nn.Module:
    """Copy an image or text tower so that no block is ours."""
    tower = copy.deepcopy(tower)
    for module in tower.modules():
        if type(module) is FusedBlock:
            module.__class__ = ResidualAttentionBlock
    return tower
