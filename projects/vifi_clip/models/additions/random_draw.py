"""Random numbers that are drawn a second time."""
from contextlib import contextmanager
from typing import Iterator

import torch
from torch import Tensor


class RandomDraw:
    """The random numbers between this moment and :meth:`ended`, which can be
    drawn again."""

    def __init__(self, device: torch.device) -> None:
        self.device, self._start = device, self._state(device)
        self.taken = False  # whether there were any

    def ended(self) -> None:
        """Note whether numbers were drawn since the start."""
        self.taken = not torch.equal(self._start, self._state(self.device))

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draw the same numbers; what is drawn later stays as it would be."""
        cuda = self.device.type == 'cuda'
        with torch.random.fork_rng([self.device] if cuda else []):
            if cuda:
                torch.cuda.set_rng_state(self._start, self.device)
            else:
                torch.set_rng_state(self._start)
            yield

    @staticmethod
    def _state(device: torch.device) -> Tensor:
        return torch.cuda.get_rng_state(device) if (
            device.type == 'cuda') else torch.get_rng_state()
