"""Exported files against the model that they were made of, and on videos.

Letters: B clips, T frames, M sentences, L tokens, K classes, D embedding,
N videos.
"""
import os.path as osp
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.datasets.class_list import read_class_list
from projects.vifi_clip.datasets.path_hints import remedy
from projects.vifi_clip.datasets.video_list import (check_video_root,
                                                    find_missing,
                                                    read_video_list)
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.models.recognizer import embed_frames
from projects.vifi_clip.models.text_tower import encode_tokens, end_positions

TOLERANCE = 1e-4
Run = Callable[[np.ndarray], np.ndarray]  # an exported file's
Videos = List[Tuple[str, int]]


@dataclass(frozen=True)
class Check:
    """One run of an exported file on random input."""
    file: str
    batch: int  # B or M
    length: int  # T or L
    difference: float  # largest absolute one from the model

    @property
    def passed(self) -> bool:
        """Whether the difference is small enough; NaN is not."""
        return self.difference <= TOLERANCE


@torch.no_grad()
def model_output(model: nn.Module, module: nn.Module, x: Tensor) -> Tensor:
    """Compute what the model itself makes of an exported part's input: [B, D],
    [B, K] or [M, D]. Clips and sentences go as in a test through its own data
    preprocessor, towers and head, not through the exported module."""
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


def check_file(name: str, run: Run, model: nn.Module, module: nn.Module,
               sizes: Sequence[Tuple[int, int]]) -> List[Check]:
    """Run an exported file and the model on the same random input of each
    of the sizes; ``run`` runs the file, ``module`` is what was exported."""
    checks = []
    for batch, length in sizes:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            x = module.example(batch, length)
        expected = model_output(model, module, x).float()
        output = torch.from_numpy(run(x.numpy()))
        difference = ((output - expected).abs().max().item()
                      if output.shape == expected.shape else float('nan'))
        checks.append(Check(name, batch, length, difference))
    return checks


def table(checks: Sequence[Check]) -> str:
    """Return checks as text of at most 80 columns."""
    return '\n'.join(
        [f'{"file":<24} {"batch":>6} {"length":>7} {"difference":>11}'] +
        [f'{check.file:<24} {check.batch:>6} {check.length:>7} '
         f'{check.difference:>11.1e}{"" if check.passed else "  too large"}'
         for check in checks])


def find_videos(evaluate: str, root: Optional[str],
                infer: ViFiCLIPInferencer) -> Videos:
    """Return the videos to run, with their labels: those of a list of ``path
    label`` lines below a root, or with 'config' the config's test set."""
    if evaluate == 'config':
        evaluate, root = _test_set(infer)
    check_video_root(root)
    videos = [(osp.join(root or '', path), label) for path, label in
              read_video_list(evaluate, num_classes=len(infer.class_names))]
    missing = find_missing([path for path, _ in videos])
    if missing:
        first = videos[missing[0]][0]
        raise FileNotFoundError(
            f'{evaluate}: {len(missing)} of {len(videos)} videos are absent, '
            f'such as {first}{remedy(first)}; give their folder as --root')
    return videos


def _test_set(infer: ViFiCLIPInferencer) -> Tuple[str, str]:
    """Return the list and the folder of a config's test set."""
    dataset = (infer.cfg.get('test_dataloader') or {}).get('dataset') or {}
    if not dataset.get('ann_file'):
        raise UserError(f'{infer.cfg.filename} has no test set; give '
                        '--evaluate a list')
    classes = dataset.get('class_file')
    if classes and read_class_list(classes) != infer.class_names:
        raise UserError(f'the test set has other classes ({classes}); leave '
                        'out --labels, or give --evaluate a list')
    base = dataset.get('data_root') or ''
    prefix = (dataset.get('data_prefix') or {}).get('video') or ''
    return osp.join(base, dataset.ann_file), osp.join(base, prefix)


def evaluate_files(files: Dict[str, Run], videos: Videos, pixels: str,
                   infer: ViFiCLIPInferencer) -> Dict[str, np.ndarray]:
    """Run classifiers over videos, one view and one video at a time; returns
    the probabilities [N, K] of each."""
    scores: Dict[str, list] = {name: [] for name in files}
    for path, _ in tqdm(videos, desc='evaluate', unit='video'):
        x = infer.sample(path).images
        # [T, H, W, 3]
        if pixels == 'float':
            x = infer.normalise(x).numpy()
        for name, run in files.items():
            scores[name].append(run(x[None])[0])
    return {name: np.stack(rows) for name, rows in scores.items()}


def accuracy_table(scores: Dict[str, np.ndarray],
                   labels: Sequence[int]) -> str:
    """Compare the probabilities [N, K] of files with labels [N], and with the
    first file's: how many best classes changed, and the largest difference.
    Returns text of at most 80 columns."""
    lines = [f'{"file":<24} {"top-1":>7} {"changed":>9} {"difference":>11}'
             f'   {len(labels)} videos']
    first, *others = scores.values()
    top1 = []
    for name, rows in scores.items():
        best = rows.argmax(1)
        top1.append(100 * np.equal(best, labels).mean())
        lines.append(f'{name:<24} {top1[-1]:>6.2f}% '
                     f'{(best != first.argmax(1)).sum():>9} '
                     f'{np.abs(rows - first).max():>11.1e}')
    if others:
        lines.append(f'int8 changes top-1 by {top1[1] - top1[0]:+.2f} points')
    return '\n'.join(lines)
