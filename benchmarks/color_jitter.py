#!/usr/bin/env python
"""Time the colour jitter of training beside reading, and beside others.

    python benchmarks/color_jitter.py VIDEO

The subjects take turns on the same 16 frames of 224 x 224 pixels: ours
(FrameColorJitter), and torchvision's ColorJitter frame by frame on PIL images
(the way of the paper's release) and on tensors. "reading" is all that stands
before it in the training pipeline of configs/vifi_k400.py.
"""
import sys
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from PIL import Image
from torchvision.transforms import ColorJitter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.vifi_clip.datasets import FrameColorJitter  # noqa: E402
from projects.vifi_clip_tools.complexity.measure import timed  # noqa: E402
from projects.vifi_clip_tools.complexity.specs import (  # noqa: E402
    load_spec, parse_spec)

REPEATS = 20


def main(video: str) -> None:
    """Print a line for each subject: median, minimum and maximum."""
    init_default_scope('mmaction')
    cv2.setNumThreads(0)  # as a data worker
    torch.set_num_threads(1)
    pipeline = load_spec(parse_spec('vifi_k400:NUM_FRAMES=16')).train_pipeline
    kinds = [step['type'] for step in pipeline]
    reader = Compose(pipeline[:kinds.index('RandomApply')])
    sample = dict(filename=video, label=0, start_index=0, modality='RGB')
    frames = reader(dict(sample))['imgs']
    strengths = dict(brightness=.4, contrast=.4, saturation=.2, hue=.1)
    ours, theirs = FrameColorJitter(**strengths), ColorJitter(**strengths)
    subjects = {
        'reading': lambda: reader(dict(sample)),
        'ours': lambda: ours(dict(imgs=frames)),
        'torchvision on PIL': lambda: [
            np.asarray(theirs(Image.fromarray(f))) for f in frames],
        'torchvision on tensors': lambda: [
            theirs(torch.from_numpy(f).permute(2, 0, 1)) for f in frames],
    }
    runs = {name: [] for name in subjects}
    for _ in range(REPEATS):
        for name, call in subjects.items():
            runs[name].append(1000 * timed(call, 'cpu')[0])
    for name, times in runs.items():
        print(f'{name:24} {median(times):7.1f} ms ({min(times):.1f} to '
              f'{max(times):.1f})')


if __name__ == '__main__':
    main(*sys.argv[1:])
