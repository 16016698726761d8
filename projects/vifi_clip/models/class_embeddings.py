"""Class embeddings kept for as long as they are right, and no longer."""
from typing import Callable, Iterable, List, Optional, Sequence

import torch
from torch import Tensor, nn

# Values of each parameter that are compared each time.
SAMPLED = 1024


class Snapshot:
    """Tells whether parameters are as they were, in about a millisecond.

    Compared are each parameter's storage, version counter, dtype and device,
    and, since ``param.data.mul_()`` and hooks that write through ``.data``
    leave all of those as they were, about 1,000 values spread evenly over
    each parameter, bit by bit. A write through ``.data`` to a part of a large
    parameter that happens to touch no such value goes unnoticed; writes that
    autograd sees (optimizers, ``load_state_dict``, ``copy_``) never do.

    Args:
        params (Sequence[Parameter]): Parameters.
    """

    def __init__(self, params: Sequence[nn.Parameter]) -> None:
        self._identity = _identity(params)
        self._values = _sample(params)

    def matches(self, params: Sequence[nn.Parameter]) -> bool:
        """Whether these are the same parameters with the same values."""
        return (self._identity == _identity(params)
                and torch.equal(self._values, _sample(params)))


def _identity(params: Sequence[nn.Parameter]) -> list:
    return [(p.data_ptr(), p._version, p.shape, p.dtype, p.device)
            for p in map(_local, params)]


@torch.no_grad()
def _sample(params: Sequence[nn.Parameter]) -> Tensor:
    """Bytes of about SAMPLED values of each parameter."""
    parts = []
    for param in params:
        flat = _local(param).detach().reshape(-1)
        # An odd step does not stay in one column of a matrix.
        parts.append(flat[::max(1, len(flat) // SAMPLED) | 1])
    return torch.cat(parts).view(torch.uint8)


def _local(param: nn.Parameter) -> Tensor:
    """This process' part of a parameter that FSDP has sharded."""
    return param.to_local() if hasattr(param, 'to_local') else param


class EmbeddingCache:
    """One tensor that is valid for one state of some parameters.

    The state is told by a :class:`Snapshot` and the autocast setting at each
    call, and also by the parameters' norms at the first call after
    :meth:`suspect`. A pass over all weights at each call would notice more of
    what is written through ``param.data``, but costs as much as 25 ms for
    CLIP's text tower on 2 CPU cores; code that writes single values through
    ``.data`` between two calls in one mode must call :meth:`clear`.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the tensor."""
        self._value: Optional[Tensor] = None
        self._snapshot: Optional[Snapshot] = None
        self._autocast = self._norms = None
        self._suspected = False

    def suspect(self) -> None:
        """Look at all weights at the next call: hooks that exchange weights
        in ways autograd cannot see (EMA) do so when the mode changes."""
        self._suspected = True

    def get(self, params: Iterable[nn.Parameter],
            compute: Callable[[], Tensor]) -> Tensor:
        """The cached tensor, computed anew without gradient if out of date.

        A plain tensor comes back even under ``inference_mode``, so that it
        can take part in a later training step.

        Args:
            params (Iterable[nn.Parameter]): All that the tensor depends on.
            compute (Callable): Makes the tensor.
        """
        params = list(params)
        if not self._is_valid(params):
            self.clear()
            autocast = _autocast(params)
            snapshot, norms = Snapshot(params), _norms(params)
            with torch.inference_mode(False), torch.no_grad():
                self._value = compute()
            self._snapshot, self._norms = snapshot, norms
            self._autocast = autocast
        return self._value

    def _is_valid(self, params: List[nn.Parameter]) -> bool:
        if (self._value is None or self._autocast != _autocast(params)
                or not self._snapshot.matches(params)):
            return False
        if self._suspected and _norms(params) != self._norms:
            return False
        self._suspected = False
        return True


def _autocast(params: Sequence[nn.Parameter]):
    device = params[0].device.type
    return (torch.is_autocast_enabled(device)
            and torch.get_autocast_dtype(device))


@torch.no_grad()
def _norms(params: Sequence[nn.Parameter]) -> list:
    with torch.autocast(params[0].device.type, enabled=False):
        return torch.stack([
            torch.linalg.vector_norm(
                p.detach(), dtype=torch.promote_types(p.dtype, torch.float32))
            for p in map(_local, params)
        ]).tolist()
