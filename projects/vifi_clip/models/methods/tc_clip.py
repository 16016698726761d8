"""Context tokens, of TC-CLIP (arXiv 2404.09490): all frames of a view attend
to what it is about.

Letters: N views, T frames of a view, L tokens of a frame, P of them patches,
M context tokens of a view, W the tower's width, D embedding, h heads.
"""
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..blocks import FusedBlock, heads_of
from ..image_backbone import CLIPVisionBackbone, reads_class_token


class ContextBlock(FusedBlock):
    """A layer in which a frame's tokens look at their own frame and at the
    context of their view, which it makes anew.

    It has the parameters of :class:`FusedBlock`, whose place it takes.
    """

    settings: dict  # see ContextBackbone.context
    num_frames: int  # T

    def forward(self, x: Tensor, context: Optional[Tensor] = None,
                bias: Optional[Tensor] = None, class_alone: bool = False,
                make: bool = True) -> Tuple[Tensor, Optional[Tensor]]:
        """Frame tokens [N*T, L, W] and the context of the layer before,
        [N, M, W], to both of this one.

        ``bias`` [h, 2] is added to the logits of own tokens and of context.
        With ``class_alone``, of a frame the class token is returned, [N*T, 1,
        W]. Without ``make`` no context is, but None.
        """
        if type(self.attn) is not nn.MultiheadAttention:
            raise NotImplementedError(
                'ContextBackbone takes layers with their own attention, not '
                f'with a {type(self.attn).__name__}')
        own = asking = self.ln_1(x)
        if class_alone and not make:
            x, asking = x[:, :1], own[:, :1]
        y, shares = attend_context(
            self.attn, asking, own, None if context is None else
            self.ln_1(context), bias, make)
        x = x + self.ls_1(y)
        context = self._mlp(merge_tokens(
            self._choose(x, shares), self.settings['length'],
            self.settings['step'])) if make else None
        return self._mlp(x[:, :1] if class_alone else x), context

    def _choose(self, x: Tensor, shares: Tensor) -> Tensor:
        """Of each frame's patches those that the class token looks at most,
        the most first: [N*T, 1 + P, W] to [N, T * s, W]."""
        shares = shares[:, 1:x.shape[1]]
        # [N*T, L + M] -> [N*T, P]
        count = int(self.settings['ratio'] * shares.shape[1])
        best = 1 + shares.topk(count, dim=1).indices
        return _take(x, best).unflatten(0, (-1, self.num_frames)).flatten(1, 2)
        # [N*T, s, W] -> [N, T * s, W]

    def _mlp(self, x: Tensor) -> Tensor:
        if self._is_plain():
            return self._add_mlp(x)
        return x + self.ls_2(self.mlp(self.ln_2(x)))


def attend_context(attn: nn.MultiheadAttention, asking: Tensor, own: Tensor,
                   context: Optional[Tensor], bias: Optional[Tensor],
                   shares: bool) -> Tuple[Tensor, Optional[Tensor]]:
    """Run attention of a frame's tokens to their frame and a context.

    Args:
        attn (nn.MultiheadAttention): Of one frame; without dropout.
        asking (Tensor): Tokens [N*T, l, W]; the class token is the first.
        own (Tensor): Tokens [N*T, L, W], the frames of a view in sequence.
        context (Tensor, optional): Tokens [N, M, W].
        bias (Tensor, optional): Of logits of both kinds, [h, 2].
        shares (bool): Whether the class token's attention is wanted.

    Returns:
        tuple: [N*T, l, W], and the class token's attention, the mean of
        its heads, [N*T, L + M], without gradient, or None.
    """
    q, k, v = heads_of(attn, asking, own)
    mask = None
    if context is not None:
        _, *given = heads_of(attn, context[:, :0], context)
        frames, sizes = len(own) // len(context), (own.shape[1],
                                                   context.shape[1])
        k, v = (torch.cat([x, y.repeat_interleave(frames, 0)], dim=2)
                for x, y in zip((k, v), given))
        # [N*T, h, L, W/h] and [N, h, M, W/h] -> [N*T, h, L + M, W/h]
        mask = torch.cat([b.expand(-1, n) for b, n in zip(
            bias.split(1, dim=1), sizes)], dim=1)[None, :, None].to(q.dtype)
        # [h, 2] -> [1, h, 1, L + M]
    attention = None
    if shares:
        with torch.no_grad():
            logits = q[:, :, :1] @ k.mT * q.shape[-1]**-0.5
            if mask is not None:
                logits = logits + mask
            attention = logits.softmax(-1).mean(1)[:, 0]
            # [N*T, h, 1, L + M] -> [N*T, L + M]
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return attn.out_proj(y.transpose(1, 2).flatten(2)), attention
    # [N*T, h, l, W/h] -> [N*T, l, W]


def merge_tokens(x: Tensor, length: int, step: int) -> Tensor:
    """Merge those that are alike, [N, n, W] to [N, length, W].

    ToMe's bipartite matching (arXiv 2210.09461), by the tokens themselves: of
    those in even places, the ``step`` that are most like one in an odd place
    are averaged into it, and so on with the rest until ``length`` are left.
    Means are weighted by how many a token stands for. The choice has no
    gradient, the means have.
    """
    sums = torch.cat([x.float(), x.new_ones(*x.shape[:2], 1).float()], -1)
    # [N, n, W + 1]: a sum of tokens, and of how many
    while sums.shape[1] > length:
        count = min(step, sums.shape[1] - length, sums.shape[1] // 2)
        with torch.no_grad():
            unit = F.normalize(sums[..., :-1], dim=-1)
            likeness, target = (unit[:, ::2] @ unit[:, 1::2].mT).max(-1)
            order = likeness.argsort(dim=1, descending=True, stable=True)
        gone, kept = order[:, :count], order[:, count:]
        even, odd = sums[:, ::2], sums[:, 1::2]
        target = target.gather(1, gone)[..., None].expand(
            -1, -1, sums.shape[-1])
        # [N, count, W + 1]
        odd = odd.scatter_add(1, target, _take(even, gone))
        sums = torch.cat([_take(even, kept), odd], dim=1)
    return (sums[..., :-1] / sums[..., -1:]).to(x.dtype)


def _take(x: Tensor, rows: Tensor) -> Tensor:
    """Tokens at positions, [N, n, W] and [N, m] to [N, m, W]."""
    return x.gather(1, rows[..., None].expand(-1, -1, x.shape[-1]))


@MODELS.register_module()
class ContextBackbone(CLIPVisionBackbone):
    """CLIP's image tower whose frames attend to a context of their view.

    In each layer, the patches that the class tokens look at most are merged
    to a few tokens; from the next layer on, all frames' keys and values are
    their own and those ("temporal contextualization" of TC-CLIP).

    Args:
        arch (str | dict): With a ViT of OpenCLIP that reads its class token.
        pretrained (str, optional): A CLIP, for the tower.
        num_frames (int): T of a view, whose frames come in sequence. None, in
            a config: the head's.
        length (int): M. Defaults to 96.
        ratio (float): Share of a frame's patches that are merged. Defaults to
            0.3.
        step (int): The most tokens that go at a time. Defaults to 100.
        give_context (bool): Return [N*T, 1 + M, D], the context beside each
            frame's embedding; no gradient comes back through it. Defaults to
            False: [N*T, D].
        kwargs: As :class:`CLIPVisionBackbone`.

    Raises:
        ValueError: A tower without such layers; more context tokens than
            there are to merge.
    """

    def __init__(self, arch, pretrained: Optional[str] = None, *,
                 num_frames: int, length: int = 96, ratio: float = 0.3,
                 step: int = 100, give_context: bool = False,
                 **kwargs) -> None:
        super().__init__(arch, pretrained, **kwargs)
        tower = self.visual
        if not reads_class_token(tower) or tower.proj is None:
            raise ValueError(f'arch {arch!r} has no layers whose frames can '
                             'attend to a context, as a ViT that reads its '
                             'class token')
        patches = tower.grid_size[0] * tower.grid_size[1]
        seeds = num_frames * int(ratio * patches)
        if length < 1 or step < 1 or length > seeds:
            raise ValueError(
                f'backbone.length={length}, step={step}: a context has at '
                f'least 1 token, and at most the {seeds} that it is merged '
                f'from (ratio={ratio} of {patches} patches in {num_frames} '
                'frames)')
        self.num_frames, self.give_context = num_frames, give_context
        self.context = dict(length=length, ratio=ratio, step=step)
        blocks = tower.transformer.resblocks
        for block in blocks:
            block.__class__ = ContextBlock
            block.settings, block.num_frames = self.context, num_frames
        # The first layer has no context.
        self.context_bias = nn.Parameter(
            torch.empty(len(blocks) - 1, blocks[0].attn.num_heads, 2))
        nn.init.normal_(self.context_bias, std=0.02)
        if self.frozen:
            self.requires_grad_(False)

    def embed_chunk(self, x: Tensor) -> Tensor:
        """Embed frames of whole views, [N*T, 3, H, W] to [N*T, D] or
        [N*T, 1 + M, D]."""
        tower, context = self.visual, None
        x, blocks = tower._embeds(x), tower.transformer.resblocks
        for layer, block in enumerate(blocks):
            bias = self.context_bias[layer - 1] if layer else None
            last = layer == len(blocks) - 1
            # A hook on the last layer is there to see all of its tokens.
            args = (x, context, bias, last and not block._forward_hooks,
                    self.give_context or not last)
            x, context = checkpoint(block, *args, use_reentrant=False) if (
                self.grad_checkpointing and torch.is_grad_enabled()
            ) else block(*args)
        frames = tower.ln_post(x[:, 0]) @ tower.proj
        if not self.give_context:
            return frames
        context = (tower.ln_post(context) @ tower.proj).detach()
        # [N, M, W] -> [N, M, D]
        return torch.cat([frames[:, None], context.repeat_interleave(
            self.num_frames, 0)], dim=1)
