"""Adapters in a frozen image tower, by which the frames of a view see each
other: what ST-Adapter and AIM share.

Letters: N views, T frames of a view, L tokens of a frame, W the tower's
width, D embedding.
"""
from typing import Optional

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..blocks import FusedBlock, attend, quick_gelu_mlp
from ..image_backbone import CLIPVisionBackbone, reads_class_token


class AdapterBlock(FusedBlock):
    """A layer that is called with adapters, which stand elsewhere; it takes
    the place of :class:`FusedBlock`, with the same parameters.

    Its forward takes tokens [N*T, L, W], the layer's adapters, and perhaps
    positions ``only`` [N*T]; it returns [N*T, L, W], or [N*T, W] of the
    tokens at those.
    """

    def _attention(self, x: Tensor, only: Optional[Tensor]) -> Tensor:
        return (attend(self.attn, x) if only is None else
                self._attend_from(x, only, False))

    def _mlp(self, x: Tensor) -> Tensor:
        """In few passes, where no part is watched."""
        return quick_gelu_mlp(self.mlp, x) if self._is_plain() else self.mlp(x)


class AdapterBackbone(CLIPVisionBackbone):
    """What both share: layers that are called with adapters of their own.

    The adapters stand beside the tower, whose weights keep a CLIP's names.
    They start as if they were not there.
    """

    block: type  # takes the place of FusedBlock

    def __init__(self, arch, pretrained: Optional[str] = None, *,
                 num_frames: int, **kwargs) -> None:
        super().__init__(arch, pretrained, **kwargs)
        tower, self.num_frames = self.visual, num_frames
        if not reads_class_token(tower):
            raise ValueError(f'arch {arch!r} takes no adapters of '
                             f'{type(self).__name__}, as a ViT of OpenCLIP '
                             'that reads its class token does')
        for block in tower.transformer.resblocks:
            block.__class__ = self.block
        self.adapters = nn.ModuleList()  # of the layers

    def embed_chunk(self, x: Tensor) -> Tensor:
        """Embed frames of whole views, [N*T, 3, H, W] to [N*T, D]."""
        tower, x = self.visual, self._embed_patches(x)
        blocks = tower.transformer.resblocks
        # A hook on the last layer is there to see all of its tokens.
        only = None if blocks[-1]._forward_hooks else x.new_zeros(
            x.shape[0], dtype=torch.long)
        for block, adapters in zip(blocks, self.adapters):
            args = x, adapters, only if block is blocks[-1] else None
            x = checkpoint(block, *args, use_reentrant=False) if (
                self.grad_checkpointing and torch.is_grad_enabled()
            ) else block(*args)
        x = tower.ln_post(x if x.ndim == 2 else x[:, 0])
        return x if tower.proj is None else x @ tower.proj

    def _embed_patches(self, x: Tensor) -> Tensor:
        """Frames to the tokens of the first layer, [N*T, L, W]."""
        return self.visual._embeds(x)
