"""Modules that let the frames of a video see each other, for the head's
``temporal``: frame embeddings [N, T, D] to the same.

Each is built with ``embed_dim`` (D) beside its own arguments. Letters: N views
of all videos, T frames, D embedding.
"""
from functools import partial
from typing import Optional

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn

from .blocks import fuse_blocks, run_blocks


@MODELS.register_module()
class TemporalTransformer(BaseModule):
    """Frame positions and pre-norm attention blocks over time, as ActionCLIP,
    X-CLIP's MIT and Ju et al. have them.

    Args:
        embed_dim (int): D.
        max_frames (int): Rows of the position table; T may be smaller.
            None, in a config: the head's ``num_frames``.
        depth (int): Blocks.
        num_heads (int, optional): None: one for 64 channels. Defaults
            to 8.
        residual (bool): Add the input, without positions, to the output.
            Defaults to True.
        eps (float): Of the LayerNorms. Defaults to 1e-5.
        std (float, optional): Standard deviation from which linear layers
            start, with biases of zero; the joint query, key and value
            projection keeps PyTorch's start. None: all of them do. Defaults
            to 0.02.
        position_std (float): Of the positions' start. Defaults to 0.02.

    Raises:
        ValueError: D is no multiple of ``num_heads``; more frames than
            positions.
    """

    def __init__(self, embed_dim: int, max_frames: int, depth: int,
                 num_heads: Optional[int] = 8, residual: bool = True,
                 eps: float = 1e-5,
                 std: Optional[float] = 0.02, position_std: float = 0.02,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg=init_cfg)
        num_heads = num_heads or max(embed_dim // 64, 1)
        if embed_dim % num_heads:
            raise ValueError(f'embed_dim {embed_dim} is not a multiple of '
                             f'num_heads={num_heads}')
        self.residual = residual
        self.positions = nn.Embedding(max_frames, embed_dim)
        self.blocks = nn.ModuleList(
            ResidualAttentionBlock(
                embed_dim, num_heads, act_layer=QuickGELU,
                norm_layer=partial(nn.LayerNorm, eps=eps))
            for _ in range(depth))
        nn.init.normal_(self.positions.weight, std=position_std)
        for module in self.blocks.modules() if std else ():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)
        fuse_blocks(self.blocks)
        self.frame_counts = 1, max_frames  # the least and the most T

    def forward(self, x: Tensor) -> Tensor:
        """Let frames [N, T, D] see each other."""
        num_frames, most = x.shape[1], len(self.positions.weight)
        if num_frames > most:
            raise ValueError(f'{num_frames} frames are more than the {most} '
                             'positions that were learnt (max_frames)')
        y = run_blocks(self.blocks, x + self.positions.weight[:num_frames])
        return x + y if self.residual else y
