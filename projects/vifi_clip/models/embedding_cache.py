"""Class embeddings kept for as long as they are right, and no longer."""
from typing import Callable, Iterable, Optional

import torch
from torch import Tensor, nn


class EmbeddingCache:
    """One tensor that is valid for one state of some parameters.

    The state is told by each parameter's storage, version counter, dtype and
    device, by the autocast setting, and by the parameters' norms: some code
    (``param.data.mul_()``, EMA hooks) changes weights behind the version
    counter's back. The norms cost one pass over the weights, far below the
    encoding that they save.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the tensor."""
        self._key: Optional[tuple] = None
        self._value: Optional[Tensor] = None

    def get(self, params: Iterable[nn.Parameter],
            compute: Callable[[], Tensor]) -> Tensor:
        """The cached tensor, computed anew without gradient if out of date.

        A plain tensor comes back even under ``inference_mode``, so that it
        can take part in a later training step.

        Args:
            params (Iterable[nn.Parameter]): All that the tensor depends on.
            compute (Callable): Makes the tensor.
        """
        key = _state(list(params))
        if key != self._key:
            with torch.inference_mode(False), torch.no_grad():
                self._value = compute()
            self._key = key
        return self._value


@torch.no_grad()
def _state(params: list) -> tuple:
    device = params[0].device.type
    autocast = (torch.is_autocast_enabled(device)
                and torch.get_autocast_dtype(device))
    with torch.autocast(device, enabled=False):
        norms = torch.stack([
            torch.linalg.vector_norm(
                p.detach(), dtype=torch.promote_types(p.dtype, torch.float32))
            for p in params
        ])
    identity = ((p.data_ptr(), p._version, p.dtype, p.device) for p in params)
    return (autocast, *norms.tolist(), *identity)
