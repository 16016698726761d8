"""Exported files against the model that they were made of.

Letters: B clips, T frames, M sentences, L tokens, K classes, D embedding.
"""
from dataclasses import dataclass
from typing import Callable, List, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from projects.vifi_clip.models.recognizer import embed_frames
from projects.vifi_clip.models.text_tower import encode_tokens, end_positions

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Check:
    """One run of an exported file on random input.

    Attributes:
        file (str): Name of the file.
        batch (int): B or M.
        length (int): T or L.
        difference (float): Largest absolute difference from the model.
    """
    file: str
    batch: int
    length: int
    difference: float

    @property
    def passed(self) -> bool:
        """Whether the difference is small enough; NaN is not."""
        return self.difference <= TOLERANCE


@torch.no_grad()
def model_output(model: nn.Module, module: nn.Module, x: Tensor) -> Tensor:
    """Compute what the model itself makes of an exported part's input.

    Clips go through its data preprocessor, backbone and head as a test does,
    sentences through the text tower as class names do: not through the
    module that was exported.

    Args:
        model (nn.Module): A ViFiCLIP.
        module (nn.Module): The part, which says what ``x`` is.
        x (Tensor): Its input.

    Returns:
        Tensor: [B, D], [B, K] or [M, D].
    """
    if module.input_name == 'tokens':
        classifier = model.cls_head.text_classifier
        ends = end_positions(classifier.text, x)
        return F.normalize(encode_tokens(
            classifier.text, x, ends, classifier.prompts), dim=-1)
    head, (batch, num_frames) = model.cls_head, x.shape[:2]
    if x.dtype == torch.uint8:
        clips = [clip.permute(0, 3, 1, 2) for clip in x]
        # B x [T, 3, H, W], as FormatShape leaves them
        x = model.data_preprocessor(
            dict(inputs=clips, data_samples=[None] * batch))['inputs']
    fused = head.fuse(embed_frames(model, x, num_frames))[:, 0]
    # [B, 1, T, D] -> [B, D]
    if module.output_name == 'probabilities':
        return head.class_logits(fused).softmax(-1)
    return fused


def check_sizes(module: nn.Module, frames: Sequence[int],
                batches: Sequence[int]) -> List[Tuple[int, int]]:
    """Return the sizes (B, T) or (M, L) that a part is run at."""
    lengths = frames
    if module.input_name == 'tokens':
        longest = module.context_length
        lengths = [longest]
        if 1 in module.dynamic():
            shortest = module.shortest
            lengths = sorted({shortest, (shortest + longest) // 2, longest})
    return [(batch, length) for batch in batches for length in lengths]


def check_file(name: str,
               run: Callable[[np.ndarray], np.ndarray],
               model: nn.Module,
               module: nn.Module,
               sizes: Sequence[Tuple[int, int]]) -> List[Check]:
    """Run an exported file and the model on the same random input.

    Args:
        name (str): For the results.
        run (Callable): Runs the file.
        model (nn.Module): A ViFiCLIP on CPU.
        module (nn.Module): The part that was exported.
        sizes (Sequence[tuple[int, int]]): See :func:`check_sizes`.
    """
    checks = []
    for batch, length in sizes:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            x = module.example(batch, length)
        expected = model_output(model, module, x).float()
        output = torch.from_numpy(run(x.numpy()))
        difference = float('nan')
        if output.shape == expected.shape:
            difference = (output - expected).abs().max().item()
        checks.append(Check(name, batch, length, difference))
    return checks


def table(checks: Sequence[Check]) -> str:
    """Return checks as text of at most 80 columns."""
    lines = [f'{"file":<24} {"batch":>6} {"length":>7} {"difference":>11}']
    for check in checks:
        lines.append(f'{check.file:<24} {check.batch:>6} {check.length:>7} '
                     f'{check.difference:>11.1e}'
                     f'{"" if check.passed else "  too large"}')
    return '\n'.join(lines)
