"""How many processes read videos, from what the machine has.

Letters: C cores that this job may use, P processes of this job on this
machine (one a GPU), S = C // P the share of each, at least 1.

========================  ======================  =========================
                          with an accelerator     on the CPU alone
========================  ======================  =========================
workers                   S - 1, from 1 to 16     S // 4, from 1 to 4;
                                                  0 if S is 1
decoding threads each     1                       1
========================  ======================  =========================

With an accelerator the main process keeps a core for itself, the others
decode; 16 because a 16-frame clip takes a core 0.1 to 0.2 s and no model
takes clips faster than 16 cores give. On the CPU the model wants the cores:
one of four decodes, since a clip costs ViT-B/16 seconds. More threads in a
worker decode one clip sooner but fewer clips a second.
"""
import math
import os
from pathlib import Path

import torch
from mmengine.config import Config

MOST_WORKERS, MOST_CPU_WORKERS = 16, 4


def usable_cores(root: str = '/sys/fs/cgroup') -> int:
    """Return the number of cores that this process may use: the smaller of
    its affinity (Slurm, taskset) and the quota of its control group, mounted
    at ``root``, rounded up."""
    if hasattr(os, 'sched_getaffinity'):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS, Windows
        cores = os.cpu_count() or 1
    # of version 2 and of version 1: microseconds of each period
    for names in (['cpu.max'],
                  ['cpu/cpu.cfs_quota_us', 'cpu/cpu.cfs_period_us']):
        try:
            texts = [Path(root, name).read_text() for name in names]
            limit, period = map(int, ' '.join(texts).split())
            quota = math.ceil(limit / period)
        except (OSError, ValueError, ZeroDivisionError):  # 'max': no limit
            continue
        if quota > 0:  # -1: no limit
            return min(cores, quota)
    return cores


def processes_here() -> int:
    """Return the processes of this job on this machine, as its launcher says
    in the environment."""
    for name in ('LOCAL_WORLD_SIZE', 'SLURM_NTASKS_PER_NODE',
                 'OMPI_COMM_WORLD_LOCAL_SIZE'):
        value = os.environ.get(name, '1')
        if not value.isdecimal() or int(value) < 1:
            raise ValueError(f'{name}={value}: the number of processes on '
                             'this machine must be a whole number from 1')
        if name in os.environ:
            return int(value)
    return 1


def choose_workers(cores: int, processes: int, accelerator: bool) -> int:
    """Return the data workers of each process; see the module's table."""
    share = max(1, cores // processes)
    if accelerator:
        return min(max(share - 1, 1), MOST_WORKERS)
    return 0 if share == 1 else min(max(share // 4, 1), MOST_CPU_WORKERS)


def resolve_workers(cfg: Config) -> str:
    """Put numbers into the loaders where a config leaves them to the machine;
    return the arithmetic, for the log, or '' where nothing was to choose.

    A config does so by ``workers = 'auto'`` (the WORKERS knob); its loaders
    hold a number all the same, for tools that know nothing of this. Call it
    before ``--cfg-options`` are merged, so that those win.
    """
    if cfg.get('workers') != 'auto':
        return ''
    cores, processes = usable_cores(), processes_here()
    accelerator = torch.cuda.is_available()
    workers = choose_workers(cores, processes, accelerator)
    for part in 'train', 'val', 'test':
        if loader := cfg.get(f'{part}_dataloader'):
            loader.num_workers = workers
            loader.persistent_workers = workers > 0
    where = 'beside an accelerator' if accelerator else 'on the CPU alone'
    return (f'WORKERS=auto: {workers} data workers a process ({cores} cores / '
            f'{processes} processes here, {where}), 1 decoding thread(s) '
            'each; WORKERS=N sets another number')
