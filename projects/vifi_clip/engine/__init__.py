"""Optimizer wrapper, hooks and checkpoint files."""
from .checkpoint import AtomicLocalBackend, load_checkpoint, register_loader
from .hooks import (BadVideoHook, EpochAccumulationHook, EpochSeedHook,
                    PlainCheckpointHook, ResumedValidationHook)
from .optim_wrapper import AutocastOptimWrapper

__all__ = [
    'AtomicLocalBackend', 'AutocastOptimWrapper', 'BadVideoHook',
    'EpochAccumulationHook', 'EpochSeedHook', 'PlainCheckpointHook',
    'ResumedValidationHook', 'load_checkpoint', 'register_loader'
]
