"""ST-Adapter (arXiv 2206.13559): a convolution over time in each layer of a
frozen image tower.

Letters: N views, T frames of a view, L tokens of a frame, the class token
first, P = L - 1 patches, W the tower's width, C channels of an adapter.
"""
from typing import Optional

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from ..blocks import pick
from .adapters import AdapterBackbone, AdapterBlock


class STAdapter(nn.Module):
    """W2 (conv over time (W1 x)), added to each patch, [N*T, L, W]."""

    def __init__(self, width: int, channels: int, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.down = nn.Linear(width, channels)
        # Of time and patch: 3 x 1, each channel on its own.
        self.conv = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0),
                              groups=channels)
        self.up = nn.Linear(channels, width)
        for zero in (self.down.bias, self.conv.weight, self.conv.bias,
                     self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens of the same shape; the class token stays."""
        y = self.down(x[:, 1:]).unflatten(0, (-1, self.num_frames))
        y = self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        # [N, T, P, C] -> [N, C, T, P] -> [N, T, P, C]
        y = self.up(y.flatten(0, 1))
        return torch.cat([x[:, :1], x[:, 1:] + y], dim=1)


class STAdapterBlock(AdapterBlock):
    """A layer with an adapter before its MLP, and one before attention."""

    def forward(self, x: Tensor, adapters: nn.ModuleDict,
                only: Optional[Tensor] = None) -> Tensor:
        """See :class:`AdapterBlock`."""
        x = adapters['before_attention'](x)
        y = self._attention(self.ln_1(x), only)
        x = (x if only is None else pick(x, only)) + self.ls_1(y)
        x = adapters['before_mlp'](x)
        return x + self.ls_2(self._mlp(self.ln_2(x)))


@MODELS.register_module()
class STAdapterBackbone(AdapterBackbone):
    """CLIP's image tower with ST-Adapters.

    Args:
        arch (str | dict): With a ViT of OpenCLIP that reads its class token.
        pretrained (str, optional): A CLIP, for the tower.
        num_frames (int): T. None, in a config: the head's.
        channels (int): C. Defaults to 384.
        before_attention (bool): A second adapter in each layer, before
            attention, which the authors take for Something-Something; else
            the last layer has none, as the class token would not see what
            that one does. Defaults to False.
        kwargs: As :class:`CLIPVisionBackbone`.

    Raises:
        ValueError: A tower without such layers.
    """

    block = STAdapterBlock

    def __init__(self, *args, num_frames: int, channels: int = 384,
                 before_attention: bool = False, **kwargs) -> None:
        super().__init__(*args, num_frames=num_frames, **kwargs)
        transformer = self.visual.transformer
        last = len(transformer.resblocks) - 1
        for layer in range(last + 1):
            self.adapters.append(nn.ModuleDict({
                place: STAdapter(transformer.width, channels, num_frames)
                if there else nn.Identity() for place, there in (
                    ('before_attention', before_attention),
                    ('before_mlp', layer < last))}))
        if self.frozen:
            self.requires_grad_(False)
