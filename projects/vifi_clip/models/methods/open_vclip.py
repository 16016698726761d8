"""Attention to the neighbouring frames, of Open-VCLIP (arXiv 2302.00624).

Letters: N views, T frames of a view, L tokens of a frame, W the tower's
width, h heads.
"""
from typing import Optional

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from ..blocks import FusedBlock, pick
from ..image_backbone import VLDeepPromptBackbone


class NeighbourBlock(FusedBlock):
    """A layer in which a frame's tokens look at those of the frame before
    and the frame behind it, too.

    It has the parameters of :class:`FusedBlock`, whose place it takes.
    """

    num_frames: int  # T

    def forward(self, q_x: Tensor, attn_mask: None = None,
                only: Optional[Tensor] = None) -> Tensor:
        """[N*T, L, W] to the same, or to [N*T, W] of the tokens ``only``
        [N*T]; see :class:`FusedBlock`."""
        if type(self.attn) is not nn.MultiheadAttention:
            raise NotImplementedError(
                'NeighbourBackbone takes layers with their own attention, not '
                f'with a {type(self.attn).__name__}')
        y = attend_neighbours(self.attn, self.ln_1(q_x), self.num_frames, only)
        x = (q_x if only is None else pick(q_x, only)) + self.ls_1(y)
        if self._is_plain():
            return self._add_mlp(x)
        return x + self.ls_2(self.mlp(self.ln_2(x)))


def attend_neighbours(attn: nn.MultiheadAttention, x: Tensor, num_frames: int,
                      only: Optional[Tensor] = None) -> Tensor:
    """Run attention of each frame to the next frame, the last one and itself.

    Keys and values are those of three frames, 3L of each. Where a view ends,
    zeros stand in the place of a frame, behind the projections: they add
    nothing, with a logit of 0, and take their share of the softmax.

    Args:
        attn (nn.MultiheadAttention): Of one frame; without dropout.
        x (Tensor): Tokens [N*T, L, W], the frames of a view in sequence.
        num_frames (int): T.
        only (Tensor, optional): Positions [N*T] of the one token of each
            frame that asks.

    Returns:
        Tensor: [N*T, L, W], or [N*T, W] with ``only``.
    """
    width, bias = x.shape[-1], attn.in_proj_bias
    parts = [width, 2 * width]
    w_q, w_kv = attn.in_proj_weight.split(parts)
    b_q, b_kv = (None, None) if bias is None else bias.split(parts)
    q = F.linear(x if only is None else pick(x, only)[:, None], w_q, b_q)
    q = q.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
    # [N*T, L or 1, W] -> [N*T, h, L or 1, W/h]
    kv = F.linear(x, w_kv, b_kv).unflatten(0, (-1, num_frames))
    # [N*T, L, 2W] -> [N, T, L, 2W]
    padded = F.pad(kv, (0, 0, 0, 0, 1, 1))
    # [N, 1 + T + 1, L, 2W], zeros at both ends
    kv = torch.cat([padded[:, 2:], padded[:, :-2], kv], dim=2).flatten(0, 1)
    # 3 x [N, T, L, 2W] -> [N*T, 3L, 2W]
    k, v = kv.unflatten(-1, (2, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    # [N*T, 3L, 2W] -> 2 x [N*T, h, 3L, W/h]
    y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    # [N*T, h, L or 1, W/h] -> [N*T, L or 1, W]
    return attn.out_proj(y if only is None else y[:, 0])


@MODELS.register_module()
class NeighbourBackbone(VLDeepPromptBackbone):
    """CLIP's image tower whose frames look at their neighbours.

    In each layer the keys and values of a frame are those of the next frame,
    the last one and itself (``expand_temporal_view`` of Open-VCLIP), class
    token and deep prompts included. There are no new parameters: it takes and
    gives a CLIP's weights, and a model must be tested as it was trained,
    which its checkpoint says.

    Args:
        arch (str | dict): With a ViT of OpenCLIP.
        pretrained (str, optional): A CLIP, for the tower.
        num_frames (int): T of a view, whose frames come in sequence. None, in
            a config: the head's.
        prompts (dict, optional): As :class:`VLDeepPromptBackbone`. Defaults
            to None.
        kwargs: As :class:`CLIPVisionBackbone`.

    Raises:
        ValueError: A tower without such layers.
    """

    neighbours = 1

    def __init__(self, arch, pretrained: Optional[str] = None, *,
                 num_frames: int, prompts: Optional[dict] = None,
                 **kwargs) -> None:
        super().__init__(arch, pretrained, prompts=prompts, **kwargs)
        blocks = () if not isinstance(self.visual, VisionTransformer) else (
            self.visual.transformer.resblocks)
        if not blocks or any(type(block) is not FusedBlock
                             for block in blocks):
            raise ValueError(f'arch {arch!r} has no layers whose frames can '
                             'look at their neighbours, as a ViT of OpenCLIP')
        self.num_frames = num_frames
        for block in blocks:
            block.__class__ = NeighbourBlock
            block.num_frames = num_frames
