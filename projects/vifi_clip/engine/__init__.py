"""Optimizer wrapper, hooks and checkpoint files."""
from .checkpoint import AtomicLocalBackend, load_checkpoint, register_loader
from .hooks import BadVideoHook, EpochSeedHook
from .optim_wrapper import AutocastOptimWrapper

__all__ = [
    'AtomicLocalBackend', 'AutocastOptimWrapper', 'BadVideoHook',
    'EpochSeedHook', 'load_checkpoint', 'register_loader'
]
