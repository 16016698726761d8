"""Clips of one colour each, with captions that tell it."""
import json
from pathlib import Path

import numpy as np
from helpers import write_mp4
from tiny import tiny_arch
from tools_world import PIPELINES

WORDS = dict(red=(220, 30, 30), green=(30, 200, 40), blue=(30, 60, 220),
             yellow=(230, 220, 40), white=(240, 240, 240))


def write_captioned_world(root: Path) -> Path:
    """Ten clips with two captions each to train on, five to test on."""
    (root / 'videos').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in dict(train=10, test=5).items():
        captions = {}
        for i in range(count):
            name, word = f'{split}_{i}.mp4', list(WORDS)[i % len(WORDS)]
            noise = rng.integers(-25, 25, (12, 48, 64, 3))
            frames = (np.array(WORDS[word]) + noise).clip(0, 255)
            write_mp4(root / 'videos' / name, frames=frames.astype(np.uint8))
            captions[name] = [f'a {word} wall', f'all is {word}'][
                :1 + (split == 'train')]
        (root / f'{split}.json').write_text(json.dumps(captions))
    return root


def captioned_loader(root: Path, split: str, batch_size: int) -> dict:
    """Config of a loader of that world."""
    pipeline = PIPELINES['train' if split == 'train' else 'val'][:-1]
    pipeline = [step for step in pipeline if step['type'] != 'Flip']
    pipeline += [
        dict(type='OpenCLIPTokenize', arch=tiny_arch()),
        dict(type='PackActionInputs', collect_keys=('imgs', 'text'))
    ]
    return dict(
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=split == 'train'),
        dataset=dict(
            type='CheckedVideoTextDataset',
            ann_file=f'{split}.json',
            data_root=str(root),
            data_prefix=dict(video='videos'),
            pipeline=pipeline,
            test_mode=split != 'train'))
