"""Optimizer wrapper, hooks, loops and strategies."""
from .fsdp2 import FSDP2Strategy, SpreadRunner
from .hooks import (BadVideoHook, ClassListHook, EpochAccumulationHook,
                    EpochSeedHook, FiniteLossHook, PlainCheckpointHook,
                    ResumedValidationHook, TextAccumulationHook)
from .lr_schedule import WarmupCosineLR
from .multi_set_loop import MultiSetTestLoop, MultiSetValLoop
from .optim_wrapper import AutocastOptimWrapper
from .precision import InferenceHook, apply_inference

__all__ = [
    'AutocastOptimWrapper', 'BadVideoHook', 'ClassListHook',
    'EpochAccumulationHook', 'EpochSeedHook', 'FSDP2Strategy',
    'FiniteLossHook', 'InferenceHook', 'MultiSetTestLoop', 'MultiSetValLoop',
    'PlainCheckpointHook', 'ResumedValidationHook', 'SpreadRunner',
    'TextAccumulationHook', 'WarmupCosineLR', 'apply_inference'
]
