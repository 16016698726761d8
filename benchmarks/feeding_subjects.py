"""From a file to a sample, in a process of its own: MMAction2's way and ours.

Each function is called in the process that is measured. Seconds are of CPU,
of this process and of those that decode for it.
"""
import logging
import os
import time
import warnings
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple

import cv2
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from torch import Tensor

import projects.vifi_clip  # noqa: F401  fills the registries
from projects.vifi_clip.datasets.transforms import sample_rng
from projects.vifi_clip.datasets.video_reader import READERS, run_pipeline
from projects.vifi_clip.models.device_transforms import make_frames
from projects.vifi_clip_tools.complexity.specs import Spec, load_spec
from .subjects import training_step
from .workloads import Case

NUM_FRAMES = 16  # T of a view
_PACK = [dict(type='FormatShape', input_format='NCHW'),
         dict(type='PackActionInputs')]
# The paper's, in MMAction2's own operators.
MMACTION2 = dict(
    train=[
        dict(type='DecordInit'),
        dict(type='SampleFrames', clip_len=1, frame_interval=1,
             num_clips=NUM_FRAMES),
        dict(type='DecordDecode'),
        dict(type='Resize', scale=(-1, 256)),
        dict(type='MultiScaleCrop', input_size=224,
             scales=(1, 0.875, 0.75, 0.66), random_crop=False,
             max_wh_scale_gap=1),
        dict(type='Resize', scale=(224, 224), keep_ratio=False),
        dict(type='Flip', flip_ratio=0.5),
        dict(type='RandomApply', prob=0.8, transforms=[
            dict(type='ColorJitter', brightness=0.4, contrast=0.4,
                 saturation=0.2, hue=0.1)]),
        dict(type='TorchVisionWrapper', op='RandomGrayscale', p=0.2), *_PACK],
    test=[
        dict(type='DecordInit'),
        dict(type='UniformSample', clip_len=NUM_FRAMES, num_clips=4,
             test_mode=True),
        dict(type='DecordDecode'),
        dict(type='Resize', scale=(-1, 224)),
        dict(type='ThreeCrop', crop_size=224), *_PACK])


class Sample(NamedTuple):
    """What a sample cost, in milliseconds of CPU."""

    total: float
    transforms: float  # all that follows decoding
    device: float  # what the model's device then does, here the CPU


def pipeline_of(subject: str, work: str) -> List[dict]:
    """Return the steps of a subject as a config has them; ``work`` is 'train',
    one sparse view with augmentation, or 'test', 4x3 views."""
    if subject == 'mmaction2':
        return MMACTION2[work]
    where = 'device' if subject.endswith('device') else 'worker'
    cfg = load_spec(Spec('', 'vifi_k400', dict(
        NUM_FRAMES=str(NUM_FRAMES), TRANSFORMS=where)))
    return cfg.train_pipeline if work == 'train' else cfg.test_pipeline


@lru_cache
def _steps(subject: str, work: str) -> list:
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    cv2.setNumThreads(0)  # as a data worker
    torch.set_num_threads(1)
    init_default_scope('mmaction')
    return Compose(pipeline_of(subject, work)).transforms


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that live."""
    seconds = time.process_time()
    for child in _children():
        with suppress(OSError):  # it has just ended
            # The clock of another process, see clock_getcpuclockid(3).
            seconds += time.clock_gettime((~int(child) << 3) | 2)
    return seconds


def _children() -> List[str]:
    found = []
    for task in Path('/proc/self/task').iterdir():
        with suppress(OSError):  # the thread has just ended
            found += (task / 'children').read_text().split()
    return found


def read(subject: str, work: str, path: str, *seed: int) -> Dict[str, Any]:
    """Return a sample of a file as a data set's pipeline makes it."""
    return _read(_steps(subject, work), path, *seed)


def _read(steps: list, path: str, *seed: int) -> Dict[str, Any]:
    with sample_rng(*seed):  # all subjects draw the same frames
        return run_pipeline(steps, dict(
            filename=path, label=0, start_index=0, modality='RGB'))


def measure(subject: str, work: str, path: str, *seed: int) -> Sample:
    """Read a file, and return what that cost."""
    steps, marks = list(_steps(subject, work)), []

    def mark(results: dict) -> dict:
        marks.append(cpu_seconds())
        return results

    last = max(i for i, step in enumerate(steps) if isinstance(step, READERS))
    steps.insert(last + 1, mark)
    start = cpu_seconds()
    sample = _read(steps, path, *seed)
    end = cpu_seconds()
    clip = sample['data_samples'].pop('deferred', None)
    if clip is not None:
        make_frames([sample['inputs']], [clip])
    return Sample(1e3 * (end - start), 1e3 * (end - marks[-1]),
                  1e3 * (cpu_seconds() - end))


@lru_cache
def _training_step(arch: str, threads: int) -> Callable[[dict], Tensor]:
    step = training_step(Case('vifi', 'step', frames=NUM_FRAMES, arch=arch,
                              precision='bf16'), 'cpu')
    torch.set_num_threads(threads)
    return step


def train(subject: str, path: str, arch: str, threads: int, *seed: int
          ) -> float:
    """Take a training step of one file; returns its CPU milliseconds."""
    _steps(subject, 'train')
    step = _training_step(arch, threads)
    start = cpu_seconds()
    step(pseudo_collate([read(subject, 'train', path, *seed)]))
    return 1e3 * (cpu_seconds() - start)


def memory_over(subject: str, paths: List[str], samples: int
                ) -> List[float]:
    """Return the MiB of this process and of those that decode for it, after
    each tenth of so many training samples."""
    found = []
    for i in range(samples):
        read(subject, 'train', paths[i % len(paths)], i)
        if (i + 1) % max(1, samples // 10) == 0:
            found.append(sum(_resident(pid) for pid in ['self', *_children()])
                         / 2**20)
    return found


def _resident(pid: str) -> int:
    with suppress(OSError):  # it has just ended
        pages = Path(f'/proc/{pid}/statm').read_text().split()[1]
        return int(pages) * os.sysconf('SC_PAGE_SIZE')
    return 0
