"""The attention weights of an image tower while it runs.

The towers run on ``scaled_dot_product_attention``, which never has the
weights in memory as a whole; here they are made, one layer after the other.

Letters: N frames, L tokens of a frame, W the tower's width, h heads.
"""
import contextlib
from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional, Tuple

import torch
import torch.nn.functional as F
from open_clip.timm_model import TimmModel
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.models.image_backbone import reads_class_token
from projects.vifi_clip.models.prompts import DeepPrompts

_SUPPORTED = ('attention maps need CLIPVisionBackbone or VLDeepPromptBackbone '
              'with a ViT that reads its class token: OpenCLIP\'s own '
              '(ViT-B-32, ViT-B-16, ViT-L-14 ...), or one of timm\'s with '
              "global_pool='token' (EVA02 ...)")


@dataclass
class Tokens:
    """The order of a frame's tokens: class token, perhaps registers, then
    patches row by row, then perhaps prompts.
    """
    grid: Tuple[int, int]  # patches, rows and columns
    first: int  # index of the first patch
    image_size: Tuple[int, int]  # pixels, height and width
    prompts: Optional[DeepPrompts] = None  # at the end

    @property
    def end(self) -> int:
        """Index behind the last patch."""
        return self.first + self.grid[0] * self.grid[1]


class ExplicitAttention(nn.Module):
    """Self-attention with the parameters of an ``nn.MultiheadAttention`` that
    also returns its weights.

    ``need_weights=True`` of the original returns a view that no score depends
    on, so that there is no gradient with respect to it.
    """

    def __init__(self, attn: nn.MultiheadAttention) -> None:
        super().__init__()
        # By the same names, so that a state dict made meanwhile is the same.
        self.in_proj_weight = attn.in_proj_weight
        self.in_proj_bias = attn.in_proj_bias
        self.out_proj, self.num_heads = attn.out_proj, attn.num_heads

    def forward(self, q: Tensor, *args, attn_mask: Optional[Tensor] = None,
                **kwargs) -> Tuple[Tensor, Tensor]:
        """Attend as OpenCLIP's blocks call it, q [N, L, W] being keys and
        values, too; returns [N, L, W] and weights [N, h, L, L]."""
        num, length, width = q.shape
        qkv = F.linear(q, self.in_proj_weight, self.in_proj_bias)
        qkv = qkv.view(num, length, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # [N, L, 3W] -> 3 x [N, h, L, W/h]
        logits = q @ k.transpose(-2, -1) / q.shape[-1]**0.5
        if attn_mask is not None:
            logits = logits + attn_mask
        weights = _differentiable(logits.softmax(dim=-1))
        y = (weights @ v).transpose(1, 2).reshape(num, length, width)
        # [N, h, L, W/h] -> [N, L, W]
        return self.out_proj(y), weights


def _differentiable(weights: Tensor) -> Tensor:
    """Let gradients be taken of weights, even if all is frozen."""
    if torch.is_grad_enabled() and not weights.requires_grad:
        weights.requires_grad_()
    return weights


def token_layout(backbone: nn.Module) -> Tokens:
    """Find the patches among the tokens of a model's image side.

    Raises:
        UserError: It has no class token that attends to patches.
    """
    tower = getattr(backbone, 'visual', None)
    prompts = getattr(backbone, 'prompts', None)
    if isinstance(tower, VisionTransformer):
        if not reads_class_token(tower) or any(
                not isinstance(block, ResidualAttentionBlock)
                or not isinstance(block.attn, nn.MultiheadAttention)
                for block in tower.transformer.resblocks):
            raise UserError(f'{_SUPPORTED}; this tower pools or attends in '
                            'another way')
        return Tokens(tuple(tower.grid_size), 1, tuple(tower.image_size),
                      prompts)
    if isinstance(tower, TimmModel) and _is_timm_vit(tower.trunk):
        patches = tower.trunk.patch_embed
        return Tokens(tuple(patches.grid_size),
                      tower.trunk.num_prefix_tokens,
                      tuple(patches.img_size), prompts)
    name = type(getattr(tower, 'trunk', tower)).__name__
    raise UserError(f'{_SUPPORTED}; this model has {type(backbone).__name__}'
                    + (f' with {name}' if tower is not None else ''))


def _is_timm_vit(trunk: nn.Module) -> bool:
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer as ViT
    return (type(trunk) in (ViT, Eva) and trunk.cls_token is not None
            and trunk.global_pool == 'token'
            and all(hasattr(getattr(block, 'attn', None), 'fused_attn')
                    for block in trunk.blocks))


@contextlib.contextmanager
def recorded_attention(
        backbone: nn.Module,
        keep: Callable[[Tensor], Tensor] = lambda weights: weights
) -> Iterator[List[Tensor]]:
    """Record the attention weights of each layer.

    All is as it was afterwards, also after an error. Frames are neither
    regrouped nor chunked meanwhile, since there are hooks in the tower.
    Nobody else may use the model at the same time.

    Args:
        backbone (nn.Module): As for :func:`token_layout`, which may refuse.
        keep (callable): Weights [N, h, L, L] to what is to be kept of them.
            Defaults to everything, with its graph if gradients are on.

    Yields:
        list[Tensor]: Filled by each forward pass, a tensor for each layer.
    """
    token_layout(backbone)
    record: List[Tensor] = []
    tower = backbone.visual
    with contextlib.ExitStack() as undo:
        # A layer that is run again in the backward pass has no graph.
        for module in backbone, getattr(tower, 'trunk', tower):
            if getattr(module, 'grad_checkpointing', False):
                _set(undo, module, 'grad_checkpointing', False)
        if isinstance(tower, VisionTransformer):
            for block in tower.transformer.resblocks:
                attn = ExplicitAttention(block.attn)
                attn.register_forward_hook(
                    lambda module, args, out: record.append(keep(out[1])))
                _set(undo, block, 'attn', attn)
        else:
            for block in tower.trunk.blocks:
                _set(undo, block.attn, 'fused_attn', False)
                # What goes through it are the weights.
                undo.callback(block.attn.attn_drop.register_forward_hook(
                    lambda module, args, out: record.append(
                        keep(_differentiable(out)))).remove)
        yield record


def _set(undo: contextlib.ExitStack, owner: object, name: str,
         value: object) -> None:
    undo.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)
