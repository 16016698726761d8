"""The layers of OpenCLIP's towers: one block in fewer passes, deep prompt
tokens, and the loop.

Letters: N sequences, L tokens, W the tower's width, h heads.
"""
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.utils.checkpoint import checkpoint

QUICK_GELU = 1.702  # x * sigmoid(1.702 x), CLIP's activation


class FusedBlock(ResidualAttentionBlock):
    """OpenCLIP's block with the same parameters and the same result.

    ``nn.MultiheadAttention`` has several paths inside, and which one runs
    depends on the mode, on gradients and on autocast; under autocast and
    ``inference_mode`` it takes one that is six times slower on CPU. This
    forward always goes the same short way:

    - one matrix product for queries, keys and values, then
      ``scaled_dot_product_attention``;
    - QuickGELU as SiLU between two products that carry its scale: one pass
      in place of three, and one kept activation in place of two;
    - residual sums in place where no gradient is wanted;
    - in a tower's last block, queries and MLP of the one token that is read.

    The class of a finished block is exchanged (:func:`fuse_blocks`), so that
    parameters, names, hooks and checkpoints stay as they are. A block whose
    parts were replaced or have hooks runs OpenCLIP's own forward.
    """

    def forward(self, q_x: Tensor, k_x: Optional[Tensor] = None,
                v_x: Optional[Tensor] = None,
                attn_mask: Optional[Tensor] = None, is_causal: bool = False,
                only: Optional[Tensor] = None) -> Tensor:
        """As OpenCLIP's: [N, L, W] to [N, L, W], with an ``attn_mask`` of
        [L, L] or [N*h, L, L].

        ``is_causal``, no token sees a later one, takes the place of the
        causal ``attn_mask``. ``only`` are positions [N] of the one token of
        each sequence whose output is returned, [N, W]; not with a mask.
        """
        if k_x is not None or v_x is not None or not self._is_plain():
            if is_causal and attn_mask is None:
                attn_mask = causal_mask(q_x)
            x = super().forward(q_x, k_x, v_x, attn_mask)
            return x if only is None else pick(x, only)
        if only is None:
            y = attend(self.attn, self.ln_1(q_x), attn_mask, is_causal)
        else:
            y = self._attend_from(self.ln_1(q_x), only, is_causal)
            q_x = pick(q_x, only)
        return self._add_mlp(q_x + self.ls_1(y))

    def _add_mlp(self, x: Tensor) -> Tensor:
        y = self.ls_2(quick_gelu_mlp(self.mlp, self.ln_2(x)))
        # x is new and nobody else's; only a gradient of ln_2 needs it again.
        return x + y if torch.is_grad_enabled() else x.add_(y)

    def _is_plain(self) -> bool:
        attn, mlp = self.attn, self.mlp
        if len(mlp) != 3 or type(attn) is not nn.MultiheadAttention:
            return False
        parts = (self.ln_1, self.ln_2, attn, attn.out_proj, mlp, *mlp)
        return (attn.batch_first and attn.in_proj_weight is not None
                and not attn.dropout
                and all(type(linear) in (nn.Linear,
                                         NonDynamicallyQuantizableLinear)
                        for linear in (attn.out_proj, mlp.c_fc, mlp.c_proj))
                and not any(map(_is_watched, parts)))

    def _attend_from(self, x: Tensor, only: Tensor, is_causal: bool) -> Tensor:
        """What one token of each sequence takes from all, [N, W]."""
        attn, mask = self.attn, None
        num, length, width = x.shape
        q, k, v = heads_of(attn, pick(x, only)[:, None], x)
        # [N, h, 1, W/h] and 2 x [N, h, L, W/h]
        if is_causal:
            mask = torch.arange(length, device=x.device) <= only[:, None]
            mask = mask[:, None, None]
            # [N, L] -> [N, 1, 1, L]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        y = y.reshape(num, width)
        # [N, h, 1, W/h] -> [N, W]
        return F.linear(y, attn.out_proj.weight, attn.out_proj.bias)


def heads_of(attn: nn.MultiheadAttention, asking: Tensor,
             asked: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """Project tokens that ask, [M, l, W], to queries [M, h, l, W/h], and
    those that are asked, [N, L, W], to keys and values [N, h, L, W/h]."""
    weight, bias = attn.in_proj_weight, attn.in_proj_bias
    parts = [asking.shape[-1], 2 * asking.shape[-1]]
    w_q, w_kv = weight.split(parts)
    b_q, b_kv = (None, None) if bias is None else bias.split(parts)
    q = F.linear(asking, w_q, b_q).unflatten(-1, (attn.num_heads, -1))
    kv = F.linear(asked, w_kv, b_kv).unflatten(-1, (2, attn.num_heads, -1))
    k, v = kv.permute(2, 0, 3, 1, 4)
    return q.transpose(1, 2), k, v
    # [M, l, W] -> [M, h, l, W/h]; [N, L, 2W] -> 2 x [N, h, L, W/h]


def attend(attn: nn.MultiheadAttention, x: Tensor,
           attn_mask: Optional[Tensor] = None,
           is_causal: bool = False) -> Tensor:
    """Run self-attention without dropout, [N, L, W] to the same, always on
    one path; see :class:`FusedBlock`."""
    num, length, width = x.shape
    qkv = F.linear(x, attn.in_proj_weight, attn.in_proj_bias)
    qkv = qkv.view(num, length, 3, attn.num_heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    # [N, L, 3W] -> 3 x [N, h, L, W/h]
    if attn_mask is not None:
        attn_mask = attn_mask.to(q.dtype)
        if attn_mask.ndim == 3:
            attn_mask = attn_mask.view(num, -1, length, length)
            # [N*h, L, L] -> [N, h, L, L]
    y = F.scaled_dot_product_attention(
        q, k, v, attn_mask=attn_mask, is_causal=is_causal)
    y = y.transpose(1, 2).reshape(num, length, width)
    # [N, h, L, W/h] -> [N, L, W]
    return F.linear(y, attn.out_proj.weight, attn.out_proj.bias)


def quick_gelu_mlp(mlp: nn.Sequential, x: Tensor) -> Tensor:
    """A block's MLP, [..., W] to [..., W], with QuickGELU in one pass."""
    fc, act, proj = mlp
    if (type(act) is not QuickGELU or fc.bias is None or proj.bias is None
            or torch.compiler.is_exporting()):
        # Export plain operators: the runtime fuses and quantises them itself.
        return mlp(x)
    shape = x.shape
    x = x.reshape(-1, shape[-1])
    # [N, L, W] -> [N*L, W]
    x = torch.addmm(
        fc.bias, x, fc.weight.t(), beta=QUICK_GELU, alpha=QUICK_GELU)
    x = F.silu(x, inplace=not torch.is_grad_enabled())
    # silu(1.702 x) / 1.702 = x * sigmoid(1.702 x)
    x = torch.addmm(proj.bias, x, proj.weight.t(), alpha=1 / QUICK_GELU)
    return x.view(shape)


def _is_watched(part: nn.Module) -> bool:
    """Whether a call of this module is more than its class's forward."""
    return bool(part._forward_hooks or part._forward_pre_hooks
                or part._backward_hooks or part._backward_pre_hooks
                or 'forward' in part.__dict__)


class DeepPrompts(nn.Module):
    """Learnt tokens of one tower, [depth, n, width].

    ViFi-CLIP section 5, "bridge and prompt": n learnt tokens enter the
    sequence at the first layer, and each of the next ``depth - 1`` layers puts
    its own n tokens in their place.

    ``length`` is n, the tokens of each layer; ``depth`` says how many layers,
    counted from the first, have their own; ``start`` is the index of the first
    prompt in the sequence, and None puts them at the end.
    """

    def __init__(self, length: int, depth: int, width: int, num_layers: int,
                 start: Optional[int] = None) -> None:
        super().__init__()
        if type(length) is not int or length < 1:
            raise ValueError(f'prompts.length must be a whole number of at '
                             f'least 1, got {length!r}')
        if type(depth) is not int or not 1 <= depth <= num_layers:
            raise ValueError(f'prompts.depth must be in 1..{num_layers} (the '
                             f'layers of this tower), got {depth!r}')
        self.length, self.depth, self.start = length, depth, start
        self.tokens = nn.Parameter(torch.empty(depth, length, width))
        nn.init.normal_(self.tokens, std=0.02)  # as in the release

    def at(self, layer: int, x: Tensor) -> Tensor:
        """The tokens of one layer for a batch, [N, n, width]."""
        return self.tokens[layer].to(x.dtype).expand(x.shape[0], -1, -1)

    def embed(self, x: Tensor, ends: Tensor) -> Tensor:
        """Put the first layer's tokens behind the start of embedded sentences
        [S, L, width], in the place of words."""
        return torch.cat([x[:, :1], self.at(0, x), x[:, 1 + self.length:]], 1)

    def replace(self, layer: int, x: Tensor) -> Tensor:
        """Put the tokens of the layer that is about to run in the place of
        the previous layer's, [N, L, width] to the same."""
        if not 0 < layer < self.depth:
            return x  # layer 0 got its tokens with the embeddings
        start = x.shape[1] - self.length if self.start is None else self.start
        parts = [x[:, :start], self.at(layer, x), x[:, start + self.length:]]
        return torch.cat(parts, dim=1)


def check_prompt_cfg(prompts: dict, known: Sequence[str]) -> dict:
    """A copy of a ``prompts`` setting without misspelled or missing keys."""
    if not isinstance(prompts, dict):
        raise ValueError('prompts must be a dict with length and depth, got '
                         f'{prompts!r}')
    unknown = sorted(set(prompts) - set(known))
    lacking = [k for k in ('length', 'depth') if k not in prompts]
    if unknown or lacking:
        raise ValueError(f'prompts={dict(prompts)} has unknown keys {unknown} '
                         f'and lacks {lacking}; it takes {list(known)}.')
    return dict(prompts)


def run_blocks(blocks: Sequence[nn.Module], x: Tensor,
               prompts: Optional[DeepPrompts] = None,
               grad_checkpointing: bool = False, causal: bool = False,
               only: Optional[Tensor] = None) -> Tensor:
    """Run a tower's layers one by one, with prompts in between, for which
    OpenCLIP has no hook. Without any this equals OpenCLIP's own loop, in whose
    place it checkpoints, too.

    Takes [N, L, W], and gives the same, or [N, W] with ``only``, the position
    [N] of the one token of each sequence that is read of the last layer.
    ``causal``: no token sees a later one.
    """
    for layer, block in enumerate(blocks):
        if prompts is not None:
            x = prompts.replace(layer, x)
        fused, options = isinstance(block, FusedBlock), {}
        if causal:
            options = dict(is_causal=True) if fused else dict(
                attn_mask=causal_mask(x))
        # A hook on the last layer is there to see all of its tokens.
        if (only is not None and layer == len(blocks) - 1 and fused
                and not block._forward_hooks):
            options['only'] = only
        if grad_checkpointing and torch.is_grad_enabled():
            x = checkpoint(block, x, use_reentrant=False, **options)
        else:
            x = block(x, **options)
    return x if only is None or x.ndim == 2 else pick(x, only)


def pick(x: Tensor, only: Tensor) -> Tensor:
    """One token of each sequence, [N, L, W] and [N] to [N, W]."""
    # Not len(x), which would fix the batch size of an exported graph.
    return x[torch.arange(x.shape[0], device=x.device), only]


def causal_mask(x: Tensor) -> Tensor:
    """The additive mask [L, L] under which no token sees a later one."""
    return x.new_full((x.shape[1], x.shape[1]), float('-inf')).triu_(1)


def fuse_blocks(tower: nn.Module) -> nn.Module:
    """Let every plain OpenCLIP block of a tower run as :class:`FusedBlock`;
    returns the same tower."""
    for module in tower.modules():
        if type(module) is ResidualAttentionBlock and not hasattr(
                module, 'ln_1_kv'):
            module.__class__ = FusedBlock
    return tower
