#!/usr/bin/env python
"""Time the colour jitter of training beside reading, and beside others.

    python benchmarks/color_jitter.py VIDEO [--frames 16] [--repeats 20]

The subjects take turns on the same frames of 224 x 224 pixels: ours
(FrameColorJitter), torchvision's ColorJitter frame by frame on PIL images (the
way of the paper's release) and on tensors, and MMAction2's, which draws once a
clip. "reading" is all that stands before it in the training pipeline of
configs/vifi_k400.py.
"""
import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def subjects(pipeline: list, path: str) -> dict:
    """Return what to time, by name; all but reading take the same frames."""
    from mmaction.datasets.transforms import ColorJitter as MMActionJitter
    from mmengine.dataset import Compose
    from PIL import Image
    from torchvision.transforms import ColorJitter

    from projects.vifi_clip.datasets import FrameColorJitter
    kinds = [step['type'] for step in pipeline]
    reader = Compose(pipeline[:kinds.index('RandomApply')])

    def read() -> list:
        return reader(dict(filename=path, label=0, start_index=0,
                           modality='RGB'))['imgs']

    frames = read()
    strengths = dict(brightness=.4, contrast=.4, saturation=.2, hue=.1)
    ours, theirs = FrameColorJitter(**strengths), ColorJitter(**strengths)
    clip = MMActionJitter(**strengths)
    return {
        'reading': read,
        'ours': lambda: ours(dict(imgs=frames)),
        'torchvision on PIL': lambda: [
            np.asarray(theirs(Image.fromarray(f))) for f in frames],
        'torchvision on tensors': lambda: [
            theirs(torch.from_numpy(f).permute(2, 0, 1)) for f in frames],
        'MMAction2, once a clip': lambda: clip(dict(imgs=frames)),
    }


def main() -> None:
    """Print a line for each subject: median, minimum and maximum."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('video')
    parser.add_argument('--frames', type=int, default=16)
    parser.add_argument('--repeats', type=int, default=20)
    args = parser.parse_args()
    os.environ.update(PRETRAINED='none', NUM_FRAMES=str(args.frames))
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import projects.vifi_clip  # noqa: F401
    init_default_scope('mmaction')
    cv2.setNumThreads(0)  # as a data worker
    torch.set_num_threads(1)
    cfg = Config.fromfile(ROOT / 'configs/vifi_k400.py')
    functions = subjects(cfg.train_pipeline, args.video)
    times: dict = {name: [] for name in functions}
    for _ in range(args.repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(1000 * (time.perf_counter() - start))
    ours = statistics.median(times['ours'])
    print(f'{args.frames} frames, ms: median (min to max), in turns')
    for name, runs in times.items():
        middle = statistics.median(runs)
        print(f'{name:24} {middle:7.1f} ({min(runs):.1f} to '
              f'{max(runs):.1f})  {middle / ours:5.2f} of ours')


if __name__ == '__main__':
    main()
