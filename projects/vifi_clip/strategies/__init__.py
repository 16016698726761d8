"""Ways to spread a model over processes, for MMEngine's FlexibleRunner."""
from .fsdp2 import FSDP2Strategy
from .runner import SpreadRunner

__all__ = ['FSDP2Strategy', 'SpreadRunner']
