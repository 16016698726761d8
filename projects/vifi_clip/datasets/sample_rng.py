"""Random numbers that depend on the sample drawn, not on who draws it."""
import random
from contextlib import contextmanager
from typing import Iterator

import numpy as np
import torch


@contextmanager
def sample_rng(*key: int) -> Iterator[None]:
    """Seed ``random``, numpy and torch (CPU) from a key, for a while.

    Args:
        *key (int): Non-negative integers; each key has its own stream.

    Yields:
        None: On leaving, all three generators are as they were before, so
        that with ``num_workers=0`` the training loop's own draws go on.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    seeds = np.random.SeedSequence(key).generate_state(3)
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(int(seeds[0]))
            np.random.seed(seeds[1])
            # torch.manual_seed would reseed the GPUs too.
            torch.default_generator.manual_seed(int(seeds[2]))
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
