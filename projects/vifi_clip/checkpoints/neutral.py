"""The layout that every other is converted to and from."""
from dataclasses import dataclass, field
from typing import Dict

import torch

StateDict = Dict[str, torch.Tensor]
VISUAL_PROMPTS, TEXT_PROMPTS = 'prompts.visual', 'prompts.text'
TOKENS = 'text.token_embedding.weight'


@dataclass
class Neutral:
    """A checkpoint's weights, and where each of them came from.

    Attributes:
        weights (dict[str, Tensor]): float32 tensors as OpenCLIP's
            CustomTextCLIP names them (``visual.*``, ``text.*``,
            ``logit_scale``), and learnt prompts [depth, n, width] as
            ``prompts.visual`` and ``prompts.text``.
        used (dict[str, str]): The source's key to the key here.
        dropped (dict[str, str]): The source's key to the reason.
    """
    weights: StateDict = field(default_factory=dict)
    used: Dict[str, str] = field(default_factory=dict)
    dropped: Dict[str, str] = field(default_factory=dict)

    def take(self, source: str, name: str, value: torch.Tensor) -> None:
        """Use a tensor under its name here."""
        self.used[source] = name
        self.weights[name] = as_float(value)

    def drop(self, source: str, reason: str) -> None:
        """Leave a tensor out."""
        self.dropped[source] = reason


@dataclass
class Written:
    """Weights in a target's layout.

    Attributes:
        state (dict[str, Tensor]): Under the target's keys.
        origin (dict[str, str]): The target's key to the neutral name.
        dropped (dict[str, str]): The neutral name to the reason.
    """
    state: StateDict = field(default_factory=dict)
    origin: Dict[str, str] = field(default_factory=dict)
    dropped: Dict[str, str] = field(default_factory=dict)

    def put(self, key: str, name: str, value: torch.Tensor) -> None:
        """Write a tensor."""
        self.state[key], self.origin[key] = value.contiguous(), name

    def drop(self, name: str, reason: str) -> None:
        """Leave a tensor out."""
        self.dropped[name] = reason


def as_float(value: torch.Tensor) -> torch.Tensor:
    """float32 if it is of any floating type."""
    return value.float() if value.is_floating_point() else value
