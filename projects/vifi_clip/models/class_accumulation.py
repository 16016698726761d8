"""Class embeddings encoded once for the micro-batches of a step.

Under gradient accumulation the weights rest between two optimizer steps, and
so do the class embeddings. The text side is encoded with its graph at the
first micro-batch. That one and the following get a leaf in its place, at
which their gradients add up. The last gets the embeddings themselves, and
hands the sum to their graph together with its own gradient. Since gradients
are linear, the text side's are those of the plain way; its backward pass runs
once, inside the last micro-batch's, where DDP expects it.
"""
import logging
from typing import Callable, List, Optional

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from .class_embeddings import Snapshot


class ClassAccumulation:
    """What one text classifier keeps between micro-batches.

    It does nothing until :meth:`begin` says which micro-batch comes
    (:class:`TextAccumulationHook` does), and nothing after :meth:`end`: any
    other call of the classifier encodes in the plain way.

    - A micro-batch may call the classifier many times, or never, and a loss
      may be dropped: what is not run backward adds no gradient.
    - In the last micro-batch, the first call takes the graph that was kept
      and any further one encodes anew; whichever runs backward first hands
      over the sum.
    - Gradients that wait when a step is begun anew, since the one before
      came to no end, are added to the parameters' then, as if they had been
      there all the time.
    - The step has to be taken after the last micro-batch. Gradients that
      wait are out of the optimizer's sight: ``zero_grad`` in the middle of a
      step does not reach them (:meth:`drop` does).

    The text side's saved activations stay until the last micro-batch; the
    peak is that of one plain micro-batch.
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
        self._snapshot: Optional[Snapshot] = None
        self._params: List[nn.Parameter] = []
        self._taken = False

    def begin(self, first: bool, last: bool) -> None:
        """Announce a micro-batch.

        Args:
            first (bool): It begins an optimizer step.
            last (bool): It ends one, and DDP synchronises in it.
        """
        if first:
            self.flush()
        self._mode = 'last' if last else 'wait'

    def end(self) -> None:
        """The micro-batch is over."""
        self._mode = None

    def flush(self) -> None:
        """Run gradients that wait backward now, outside of any DDP step."""
        if self._waiting():
            unchanged = self._snapshot.matches(self._params)
            if unchanged:
                torch.autograd.backward([self._classes], [self._leaf.grad])
            print_log(
                'An optimizer step was interrupted (by other classes, or '
                'begun anew). The text side\'s gradients so far ' +
                ('stay, as all others do.' if unchanged else
                 'are dropped, since its weights have changed.'),
                'current',
                level=logging.WARNING)
        self.drop()

    def embeddings(self, encode: Callable[[], Tensor],
                   params: List[nn.Parameter]) -> Tensor:
        """Class embeddings, for the micro-batch that is under way if any.

        Args:
            encode (Callable): The plain way, with gradient.
            params (list[Parameter]): All that the embeddings depend on.

        Raises:
            RuntimeError: Weights changed while gradients were waiting.
        """
        if self._mode is None:
            return encode()
        self._check(params)
        if self._mode == 'last':
            if self._leaf is None:
                return encode()
            # A graph serves one backward pass.
            classes = encode() if self._taken else self._classes
            self._taken = True
            return _HandOver.apply(classes, self)
        if self._leaf is None:
            self._params, self._snapshot = params, Snapshot(params)
            self._classes = encode()
            self._leaf = self._classes.detach().requires_grad_()
        return self._leaf

    def take(self) -> Optional[Tensor]:
        """The gradients that wait, [K, D]; the second time None."""
        grad = self._leaf.grad if self._waiting() else None
        self.drop()
        return grad

    def _waiting(self) -> bool:
        return self._leaf is not None and self._leaf.grad is not None

    def _check(self, params: List[nn.Parameter]) -> None:
        if self._leaf is None or self._snapshot.matches(params):
            return
        if self._waiting():
            raise RuntimeError(
                'The text side\'s weights changed between the micro-batches '
                'of one optimizer step, so that gradients from before cannot '
                'be added to those from after. Take TextAccumulationHook out '
                'of custom_hooks, which then encodes the classes at each '
                'micro-batch.')
        self.drop()


class _HandOver(torch.autograd.Function):
    """Identity; backward adds the gradients that wait."""

    @staticmethod
    def forward(ctx, classes: Tensor, store: ClassAccumulation) -> Tensor:
        ctx.store = store
        return classes.view_as(classes)

    @staticmethod
    def backward(ctx, grad: Tensor):
        waiting = ctx.store.take()
        return grad if waiting is None else grad + waiting, None
