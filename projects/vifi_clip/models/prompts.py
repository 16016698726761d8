"""Deep prompt tokens.

ViFi-CLIP section 5, "bridge and prompt": n learnt tokens enter the sequence
at the first layer, and each of the next ``depth - 1`` layers puts its own n
tokens in their place.
"""
from typing import Optional, Sequence

import torch
from torch import Tensor, nn


class DeepPrompts(nn.Module):
    """Learnt tokens of one tower, [depth, n, width].

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
