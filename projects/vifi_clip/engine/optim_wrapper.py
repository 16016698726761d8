"""Mixed precision on any device."""
from contextlib import contextmanager
from typing import Union

import torch
from mmaction.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from torch import nn


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """OptimWrapper under ``torch.autocast``, on CPU and GPU alike.

    MMEngine's AmpOptimWrapper asserts a GPU and scales the loss, which
    float16 needs and bfloat16 does not. For float16 on a GPU use that one.

    Args:
        dtype (str): ``'bfloat16'``, or ``'float32'`` to switch autocast off.
            Defaults to 'bfloat16'.
        kwargs: As OptimWrapper (``optimizer``, ``accumulative_counts``,
            ``clip_grad``).

    Raises:
        ValueError: Another dtype.
    """

    def __init__(self, dtype: Union[str, torch.dtype] = 'bfloat16',
                 **kwargs) -> None:
        super().__init__(**kwargs)
        name = str(dtype).removeprefix('torch.')
        if name not in ('bfloat16', 'float32'):
            raise ValueError("dtype must be 'bfloat16' or 'float32', got "
                             f'{dtype!r}; for float16 use AmpOptimWrapper.')
        self.dtype = getattr(torch, name)

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast on the model's device, around MMEngine's own context."""
        device = next(model.parameters()).device.type
        autocast = torch.autocast(device, dtype=torch.bfloat16,
                                  enabled=self.dtype is not torch.float32)
        with super().optim_context(model), autocast:
            yield
