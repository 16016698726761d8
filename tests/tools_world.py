"""A world of a few real clips, and the tools run on it."""
import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from helpers import write_mp4
from tiny import NAMES, model_cfg
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

REPO = Path(__file__).parents[1]
NUM_FRAMES = 4
PREPROCESSOR = dict(
    type='ActionDataPreprocessor', mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375], format_shape='NCHW')
BLENDING = dict(type='RandomBatchAugment', probs=[0.5, 0.5], augments=[
    dict(type='MixupBlending', alpha=0.8, num_classes=len(NAMES)),
    dict(type='CutmixBlending', alpha=1.0, num_classes=len(NAMES))])

_PACK = [dict(type='FormatShape', input_format='NCHW'),
         dict(type='PackActionInputs')]
PIPELINES = dict(
    train=[
        dict(type='VideoReader'),
        dict(type='SampleFrames', clip_len=1, frame_interval=1,
             num_clips=NUM_FRAMES),
        dict(type='DecordDecode'),
        dict(type='Resize', scale=(-1, 36)),
        dict(type='MultiScaleCrop', input_size=32, scales=(1, 0.75),
             random_crop=True, max_wh_scale_gap=1),
        dict(type='Resize', scale=(32, 32), keep_ratio=False),
        dict(type='Flip', flip_ratio=0.5), *_PACK],
    val=[
        dict(type='VideoReader'),
        dict(type='SparseSampleViews', num_frames=NUM_FRAMES),
        dict(type='DecordDecode'),
        dict(type='Resize', scale=(-1, 36)),
        dict(type='CenterCrop', crop_size=32), *_PACK],
    test=[
        dict(type='VideoReader'),
        dict(type='SparseSampleViews', num_frames=NUM_FRAMES, num_views=4),
        dict(type='DecordDecode'),
        dict(type='Resize', scale=(-1, 32)),
        dict(type='ThreeCrop', crop_size=32), *_PACK])


def write_world(root: Path) -> Path:
    """Eight clips to train on and five to test on, of four classes."""
    (root / 'videos').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in dict(train=8, val=5).items():
        lines = []
        for i in range(count):
            name, label = f'{split}_{i}.mp4', i % len(NAMES)
            colour = np.array([(label & 1) * 160, (label & 2) * 80, 60])
            frames = colour + rng.integers(0, 60, (12, 48, 64, 3))
            write_mp4(root / 'videos' / name, frames=frames.astype(np.uint8))
            lines.append(f'{name} {label}')
        (root / f'{split}.txt').write_text('\n'.join(lines) + '\n')
    (root / 'classes.txt').write_text('\n'.join(NAMES) + '\n')
    return root


def settings_of(root: Path) -> dict:
    """All settings of a small config, over the repository's runtime."""
    def loader(split, list_file, batch_size):
        return dict(
            batch_size=batch_size, num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=split == 'train'),
            dataset=dict(
                type='CheckedVideoDataset', ann_file=list_file,
                data_root=str(root), data_prefix=dict(video='videos'),
                class_file=f'{root}/classes.txt', pipeline=PIPELINES[split],
                test_mode=split != 'train'))

    return dict(
        _base_=[str(REPO / 'configs/_base_/runtime.py')],
        model=model_cfg(
            num_frames=NUM_FRAMES, data_preprocessor=PREPROCESSOR),
        val_pipeline=PIPELINES['val'],
        train_dataloader=loader('train', 'train.txt', 4),
        val_dataloader=loader('val', 'val.txt', 4),
        test_dataloader=loader('test', 'val.txt', 2),
        val_evaluator=dict(type='VideoAccMetric'),
        test_evaluator=dict(type='VideoAccMetric'),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=1),
        val_cfg=dict(type='ValLoop'), test_cfg=dict(type='TestLoop'),
        optim_wrapper=dict(type='AutocastOptimWrapper', dtype='float32',
                           optimizer=dict(type='AdamW', lr=1e-3)))


def stop_workers() -> None:
    """End what persistent workers a run left. In a reference cycle they lose
    their queues first, and torch then waits 5 s for each."""
    for item in gc.get_objects():
        if type(item) is _MultiProcessingDataLoaderIter:
            item._shutdown_workers()


def ended(*command, cwd, code=0) -> str:
    """Run a command with this Python's environment, one thread, until it ends
    with an exit code; return what it printed."""
    here = os.path.dirname(sys.executable)
    env = dict(os.environ, OMP_NUM_THREADS='1',
               PATH=here + os.pathsep + os.environ['PATH'])
    for name in 'LOCAL_RANK', 'RANK', 'WORLD_SIZE', 'VIFI_TRACEBACK':
        env.pop(name, None)
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=500)
    assert done.returncode == code, done.stdout[-5000:]
    return done.stdout
