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
import sys
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    """Print a line for each subject: median, minimum and maximum."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('video')
    parser.add_argument('--frames', type=int, default=16)
    parser.add_argument('--repeats', type=int, default=20)
    args = parser.parse_args()
    from mmengine.dataset import Compose
    from mmengine.registry import init_default_scope
    from PIL import Image
    from torchvision.transforms import ColorJitter

    from projects.vifi_clip.datasets import FrameColorJitter
    from projects.vifi_clip_tools.complexity.measure import timed
    from projects.vifi_clip_tools.complexity.specs import load_spec, parse_spec
    from mmaction.datasets.transforms import ColorJitter as ClipJitter
    init_default_scope('mmaction')
    cv2.setNumThreads(0)  # as a data worker
    torch.set_num_threads(1)
    pipeline = load_spec(parse_spec(
        f'vifi_k400:NUM_FRAMES={args.frames}')).train_pipeline
    kinds = [step['type'] for step in pipeline]
    reader = Compose(pipeline[:kinds.index('RandomApply')])
    sample = dict(filename=args.video, label=0, start_index=0, modality='RGB')
    frames = reader(dict(sample))['imgs']
    strengths = dict(brightness=.4, contrast=.4, saturation=.2, hue=.1)
    ours, theirs, clip = (kind(**strengths) for kind in (
        FrameColorJitter, ColorJitter, ClipJitter))
    subjects = {
        'reading': lambda: reader(dict(sample)),
        'ours': lambda: ours(dict(imgs=frames)),
        'torchvision on PIL': lambda: [
            np.asarray(theirs(Image.fromarray(f))) for f in frames],
        'torchvision on tensors': lambda: [
            theirs(torch.from_numpy(f).permute(2, 0, 1)) for f in frames],
        'MMAction2, once a clip': lambda: clip(dict(imgs=frames)),
    }
    runs = {name: [] for name in subjects}
    for _ in range(args.repeats):
        for name, call in subjects.items():
            runs[name].append(1000 * timed(call, 'cpu')[0])
    print(f'{args.frames} frames, ms: median (min to max), in turns')
    for name, times in runs.items():
        print(f'{name:24} {median(times):7.1f} ({min(times):.1f} to '
              f'{max(times):.1f})  '
              f'{median(times) / median(runs["ours"]):5.2f} of ours')


if __name__ == '__main__':
    main()
