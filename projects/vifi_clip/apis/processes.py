"""What processes of torchrun ask when they share a list of videos."""
import os
from datetime import timedelta
from typing import Tuple


def rank_and_world() -> Tuple[int, int]:
    """Which process of torchrun this is, of how many."""
    return (int(os.environ.get('RANK', 0)),
            int(os.environ.get('WORLD_SIZE', 1)))


def barrier(world: int) -> None:
    """Wait for the other processes; days, as one may have longer videos."""
    if world == 1:
        return
    import torch
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo', timeout=timedelta(7))
    torch.distributed.barrier()
