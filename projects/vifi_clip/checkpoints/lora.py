"""LoRA's products folded into the weights that they add to.

A tower with LoRA has, by peft's names, the weight of a layer as
``base_layer.weight`` and its two factors, and says ``lora_scale``, alpha /
rank. In :class:`LinearAttention` what ``nn.MultiheadAttention`` calls
``in_proj_weight`` is that of a layer ``in_proj``.
"""
from typing import Dict, Mapping, Optional

import torch
from torch import Tensor

SCALE = 'lora_scale'
_A, _B = '.lora_A.default.weight', '.lora_B.default.weight'


def has_lora(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights are those of towers with LoRA."""
    return any(key.endswith(SCALE) for key in state)


@torch.no_grad()
def fold_lora(state: Mapping[str, Tensor],
              own: Optional[Mapping[str, Tensor]] = None
              ) -> Dict[str, Tensor]:
    """Return plain weights: W + alpha / rank B A, computed in float32.

    Args:
        state (Mapping[str, Tensor]): Weights by name, of towers or of a
            recognizer; without LoRA they are returned as they are.
        own (Mapping[str, Tensor], optional): Plain weights to add to where
            ``state`` holds LoRA alone (``save_trainable_only``). Defaults to
            none, with which that is a ValueError.
    """
    scales = {key.removesuffix(SCALE): float(value)
              for key, value in state.items() if key.endswith(SCALE)}
    plain = {_plain(key): value for key, value in state.items()
             if not key.endswith((_A, _B, SCALE))}
    for key in state:
        if not key.endswith(_A):
            continue
        layer = key.removesuffix(_A)
        name = _plain(f'{layer}.weight')
        weight = plain.get(name, (own or {}).get(name))
        if weight is None:
            raise ValueError(f'LoRA of {layer} stands without the weight that '
                             'it adds to (save_trainable_only): use the '
                             'model folder that its training wrote, or the '
                             'config that it was trained with')
        scale = next(value for tower, value in scales.items()
                     if layer.startswith(tower))
        delta = state[layer + _B].float() @ state[key].float()
        plain[name] = (weight.float() + scale * delta).to(weight.dtype)
    return plain


def _plain(name: str) -> str:
    return name.replace('.base_layer.', '.').replace(
        '.attn.in_proj.', '.attn.in_proj_')
