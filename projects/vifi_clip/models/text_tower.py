"""Running OpenCLIP's text tower only as far as its result depends on it.

Letters: S sentences, L tokens, W the tower's width, D the embedding.
"""
from typing import Callable, List, Optional, Sequence, Tuple

import torch
from open_clip.transformer import TextTransformer
from torch import Tensor

from .prompts import DeepPrompts, run_blocks
from .towers import prompt_length


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
    for sentence, owner in zip(sentences, owners):
        length = prompt_length(tokenizer, sentence)
        if length > text.context_length:
            raise ValueError(
                f'The prompt of class {owner!r} has {length} tokens, the '
                f'context {text.context_length}: shorten the class text, the '
                f'template or the learnt prompts. It reads: {sentence!r}')
    tokens = tokenizer(list(sentences), context_length=text.context_length)
    ends = end_positions(text, tokens)
    if is_causal(text) and len(tokens):
        tokens = tokens[:, :int(ends.max()) + 1].contiguous()
    return tokens, ends


def encode_tokens(text: TextTransformer,
                  tokens: Tensor,
                  ends: Tensor,
                  prompts: Optional[DeepPrompts] = None,
                  grad_checkpointing: bool = False) -> Tensor:
    """Embed sentences, [S, L] to [S, D], not normalised.

    For a causal tower, L may be shorter than the context: no position behind
    the end-of-text token can reach it, so the result is the same.
    """
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
