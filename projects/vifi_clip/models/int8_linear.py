"""Linear layers in 8-bit integers, for inference on CPU.

Weights have one scale for each output channel, activations one for each
token, found anew at every call, so that no calibration data is needed.

Letters: M tokens, I input and O output channels.
"""
from typing import Tuple

import torch
from torch import Tensor, nn

LEVELS = 127  # symmetric: -127..127


def quantize_rows(x: Tensor) -> Tuple[Tensor, Tensor]:
    """Symmetric 8-bit integers with one scale for each row.

    Args:
        x (Tensor): [..., I].

    Returns:
        tuple[Tensor, Tensor]: Integers [..., I] (int8) and scales [..., 1]
        (float32), whose product is x but for rounding.
    """
    # The greatest and the least value rather than abs().amax(): no copy.
    scale = torch.maximum(
        x.amax(-1, keepdim=True), -x.amin(-1, keepdim=True)).float()
    # A row of zeros stays zero whatever its scale.
    scale = scale.clamp(min=torch.finfo(torch.float32).tiny * 1e3) / LEVELS
    return (x * scale.reciprocal()).round_().to(torch.int8), scale


@torch.library.custom_op('vifi_clip::int8_matmul', mutates_args=())
def int8_matmul(x: Tensor, packed: Tensor, scale: Tensor, zero: Tensor,
                dtype: torch.dtype) -> Tensor:
    """int8 [M, I] times packed int8 weights, rescaled, [M, O].

    An operator of its own, since inductor takes oneDNN's only from graphs of
    its own quantiser.
    """
    return torch.ops.onednn.qlinear_pointwise(x, 1.0, 0, packed, scale, zero,
                                              None, 1.0, 0, dtype, 'none', [],
                                              '')


@int8_matmul.register_fake
def _(x, packed, scale, zero, dtype):
    return x.new_empty((x.shape[0], scale.shape[0]), dtype=dtype)


class Int8Linear(nn.Module):
    """``nn.Linear`` with 8-bit weights and 8-bit products; no gradient.

    Args:
        linear (nn.Linear): The layer to take the weights from.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.out_features = linear.out_features
        weight, scale = quantize_rows(linear.weight.detach().float())
        self.register_buffer('weight_scale', scale.flatten())
        self.register_buffer('zero', torch.zeros(len(scale), dtype=torch.long))
        bias = linear.bias
        self.register_buffer(
            'bias', None if bias is None else bias.detach().clone())
        # Not a buffer: oneDNN's layout knows neither .to() nor saving.
        self.packed = torch.ops.onednn.qlinear_prepack(weight, None)

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] to [..., O], in x's dtype."""
        rows, scale = quantize_rows(x.flatten(0, -2))
        y = int8_matmul(rows, self.packed, self.weight_scale, self.zero,
                        x.dtype)
        y = y * scale
        if self.bias is not None:
            y = y + self.bias
        return y.to(x.dtype).view(*x.shape[:-1], self.out_features)

    def _apply(self, fn, recurse: bool = True):
        """Scales stay float32 whatever becomes of the model's dtype."""
        scale = self.weight_scale
        super()._apply(fn, recurse)
        if self.weight_scale.dtype != scale.dtype:
            self.weight_scale = scale.to(self.weight_scale.device)
        return self

    def extra_repr(self) -> str:
        return f'{self.in_features}, {self.out_features}'


def check_int8() -> None:
    """Refuse machines on which 8-bit products are no gain, or inexact.

    Raises:
        ValueError: The CPU has no VNNI instructions.
    """
    if not torch.cpu._is_vnni_supported():
        raise ValueError("precision='int8' needs an x86 CPU with AVX-512 VNNI "
                         "or AMX, which this one lacks; use 'fp32' or 'bf16'")


def quantize_linears(module: nn.Module) -> int:
    """Put :class:`Int8Linear` in the place of every ``nn.Linear`` inside.

    Subclasses of ``nn.Linear`` are left alone: who made them reads their
    weight directly (``nn.MultiheadAttention``'s output projection).

    Returns:
        int: How many layers were replaced.
    """
    count = 0
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, Int8Linear(child))
            count += 1
        else:
            count += quantize_linears(child)
    return count
