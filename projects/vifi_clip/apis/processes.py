"""Processes of torchrun that share a list of videos, without DDP."""
import os
from datetime import timedelta
from typing import Tuple

import torch
from mmengine.dist import get_dist_info
from torch import distributed


def join_processes() -> Tuple[int, int]:
    """Join the processes that torchrun started, each with a GPU of its own.

    Call it before a model is loaded; alone, it does nothing. Returns the
    rank and the number of processes.
    """
    if (int(os.environ.get('WORLD_SIZE', 1)) > 1
            and not distributed.is_initialized()):
        # a week: one may have much longer videos than another
        distributed.init_process_group('gloo', timeout=timedelta(7))
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get('LOCAL_RANK', 0))
                                  % torch.cuda.device_count())
    return get_dist_info()
