"""Class embeddings: kept while they are valid, encoded once for the
micro-batches of an optimizer step, and spread over processes.

Letters: K classes, R processes, P slots per process, D the embedding.
"""
import logging
from typing import List, Optional, Sequence, Tuple

import torch
import torch.distributed.nn
import torch.nn.functional as F
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn

SAMPLED = 1024  # values of each parameter that are compared each time


@torch.no_grad()
def _snapshot(params: Sequence[nn.Parameter]) -> Tuple[list, bytes]:
    """Return what tells, in about a millisecond, whether parameters changed.

    It holds each parameter's storage, version counter, dtype and device, in
    which any write shows that autograd sees (optimizers, ``load_state_dict``,
    ``copy_``), and, for writes through ``param.data``, about 1,000 values
    spread evenly over it. A write through ``.data`` to a part of a large
    parameter that happens to touch none of them goes unnoticed.
    """
    identity, values = [], []
    for p in map(_local, params):
        identity.append((p.data_ptr(), p._version, p.shape, p.dtype, p.device))
        flat = p.detach().reshape(-1)
        # An odd step does not stay in one column of a matrix.
        values.append(flat[::max(1, len(flat) // SAMPLED) | 1])
    sample = torch.cat(values).cpu().view(torch.uint8).numpy()
    return identity, sample.tobytes()


def _local(param: nn.Parameter) -> Tensor:
    """This process' part of a parameter that FSDP has sharded."""
    return param.to_local() if hasattr(param, 'to_local') else param


class EmbeddingCache:
    """One tensor that is valid for one state of some parameters.

    Each call looks at a sample of the values (:func:`_snapshot`) and at the
    autocast setting, and the first call after :meth:`suspect` also at the
    parameters' norms, a pass of 25 ms over CLIP's text tower on 2 CPU cores.
    Code that writes single values through ``.data`` between two calls in one
    mode must call :meth:`clear`.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._value: Optional[Tensor] = None
        self._state = self._norms = None
        self._suspected = False

    def suspect(self) -> None:
        """Look at all weights at the next call: hooks that exchange weights
        in ways autograd cannot see (EMA) do so when the mode changes."""
        self._suspected = True

    def get(self, params: Sequence[nn.Parameter]) -> Optional[Tensor]:
        """The tensor if it is valid for these parameters, or None."""
        if (self._value is None or self._state != _state(params)
                or self._suspected and self._norms != _norms(params)):
            return None
        self._suspected = False
        return self._value

    def put(self, params: Sequence[nn.Parameter], value: Tensor) -> None:
        """Keep the tensor that depends on these parameters alone. It must
        not be of ``inference_mode``: a training step may use it later."""
        self._value, self._suspected = value, False
        self._state, self._norms = _state(params), _norms(params)


def _state(params: Sequence[nn.Parameter]) -> tuple:
    device = params[0].device.type
    return (torch.is_autocast_enabled(device),
            torch.get_autocast_dtype(device), _snapshot(params))


@torch.no_grad()
def _norms(params: Sequence[nn.Parameter]) -> list:
    with torch.autocast(params[0].device.type, enabled=False):
        return torch.stack([torch.linalg.vector_norm(
            p.detach(), dtype=torch.promote_types(p.dtype, torch.float32))
            for p in map(_local, params)]).tolist()


class ClassAccumulation:
    """Class embeddings encoded once for the micro-batches of a step.

    Between two optimizer steps the weights rest, and so do the class
    embeddings. The first micro-batch encodes them with their graph. It and
    the following get a leaf in their place, at which gradients add up. The
    last gets the embeddings themselves, and hands the sum to their graph
    together with its own gradient. Since gradients are linear, the text
    side's are those of the plain way; its backward pass runs once, inside the
    last micro-batch's, where DDP expects it. All this is between
    :meth:`begin`, which :class:`TextAccumulationHook` calls, and :meth:`end`.

    - A call or a loss that is not run backward adds no gradient.
    - In the last micro-batch, a second call encodes anew; whichever runs
      backward first hands over the sum.
    - If a new step begins before the last one ended, the gradients that wait
      are added to the parameters' at that moment.
    - :meth:`drop`, and not ``zero_grad``, reaches gradients that wait.
    """

    def __init__(self) -> None:
        self._mode: Optional[str] = None
        self.drop()

    def __reduce__(self) -> tuple:
        """A copy, or a pickle, of a model has no step under way."""
        return ClassAccumulation, ()

    def drop(self) -> None:
        """Forget the embeddings and the gradients that wait."""
        self._classes: Optional[Tensor] = None
        self._leaf: Optional[Tensor] = None
        self._snapshot: Optional[tuple] = None
        self._params: List[nn.Parameter] = []
        self._taken = False

    def begin(self, first: bool, last: bool) -> None:
        """Announce a micro-batch that begins an optimizer step, or ends one,
        so that DDP synchronises in it."""
        if first:
            self.flush()
        self._mode = 'last' if last else 'wait'

    def end(self) -> None:
        self._mode = None

    def flush(self) -> None:
        """Run gradients that wait backward now, outside of any DDP step."""
        if self._waiting():
            unchanged = self._snapshot == _snapshot(self._params)
            if unchanged:
                torch.autograd.backward([self._classes], [self._leaf.grad])
            print_log('An optimizer step was interrupted (other classes, or '
                      "restarted); the text side's gradients so far " +
                      ('stay' if unchanged else 'are dropped, as it changed'),
                      'current', logging.WARNING)
        self.drop()

    def kept(self, params: List[nn.Parameter]) -> Optional[Tensor]:
        """Embeddings of this step to use again, or None if they must be
        encoded. RuntimeError if ``params``, all that they depend on, changed
        while gradients were waiting."""
        if self._mode is None or self._leaf is None:
            return None
        if self._snapshot != _snapshot(params):
            if self._waiting():
                raise RuntimeError(
                    "The text side's weights changed within an optimizer "
                    'step: remove TextAccumulationHook from custom_hooks.')
            self.drop()
        # A graph serves one backward pass.
        return None if self._taken else self._classes

    def connect(self, classes: Tensor, params: List[nn.Parameter]) -> Tensor:
        """What the micro-batch under way is to compute with, [K, D], from
        embeddings with their graph: those that were kept or new ones."""
        if self._mode is None or self._mode == 'last' and self._leaf is None:
            return classes
        if self._mode == 'last':
            self._taken = True
            classes = classes.view_as(classes)
            classes.register_hook(self._add_waiting)
            return classes
        if self._leaf is None:
            self._params, self._snapshot = params, _snapshot(params)
            self._classes = classes
            self._leaf = classes.detach().requires_grad_()
        return self._leaf

    def _add_waiting(self, grad: Tensor) -> Tensor:
        """Hand over the gradients that wait, [K, D], once."""
        if self._waiting():
            grad = grad + self._leaf.grad
        self.drop()
        return grad

    def _waiting(self) -> bool:
        return self._leaf is not None and self._leaf.grad is not None


def share_classes(costs: Tensor, rank: int,
                  world_size: int) -> Tuple[Tensor, Tensor]:
    """Deal classes out, by cost, so that all processes have like work.

    From the tokens of each class, ``costs`` [K] on CPU, the same in all
    processes, return this process' classes in ascending order, at least one,
    and for each class its row [K] among the [R * P, D] gathered ones, with
    P = ceil(K / R).
    """
    order, rows = costs.argsort(stable=True), torch.empty_like(costs)
    slots = -(-len(order) // world_size)
    shares = [order[r::world_size].sort().values for r in range(world_size)]
    for r, share in enumerate(shares):
        rows[share] = r * slots + torch.arange(len(share))
    # A process without a class of its own encodes one whose row no class
    # takes: DDP waits for a gradient, if only of zeros, from every process.
    return shares[rank] if len(shares[rank]) else order[:1], rows


def gather_classes(share: Tensor, rows: Tensor) -> Tensor:
    """All classes' embeddings [K, D] from each process' share [M, D] and the
    rows [K] of :func:`share_classes`; all processes must call.

    Gradients of all processes are summed at the process that encoded a
    class. DDP's mean over processes then gives each parameter the gradient
    that it has when every process encodes every class.
    """
    slots = -(-len(rows) // get_world_size())
    x = F.pad(share, (0, 0, 0, slots - len(share)))
    x = torch.cat(torch.distributed.nn.all_gather(x))
    # [M, D] -> [P, D] -> [R * P, D]
    return x.index_select(0, rows.to(x.device))
