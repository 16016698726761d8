"""OpenCLIP's image tower rebuilt for inference with token merging or int8.

Letters: N frames, L tokens, W the tower's width, h heads, D the embedding.
"""
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from .blocks import FusedBlock
from .prompts import DeepPrompts
from .token_merging import merge_patches


def _linear(weight: Tensor, bias: Optional[Tensor]) -> nn.Linear:
    """A linear layer that shares its parameters."""
    linear = nn.Linear(*reversed(weight.shape), device='meta')
    linear.weight, linear.bias = weight, bias
    return linear


class InferenceBlock(nn.Module):
    """One layer whose every product is an ``nn.Linear`` of its own (those of
    ``nn.MultiheadAttention`` cannot be quantised), and whose keys are seen.

    Args:
        block (ResidualAttentionBlock): The layer to take the parts of.
    """

    def __init__(self, block: ResidualAttentionBlock) -> None:
        super().__init__()
        attn = block.attn
        self.num_heads = attn.num_heads
        self.ln_1, self.ls_1 = block.ln_1, block.ls_1
        self.ln_2, self.ls_2, self.mlp = block.ln_2, block.ls_2, block.mlp
        self.qkv = _linear(attn.in_proj_weight, attn.in_proj_bias)
        self.out = _linear(attn.out_proj.weight, attn.out_proj.bias)

    def forward(self,
                x: Tensor,
                sizes: Optional[Tensor] = None,
                r: int = 0,
                num_last: int = 0) -> Tuple[Tensor, Optional[Tensor]]:
        """Attention, merging, MLP.

        Args:
            x (Tensor): [N, L, W].
            sizes (Tensor, optional): Patches in each token, [N, L]. None
                stands for 1 everywhere.
            r (int): Tokens to merge.
            num_last (int): Prompts at the end, which do not merge.

        Returns:
            tuple: [N, L - r, W] and the new sizes.
        """
        y, k = self._attend(self.ln_1(x), sizes)
        x = x + self.ls_1(y)
        if r:
            if sizes is None:
                sizes = x.new_ones(x.shape[:2], dtype=torch.float32)
            x, sizes = merge_patches(x, k.mean(1), sizes, r, num_last)
        return x + self.ls_2(self._mlp(self.ln_2(x))), sizes

    def last(self, x: Tensor, sizes: Optional[Tensor]) -> Tensor:
        """The class token alone, [N, L, W] to [N, W], of the last layer."""
        y, _ = self._attend(self.ln_1(x), sizes, num_queries=1)
        x = x[:, 0] + self.ls_1(y[:, 0])
        return x + self.ls_2(self._mlp(self.ln_2(x)))

    def _attend(self, x: Tensor, sizes: Optional[Tensor],
                num_queries: Optional[int] = None) -> Tuple[Tensor, Tensor]:
        num, length, width = x.shape
        qkv = self.qkv(x).view(num, length, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # [N, L, 3W] -> 3 x [N, h, L, W/h]
        mask = None
        if sizes is not None:  # "proportional attention", section 3.1
            mask = sizes.log().to(q.dtype)[:, None, None]
            # [N, L] -> [N, 1, 1, L]
        y = F.scaled_dot_product_attention(
            q[:, :, :num_queries], k, v, attn_mask=mask)
        return self.out(y.transpose(1, 2).flatten(2)), k

    def _mlp(self, x: Tensor) -> Tensor:
        if type(self.mlp.c_fc) is nn.Linear:
            return FusedBlock._mlp(self, x)  # reads self.mlp alone
        return self.mlp(x)


class InferenceTower(nn.Module):
    """The image tower for inference, frames [N, 3, H, W] to [N, D].

    Takes the place of the tower that it was made of, with the same
    parameters, and equals it as long as nothing is merged or quantised.

    Args:
        tower (VisionTransformer): Its layers move into this one.
        prompts (DeepPrompts, optional): Deep vision prompts.
        token_merging (int): r, how many tokens each layer but the last
            merges. Defaults to 0.

    Raises:
        ValueError: Another kind of tower or layer.
    """

    def __init__(self,
                 tower: nn.Module,
                 prompts: Optional[DeepPrompts] = None,
                 token_merging: int = 0) -> None:
        super().__init__()
        check_tower(tower)
        self.blocks = nn.ModuleList(
            InferenceBlock(block) for block in tower.transformer.resblocks)
        tower.transformer = nn.Identity()
        self.tower, self.prompts = tower, prompts
        self.token_merging = token_merging

    def forward(self, x: Tensor) -> Tensor:
        """Embed frames, each on its own."""
        tower, sizes, n = self.tower, None, 0
        x = tower._embeds(x)
        # [N, L, W], ln_pre done
        if self.prompts is not None:
            n = self.prompts.length
            x = torch.cat([x, tower.ln_pre(self.prompts.at(0, x))], dim=1)
        for layer, block in enumerate(self.blocks):
            if self.prompts is not None:
                x = self.prompts.replace(layer, x)
            if layer == len(self.blocks) - 1:
                x = block.last(x, sizes)
            else:
                x, sizes = block(x, sizes, self.token_merging, n)
        x = tower.ln_post(x)
        # [N, W]
        return x if tower.proj is None else x @ tower.proj


def check_tower(tower: nn.Module) -> None:
    """Refuse a tower that :class:`InferenceTower` cannot run."""
    if not isinstance(tower, VisionTransformer):
        raise ValueError('token_merging needs an image tower of OpenCLIP\'s '
                         f'own kind (VisionTransformer), not '
                         f'{type(tower).__name__}; set token_merging=0')
    if tower.attn_pool is not None or tower.pool_type != 'tok':
        raise ValueError('token_merging needs a tower that reads its class '
                         f'token; this one has pool_type='
                         f'{tower.pool_type!r}; set token_merging=0')
    for block in tower.transformer.resblocks:
        if not isinstance(block, ResidualAttentionBlock):
            raise ValueError('token_merging cannot run layers of type '
                             f'{type(block).__name__}; set token_merging=0')
