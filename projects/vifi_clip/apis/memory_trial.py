"""Whether a training step fits in memory, by making one."""
import copy
import gc
from pathlib import Path
from typing import Dict, Optional

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from ..datasets.loader_settings import processes_here
from .config import without_pretrained

_RESERVE = 0.9  # of the free memory: a step does not always peak alike


class MemoryTrial:
    """Steps of a throw-away model on one sample of the training data.

    A GPU's memory is tried outright. Linux kills a process that asks for too
    much of the machine's, so there the peaks of one and two samples are
    measured and what more would take is worked out from them.

    Args:
        cfg (Config): The run's config; not changed.
    """

    def __init__(self, cfg: Config) -> None:
        self.cfg = copy.deepcopy(cfg)
        self.device = get_device()
        self._peaks: Dict[int, int] = {}

    @staticmethod
    def possible() -> bool:
        """Whether memory can be looked at: on a GPU, or under Linux."""
        return get_device() != 'cpu' or Path('/proc/meminfo').exists()

    def __enter__(self) -> 'MemoryTrial':
        from mmaction.registry import MODELS
        from mmengine.registry import init_default_scope
        init_default_scope(self.cfg.get('default_scope', 'mmaction'))
        # Weights of any value take the same room.
        self.model = MODELS.build(without_pretrained(self.cfg.model))
        self.model.to(self.device).train()
        wrapper = self.cfg.optim_wrapper
        wrapper.pop('accumulative_counts', None)
        self.wrapper = build_optim_wrapper(self.model, wrapper)
        loader = dict(self.cfg.train_dataloader, num_workers=0)
        for key in 'persistent_workers', 'prefetch_factor':
            loader.pop(key, None)
        loader = Runner.build_dataloader(loader)
        self.sample, self.collate = loader.dataset[0], loader.collate_fn
        # DDP keeps the gradients once more, in its buckets.
        self.buckets = [
            torch.zeros_like(p) for p in self.model.parameters()
            if p.requires_grad and get_world_size() > 1
        ]
        return self

    def __exit__(self, *error) -> None:
        del self.model, self.wrapper, self.sample, self.buckets
        gc.collect()
        if self.device == 'cuda':
            torch.cuda.empty_cache()

    def fits(self, size: int) -> bool:
        """Whether a step on ``size`` samples fits beside what is there."""
        if self.device == 'cpu':
            return self._needed(size) <= _RESERVE * self._free
        try:
            self.step(size)
            return True
        except torch.OutOfMemoryError:
            return False
        finally:
            self.wrapper.zero_grad()
            gc.collect()
            torch.cuda.empty_cache()

    def step(self, size: int) -> None:
        """One training step on the sample, ``size`` times over."""
        data = self.collate([copy.deepcopy(self.sample) for _ in range(size)])
        self.model.train_step(data, self.wrapper)

    def _needed(self, size: int) -> float:
        """Bytes that a step on ``size`` samples adds at its peak."""
        if not self._peaks:
            self._free = free_memory() / processes_here()
            start = resident()
            for count in (1, 2):
                self.step(count)
                self._peaks[count] = resident(peak=True) - start
        one, two = self._peaks[1], self._peaks[2]
        return one + (size - 1) * max(two - one, 0)


def resident(peak: bool = False) -> int:
    """Bytes of memory that this process holds, or held at most."""
    name = 'VmHWM:' if peak else 'VmRSS:'
    return _field(Path('/proc/self/status'), name)


def free_memory() -> int:
    """Bytes that can be had on this machine, or in its container."""
    free = _field(Path('/proc/meminfo'), 'MemAvailable:')
    limit = _number(Path('/sys/fs/cgroup/memory.max'))
    used = _number(Path('/sys/fs/cgroup/memory.current'))
    if limit is not None and used is not None:
        free = min(free, limit - used)
    return free


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise OSError(f'{path} has no {name}')


def _number(path: Path) -> Optional[int]:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no cgroup v2, or 'max'
        return None
