"""Optimizer wrapper, hooks and checkpoint files."""
from ..checkpoints.files import (AtomicLocalBackend, load_checkpoint,
                                 register_loader)
from .hooks import (BadVideoHook, ClassListHook, EpochAccumulationHook,
                    EpochSeedHook, FiniteLossHook, PlainCheckpointHook,
                    ResumedValidationHook)
from .precision import InferenceHook, apply_inference
from .lr_schedule import WarmupCosineLR
from .multi_set_loop import MultiSetTestLoop, MultiSetValLoop
from .optim_wrapper import AutocastOptimWrapper
from ..checkpoints.settings_hook import CheckpointSettingsHook
from .text_accumulation import TextAccumulationHook

__all__ = [
    'AtomicLocalBackend', 'AutocastOptimWrapper', 'BadVideoHook',
    'CheckpointSettingsHook', 'ClassListHook', 'EpochAccumulationHook',
    'EpochSeedHook', 'FiniteLossHook', 'InferenceHook', 'MultiSetTestLoop',
    'MultiSetValLoop', 'PlainCheckpointHook', 'ResumedValidationHook',
    'TextAccumulationHook', 'WarmupCosineLR', 'apply_inference',
    'load_checkpoint', 'register_loader'
]
