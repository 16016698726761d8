"""Prompts that depend on the video, of TC-CLIP (arXiv 2404.09490).

Letters: N views, K classes, L tokens of a sentence, n of them prompts, M
context tokens of a view, W the text tower's width, D embedding, h heads.
"""
import copy
from typing import Optional

import torch
from mmaction.registry import MODELS
from open_clip.transformer import ResidualAttentionBlock, TextTransformer
from torch import Tensor

from ..blocks import DeepPrompts, FusedBlock, heads_of, pick, run_blocks
from ..text_classifier import CLIPTextClassifier
from ..text_tower import embed_words, project_ends


class PromptedBlock(FusedBlock):
    """The last layer of a text tower, with prompts of each video.

    Of it only the end of a sentence is read. No other token has seen the
    video, so that queries, keys and values of a class serve all videos, and
    those of a video's prompts all classes. It has the parameters of
    :class:`FusedBlock`, whose place it takes.
    """

    def forward(self, q_x: Tensor, *args, prompts: Optional[Tensor] = None,
                ends: Optional[Tensor] = None, **kwargs) -> Tensor:
        """Sentences [K, L, W] with ``ends`` [K], and ``prompts`` [N, n, W]
        in the place of their tokens 1 to n, to ends [N, K, W]."""
        if prompts is None:
            return super().forward(q_x, *args, **kwargs)
        own, theirs = self.ln_1(q_x), self.ln_1(prompts)
        q, k, v = heads_of(self.attn, pick(own, ends)[:, None], own)
        # [K, h, 1, W/h] and 2 x [K, h, L, W/h]
        _, prompt_k, prompt_v = heads_of(self.attn, theirs[:, :0], theirs)
        # 2 x [N, h, n, W/h]
        q = q * q.shape[-1]**-0.5
        place = torch.arange(q_x.shape[1], device=q_x.device)
        hidden = (place > ends[:, None]) | (
            (place > 0) & (place <= prompts.shape[1]))
        # [K, L]: behind the end, and where prompts stand
        logits = (q @ k.mT)[:, :, 0].masked_fill(
            hidden[:, None], float('-inf'))
        # [K, h, L]
        weights = torch.cat([
            logits.expand(len(prompts), *logits.shape),
            torch.einsum('khd,nhmd->nkhm', q[:, :, 0], prompt_k)],
            dim=-1).softmax(-1)
        # [N, K, h, L + n]
        weights = weights.split([len(place), prompts.shape[1]], dim=-1)
        y = (torch.einsum('nkhl,khld->nkhd', weights[0], v)
             + torch.einsum('nkhm,nhmd->nkhd', weights[1], prompt_v))
        x = pick(q_x, ends) + self.ls_1(self.attn.out_proj(y.flatten(2)))
        # [N, K, h, W/h] -> [N, K, W]
        return self._add_mlp(x)


def encode_before_last(text: TextTransformer, tokens: Tensor, ends: Tensor,
                       prompts: DeepPrompts,
                       grad_checkpointing: bool) -> Tensor:
    """Run sentences [K, L] through all layers but the last: [K, L, W]."""
    return run_blocks(
        text.transformer.resblocks[:-1],
        embed_words(text, tokens, ends, prompts), prompts, grad_checkpointing,
        causal=True)


@MODELS.register_module()
class VideoTextClassifier(CLIPTextClassifier):
    """The text side, whose learnt prompts look at the video.

    Before the tower's last layer, which runs for each video and class, a
    layer that begins as a copy of it lets the prompts of the sentences look
    at the context of the video ("video-conditional prompting"). What it
    returns, keeps and shares among processes are the classes' tokens before
    that, [K, L * W]; :meth:`condition` goes on from there.

    Args:
        prompts (dict): ``length``, ``init`` and ``depth``, which is 1.
        kwargs: As :class:`CLIPTextClassifier`; each class has one sentence.

    Raises:
        ValueError: A text tower without such layers, or of another width
            than the embedding; several sentences of a class.
    """

    encode = staticmethod(encode_before_last)

    def __init__(self, arch, *args, prompts: dict, **kwargs) -> None:
        super().__init__(arch, *args, prompts=prompts,
                         **dict(kwargs, normalize=False))
        text, blocks = self.text, self.text.transformer.resblocks
        if type(self.prompts) is not DeepPrompts or self.prompts.depth != 1:
            raise ValueError('prompts of a video stand in the first layer, '
                             'as dict(length=4, depth=1)')
        if text.width != self.embed_dim or type(blocks[-1]) is not FusedBlock:
            raise ValueError(
                f'the text tower of arch {arch!r} takes no prompts of a video,'
                f' of {self.embed_dim} channels: its layers are not of that '
                'width, or not plain (CONTEXT_PROMPTS=off)')
        blocks[-1].__class__ = PromptedBlock
        # OpenCLIP's cross-attention, with its own norm of the context
        self.prompt_layer = copy.deepcopy(blocks[-1])
        self.prompt_layer.__class__ = ResidualAttentionBlock
        self.prompt_layer.ln_1_kv = copy.deepcopy(blocks[-1].ln_1)
        if self.frozen:
            self.requires_grad_(False)

    @property
    def row_size(self) -> int:
        """Values of a class that :meth:`forward` returns, L * W."""
        return self.tokens.shape[1] * self.text.width

    def _tokens(self, names, *args) -> tuple:
        sentences = super()._tokens(names, *args)
        if len(sentences[0]) != len(names):
            raise ValueError('prompts of a video go with one sentence of each '
                             f'class, not {len(sentences[0])} of {len(names)} '
                             'classes (TEMPLATE, DESCRIPTIONS)')
        return sentences

    def _encode_sentences(self, *args) -> Tensor:
        return super()._encode_sentences(*args).flatten(1)
        # [K, L, W] -> [K, L * W]

    def condition(self, classes: Tensor, context: Tensor) -> Tensor:
        """Embed the classes for videos, not normalised.

        Args:
            classes (Tensor): [K, L * W] of :meth:`forward`.
            context (Tensor): [N, M, D], without gradient.

        Returns:
            Tensor: [N, K, D].
        """
        text = self.text
        x = classes.unflatten(1, (-1, text.width))
        # [K, L * W] -> [K, L, W]
        # No prompt has seen the words behind it: all classes have the same.
        prompts = x[:1, 1:1 + self.prompts.length].expand(
            len(context), -1, -1)
        prompts = self.prompt_layer(prompts, context, context)
        # [N, n, W]
        dtype = text.transformer.get_cast_dtype()
        return project_ends(text, text.transformer.resblocks[-1](
            x.to(dtype), prompts=prompts.to(dtype), ends=self.ends)).float()
