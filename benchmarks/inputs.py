"""What the subjects are given.

Letters: B videos, T frames, C classes.
"""
import contextlib
from typing import List

import torch
from mmaction.structures import ActionDataSample
from torch import Tensor

from projects.vifi_clip.architectures import get_arch_cfg
from projects.vifi_clip.resources import root
from .cases import Case

ROOT = root()


def class_names(num: int) -> List[str]:
    """As many class names: of HMDB-51, of Kinetics-400, or its, numbered."""
    folder = ROOT / 'data_splits' / ('hmdb51' if num <= 51 else 'k400')
    names = (folder / 'classes.txt').read_text().split('\n')
    names = [name for name in names if name]
    if num <= len(names):
        return names[:num]
    return [f'{names[i % len(names)]} {i // len(names)}' for i in range(num)]


def frames_of(case: Case, size: int = 224) -> Tensor:
    """uint8 frames [B, T, 3, H, W], every one another."""
    generator = torch.Generator().manual_seed(1)
    shape = (case.batch, case.frames, 3, size, size)
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=generator)


def image_size(case: Case) -> int:
    return get_arch_cfg(case.arch)['vision_cfg']['image_size']


def precision(case: Case, device: str):
    """The context that a case computes in."""
    if case.precision == 'bf16':
        return torch.autocast(device, torch.bfloat16)
    return contextlib.nullcontext()


def batch(frames: Tensor, labels=None) -> dict:
    """Frames as a data loader hands them over."""
    samples = []
    for i in range(len(frames)):
        label = 0 if labels is None else int(labels[i])
        samples.append(ActionDataSample().set_gt_label(label))
    return dict(inputs=list(frames), data_samples=samples)
