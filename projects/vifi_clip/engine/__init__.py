"""Optimizer wrapper, hooks, loops and strategies."""
from .auxiliary import AuxiliaryHook
from .averaging import EpochMeanHook
from .fsdp2 import FSDP2Strategy, SpreadRunner
from .hooks import (BadVideoHook, ClassListHook, EpochAccumulationHook,
                    EpochSeedHook, FiniteLossHook, PlainCheckpointHook,
                    TextAccumulationHook)
from .interpolated_gradient import InterpolatedGradientHook
from .lr_schedule import WarmupCosineLR
from .multi_set_loop import MultiSetTestLoop, MultiSetValLoop
from .new_words import NewWordsHook
from .parameter_groups import GroupedOptimWrapperConstructor
from .precision import AutocastOptimWrapper, InferenceHook, apply_inference
from .resume import (ResumedValidationHook, ResumeHook,
                     WholeStepCheckpointHook)
