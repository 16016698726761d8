"""Running OpenCLIP's text tower only as far as its result depends on it.

Letters: S sentences, L tokens, W the tower's width, D the embedding.
"""
from typing import Callable, List, Optional, Sequence, Tuple

import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import TextTransformer
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..architectures import prompt_length
from .class_chunks import (padded_tokens, plan_buckets, restore_order,
                           split_chunks)
from .prompts import DeepPrompts, run_blocks

# Without gradient, pieces of this many tokens stay in the processor's caches.
NO_GRAD_TOKENS = 4096


def is_causal(text: TextTransformer) -> bool:
    """Whether a sentence's embedding depends on no token behind its end."""
    return (text.attn_mask is not None and text.cls_emb is None
            and text.pool_type in ('argmax', 'eos'))


def end_positions(text: TextTransformer, tokens: Tensor) -> Tensor:
    """Index of each sentence's end-of-text token, [S, L] to [S]."""
    if text.pool_type == 'argmax':  # CLIP's end token has the highest id
        return tokens.argmax(dim=-1)
    return (tokens == text.eos_id).int().argmax(dim=-1)


def tokenize(text: TextTransformer, tokenizer: Callable,
             sentences: Sequence[str],
             owners: Sequence[str]) -> Tuple[Tensor, Tensor]:
    """Sentences to token ids, cut after the longest one where that is exact.

    Args:
        text (TextTransformer): The tower that will read them.
        tokenizer (Callable): OpenCLIP's tokenizer.
        sentences (Sequence[str]): S prompts.
        owners (Sequence[str]): The class that each prompt belongs to, for the
            message.

    Returns:
        tuple[Tensor, Tensor]: Ids [S, L] and end positions [S].

    Raises:
        ValueError: A prompt has more tokens than the context.
    """
    tokens = tokenizer(list(sentences), context_length=text.context_length)
    for i in _maybe_cut(tokenizer, tokens):
        sentence, owner = sentences[i], owners[i]
        length = prompt_length(tokenizer, sentence)
        if length > text.context_length:
            raise ValueError(
                f'The prompt of class {owner!r} has {length} tokens, the '
                f'context {text.context_length}: shorten the class text, the '
                f'template or the learnt prompts. It reads: {sentence!r}')
    ends = end_positions(text, tokens)
    if is_causal(text) and len(tokens):
        tokens = tokens[:, :int(ends.max()) + 1].contiguous()
    return tokens, ends


def _maybe_cut(tokenizer: Callable, tokens: Tensor) -> List[int]:
    """Sentences that may be longer than the context. CLIP's own tokenizer
    fills the places behind a shorter one with zeros."""
    if isinstance(tokenizer, SimpleTokenizer):
        return tokens[:, -1].nonzero().flatten().tolist()
    return list(range(len(tokens)))


def encode_tokens(text: TextTransformer,
                  tokens: Tensor,
                  ends: Tensor,
                  prompts: Optional[DeepPrompts] = None,
                  grad_checkpointing: bool = False,
                  max_graph_tokens: Optional[int] = None) -> Tensor:
    """Embed sentences, [S, L] to [S, D], not normalised.

    For a causal tower, no position behind the end-of-text token can reach
    it. So L may be shorter than the context, and sentences run in chunks of
    like length that are cut after their own longest one; the result is the
    same.

    Args:
        text (TextTransformer): The tower.
        tokens (Tensor): Token ids [S, L].
        ends (Tensor): Positions of the end-of-text tokens [S].
        prompts (DeepPrompts, optional): Defaults to None.
        grad_checkpointing (bool): Recompute each layer's activations in the
            backward pass. Defaults to False.
        max_graph_tokens (int, optional): More tokens than this are encoded
            in pieces of a quarter of it, each recomputed in the backward
            pass. Defaults to None: no bound where a gradient is wanted.
    """
    parts = (text, ) if prompts is None else (text, prompts)
    grad = torch.is_grad_enabled() and any(
        p.requires_grad for part in parts for p in part.parameters())
    chunks, lengths, recompute = plan_chunks(text, tokens, ends, grad,
                                             max_graph_tokens)
    embedded = []
    with torch.set_grad_enabled(grad):
        for rows in chunks:
            length = int(lengths[rows].max())
            rows = rows.to(tokens.device)
            args = (text, tokens[rows, :length], ends[rows], prompts,
                    grad_checkpointing)
            # The tower draws no random numbers.
            embedded.append(
                checkpoint(encode_chunk, *args, use_reentrant=False,
                           preserve_rng_state=False)
                if recompute else encode_chunk(*args))
        return restore_order(torch.cat(embedded), chunks)


def plan_chunks(
        text: TextTransformer, tokens: Tensor, ends: Tensor, grad: bool,
        max_graph_tokens: Optional[int]) -> Tuple[list, Tensor, bool]:
    """Chunks, the length of each sentence, and whether chunks are to be
    recomputed in the backward pass."""
    lengths = ends.cpu() + 1 if is_causal(text) else torch.full(
        (len(tokens), ), tokens.shape[1])
    chunks = plan_buckets(lengths, tokens.device.type)
    recompute = grad and max_graph_tokens is not None and (
        padded_tokens(chunks, lengths) > max_graph_tokens)
    if recompute or not grad:
        most = max_graph_tokens or 4 * NO_GRAD_TOKENS
        chunks = split_chunks(chunks, lengths, max(1, most // 4))
    return chunks, lengths, recompute


def encode_chunk(text: TextTransformer, tokens: Tensor, ends: Tensor,
                 prompts: Optional[DeepPrompts],
                 grad_checkpointing: bool) -> Tensor:
    """Embed sentences that run together, [S, L] to [S, D]; see
    :func:`encode_tokens`. No length is looked at, so that it can be
    exported."""
    if not is_causal(text):
        return text(tokens)
    length, dtype = tokens.shape[1], text.transformer.get_cast_dtype()
    x = text.token_embedding(tokens).to(dtype)
    # [S, L, W]
    if prompts is not None:
        n = prompts.length
        x = torch.cat([x[:, :1], prompts.at(0, x), x[:, 1 + n:]], dim=1)
    x = x + text.positional_embedding[:length].to(dtype)
    x = run_blocks(
        text.transformer.resblocks,
        x,
        prompts,
        grad_checkpointing,
        causal=True,
        only=ends)
    x = text.ln_final(x)
    # [S, W]
    if text.text_projection is None:
        return x
    if isinstance(text.text_projection, torch.nn.Linear):
        return text.text_projection(x)
    return x @ text.text_projection


def context_words(init: Optional[str], length: int,
                  tokenizer: Callable) -> Tuple[str, List[int]]:
    """Words that hold the places of learnt context tokens.

    As in the release: the tokens start from ``init`` when it has enough of
    them, and at random otherwise.

    Args:
        init (str, optional): e.g. ``'a photo of a'``.
        length (int): Number of learnt tokens n.
        tokenizer (Callable): CLIP's tokenizer.

    Returns:
        tuple[str, list[int]]: The words to write in front of each class, and
        the token ids to start from (empty for a random start).
    """
    ids = tokenizer.encode(init) if init else []
    if len(ids) >= length:
        return init, ids[:length]
    return ' '.join(['X'] * length), []
