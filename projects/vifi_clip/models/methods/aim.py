"""AIM (arXiv 2302.03024): the frozen attention of an image tower runs over
time as well, with an adapter behind each.

Letters: N views, T frames of a view, L tokens of a frame, W the tower's
width, C channels of an adapter.
"""
from typing import Optional

import numpy as np
import torch
from mmaction.registry import MODELS
from timm.layers import DropPath
from torch import Tensor, nn

from ..blocks import attend, pick
from .adapters import AdapterBackbone, AdapterBlock


class AIMAdapters(nn.Module):
    """Three adapters W2 GELU(W1 x) of a layer, each of which starts at 0."""

    def __init__(self, width: int, channels: int, num_frames: int,
                 drop_path: float) -> None:
        super().__init__()
        self.num_frames, self.drop_path = num_frames, DropPath(drop_path)
        self.temporal, self.spatial, self.mlp = (nn.Sequential(
            nn.Linear(width, channels), nn.GELU(), nn.Linear(channels, width))
            for _ in range(3))
        for part in self.temporal, self.spatial, self.mlp:
            nn.init.zeros_(part[2].weight)
            nn.init.zeros_(part[2].bias)


class AIMBlock(AdapterBlock):
    """A layer whose attention runs over time, then within each frame."""

    def forward(self, x: Tensor, adapters: AIMAdapters,
                only: Optional[Tensor] = None) -> Tensor:
        """See :class:`AdapterBlock`."""
        y = self.ln_1(x).unflatten(0, (-1, adapters.num_frames))
        y = attend(self.attn, y.transpose(1, 2).flatten(0, 1))
        # [N, T, L, W] -> [N*L, T, W]: each place on its own
        y = y.unflatten(0, (-1, x.shape[1])).transpose(1, 2).flatten(0, 1)
        # [N*L, T, W] -> [N*T, L, W]
        x = x + adapters.drop_path(adapters.temporal(y))
        y = self._attention(self.ln_1(x), only)
        x = (x if only is None else pick(x, only)) + self.ls_1(
            y + adapters.spatial(y))
        y = self.ln_2(x)
        return x + self.ls_2(self._mlp(y)) + adapters.drop_path(
            0.5 * adapters.mlp(y))


@MODELS.register_module()
class AIMBackbone(AdapterBackbone):
    """CLIP's image tower with AIM's adapters: the frozen attention of each
    layer also runs over time, at each place of the picture.

    Args:
        arch (str | dict): With a ViT of OpenCLIP that reads its class token.
        pretrained (str, optional): A CLIP, for the tower.
        num_frames (int): T. None, in a config: the head's.
        ratio (float): C / W. Defaults to 0.25.
        drop_path (float): Chance to leave out the temporal branch, and that
            beside the MLP, in the last layer; before, it grows from 0.
            Defaults to 0.
        kwargs: As :class:`CLIPVisionBackbone`.

    Raises:
        ValueError: A tower without such layers.
    """

    block = AIMBlock

    def __init__(self, *args, num_frames: int, ratio: float = 0.25,
                 drop_path: float = 0., **kwargs) -> None:
        super().__init__(*args, num_frames=num_frames, **kwargs)
        transformer = self.visual.transformer
        width = transformer.width
        self.adapter_positions = nn.Parameter(torch.zeros(num_frames, width))
        for rate in np.linspace(0, drop_path, len(transformer.resblocks)):
            self.adapters.append(AIMAdapters(
                width, int(width * ratio), num_frames, float(rate)))
        if self.frozen:
            self.requires_grad_(False)

    def _embed_patches(self, x: Tensor) -> Tensor:
        tower = self.visual
        x = tower.conv1(x).flatten(2).mT
        x = torch.cat([tower.class_embedding.to(x.dtype).expand(
            x.shape[0], 1, -1), x], dim=1)
        x = tower.patch_dropout(x + tower.positional_embedding.to(x.dtype))
        # The position of a frame is added to all of its tokens.
        x = x.unflatten(0, (-1, self.num_frames)) + self.adapter_positions[
            :, None].to(x.dtype)
        return tower.ln_pre(x.flatten(0, 1))
        # [N*T, L, W] -> [N, T, L, W] -> [N*T, L, W]
