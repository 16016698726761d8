"""Class embeddings kept while the weights are spread over processes."""
from typing import Callable, Iterable

import torch
from torch import Tensor, nn

from ..models.class_embeddings import EmbeddingCache


class UntilModeChange(EmbeddingCache):
    """Valid until ``model.train()``, ``model.eval()`` or new classes.

    The usual cache looks at the weights. Of sharded weights, each process
    sees a part, and gathering them to look would cost what is saved; and if
    one process encoded anew and another did not, both would wait for ever.
    """

    def get(self, params: Iterable[nn.Parameter],
            compute: Callable[[], Tensor]) -> Tensor:
        """The kept tensor; see :class:`EmbeddingCache`."""
        if self._value is None:
            with torch.inference_mode(False), torch.no_grad():
                self._value = compute()
        return self._value
