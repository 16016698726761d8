"""Optimizer wrapper, hooks and checkpoint files."""
from .checkpoint import AtomicLocalBackend, load_checkpoint, register_loader
from .hooks import (BadVideoHook, ClassListHook, EpochAccumulationHook,
                    EpochSeedHook, PlainCheckpointHook, ResumedValidationHook)
from .optim_wrapper import AutocastOptimWrapper

__all__ = [
    'AtomicLocalBackend', 'AutocastOptimWrapper', 'BadVideoHook',
    'ClassListHook', 'EpochAccumulationHook', 'EpochSeedHook',
    'PlainCheckpointHook', 'ResumedValidationHook', 'load_checkpoint',
    'register_loader'
]
