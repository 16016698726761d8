"""``torch.compile`` for one shape, and no second compilation."""
from typing import Callable, Optional

import torch
from torch import Tensor


class FixedShape:
    """A function compiled for the shape of its first argument.

    Other shapes, such as a last, smaller batch, run as they are: a
    compilation takes longer than they do. So do calls with gradient, since
    the weights are folded into the compiled code.

    Args:
        function (Callable): Tensor to tensor.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function
        self.shape: Optional[torch.Size] = None
        self._compiled = torch.compile(
            function, dynamic=False, options=dict(freezing=True))

    def __call__(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return self.function(x)
        if self.shape is None:
            self.shape = x.shape
        run = self._compiled if x.shape == self.shape else self.function
        return run(x)


def compile_backbone(backbone: torch.nn.Module) -> None:
    """Let a backbone run compiled, its parameters and name unchanged.

    Args:
        backbone (nn.Module): One of ours, of which what embeds a few frames
            is compiled (it is called for several such chunks of a batch), or
            any other, which is compiled as a whole.
    """
    if hasattr(backbone, '_embed'):
        # Without repeated frames the number of frames would vary.
        backbone.reuse_frames = False
        backbone._embed = FixedShape(backbone._embed)
    else:
        backbone.forward = FixedShape(backbone.forward)
