"""OpenCLIP's text tower, run only as far as its result depends on it.

For a causal tower, no position behind the end-of-text token can reach it, so
that tokens may be cut there. Work and memory grow with the length to which
sentences that run together are padded, so those of like length go together.

Letters: S sentences, L tokens, W the tower's width, D the embedding.
"""
from itertools import accumulate
from typing import Callable, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import TextTransformer
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..architectures import check_prompt
from .blocks import DeepPrompts, run_blocks

# Without gradient, pieces of this many tokens stay in the processor's caches.
NO_GRAD_TOKENS = 4096
MOST_BUCKETS = 4


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
    """Sentences to token ids [S, L], cut after the longest one where that is
    exact, and end positions [S]. ValueError, with its class of ``owners``
    [S], for a sentence of more tokens than the context."""
    tokens = tokenizer(list(sentences), context_length=text.context_length)
    suspects = range(len(tokens))
    if isinstance(tokenizer, SimpleTokenizer):
        # It fills the places behind a shorter sentence with zeros.
        suspects = tokens[:, -1].nonzero().flatten().tolist()
    for i in suspects:
        check_prompt(tokenizer, sentences[i], owners[i], text.context_length)
    ends = end_positions(text, tokens)
    if is_causal(text) and len(tokens):
        tokens = tokens[:, :int(ends.max()) + 1].contiguous()
    return tokens, ends


def encode_tokens(text: TextTransformer, tokens: Tensor, ends: Tensor,
                  prompts: Optional[DeepPrompts] = None,
                  grad_checkpointing: bool = False,
                  max_graph_tokens: Optional[int] = None,
                  encode: Optional[Callable[..., Tensor]] = None) -> Tensor:
    """Embed token ids [S, L] with ends of text at [S], as [S, D], not
    normalised; L may be shorter than the context of a causal tower.

    ``grad_checkpointing`` recomputes each layer's activations in the backward
    pass. More than ``max_graph_tokens`` are encoded in pieces of a quarter of
    it, each recomputed in the backward pass; None is no bound. ``encode``, in
    the place of :func:`encode_chunk`, may return all tokens, [S, L, W]; those
    of shorter chunks are padded.
    """
    encode = encode or encode_chunk
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
            x = checkpoint(
                encode, *args, use_reentrant=False, preserve_rng_state=False
            ) if recompute else encode(*args)
            embedded.append(x if x.ndim == 2 else F.pad(
                x, (0, 0, 0, tokens.shape[1] - length)))
        order = torch.cat(chunks).argsort().to(tokens.device)
        return torch.cat(embedded).index_select(0, order)


def plan_chunks(
        text: TextTransformer, tokens: Tensor, ends: Tensor, grad: bool,
        max_graph_tokens: Optional[int]) -> Tuple[list, Tensor, bool]:
    """Chunks (indices of the sentences of each), the length of each sentence,
    and whether chunks are to be recomputed in the backward pass."""
    lengths = ends.cpu() + 1 if is_causal(text) else torch.full(
        (len(tokens), ), tokens.shape[1])
    chunks = plan_buckets(lengths, tokens.device.type)
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in chunks)
    recompute = grad and max_graph_tokens is not None and (
        padded > max_graph_tokens)
    if recompute or not grad:
        most = max(1, (max_graph_tokens or 4 * NO_GRAD_TOKENS) // 4)
        # A piece has one sentence at least.
        chunks = [piece for rows in chunks for piece in rows.split(
            max(1, most // int(lengths[rows].max())))]
    return chunks, lengths, recompute


def plan_buckets(lengths: Tensor, device_type: str = 'cpu') -> List[Tensor]:
    """Sort sentences of ``lengths`` [S] tokens into at most four buckets of
    like length; one where several would save less than a tenth of the tokens.
    Returns the indices of the sentences of each."""
    order = lengths.argsort(stable=True)
    sizes, counts = (x.tolist() for x in lengths.unique(return_counts=True))
    upto = list(accumulate(counts, initial=0))
    # A further bucket has to pay for its kernel launches, in tokens.
    cost = 64 if device_type == 'cpu' else 4096
    # Exact: best[j] is the cheapest way to put the j shortest sizes into as
    # many buckets as there were rounds, as (cost, padded tokens, sentences
    # of each bucket).
    best, solutions = {0: (0, 0, [])}, []
    for _ in range(min(MOST_BUCKETS, len(sizes))):
        longer = {}
        for i, (total, padded, cuts) in best.items():
            for j in range(i + 1, len(sizes) + 1):
                rows = upto[j] - upto[i]
                tokens = rows * sizes[j - 1]
                way = total + tokens + cost, padded + tokens, cuts + [rows]
                longer[j] = min(way, longer.get(j, way))
        best = longer
        solutions.append(best[len(sizes)])
    _, padded, cuts = min(solutions)
    if padded > 0.9 * len(order) * sizes[-1]:
        return [order]
    return list(order.split(cuts))


def encode_chunk(text: TextTransformer, tokens: Tensor, ends: Tensor,
                 prompts: Optional[DeepPrompts],
                 grad_checkpointing: bool) -> Tensor:
    """Embed sentences that run together, [S, L] to [S, D]. No length is
    looked at, so that it can be exported."""
    if not is_causal(text):
        return text(tokens)
    x = embed_words(text, tokens, ends, prompts)
    x = run_blocks(text.transformer.resblocks, x, prompts, grad_checkpointing,
                   causal=True, only=ends)
    return project_ends(text, x)


def embed_words(text: TextTransformer, tokens: Tensor, ends: Tensor,
                prompts: Optional[DeepPrompts]) -> Tensor:
    """Embed token ids [S, L] as what the first layer takes, [S, L, W]."""
    dtype = text.transformer.get_cast_dtype()
    x = text.token_embedding(tokens).to(dtype)
    if prompts is not None:
        x = prompts.embed(x, ends)
    return x + text.positional_embedding[:tokens.shape[1]].to(dtype)


def project_ends(text: TextTransformer, x: Tensor) -> Tensor:
    """The last layer's end-of-text tokens [..., W] to embeddings [..., D]."""
    x = text.ln_final(x)
    if text.text_projection is None:
        return x
    if isinstance(text.text_projection, torch.nn.Linear):
        return text.text_projection(x)
    return x @ text.text_projection
