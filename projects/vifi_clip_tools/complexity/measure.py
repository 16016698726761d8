"""Throughput and peak memory of configs, each in a process of its own.

Weights are random, pixels are noise, and the class embeddings are encoded
before the clock starts, as they are once for a whole test.
"""
from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median
from typing import Callable, Dict, List

from .specs import Spec

_WARM_UP = 2  # calls; the first encodes the classes


@dataclass(frozen=True)
class Job:
    """What to measure, and how.

    Attributes:
        spec (Spec): The config.
        device (str): 'cpu' or 'cuda'.
        batch (int): B, views of one call.
        repeats (int): Timed calls.
        threads (int): Of torch.
        precision (str): 'fp32' or 'bf16' (autocast).
    """
    spec: Spec
    device: str = 'cpu'
    batch: int = 1
    repeats: int = 5
    threads: int = 1
    precision: str = 'fp32'


def measure(job: Job) -> Dict[str, object]:
    """Measure in a new process.

    Returns:
        dict: ``seconds`` of each call, ``views_per_second`` (``median``,
        ``min``, ``max``) and ``peak_bytes``; or ``error``, one line.
    """
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        try:
            seconds, peak = pool.submit(_measure_here, job).result()
        except BrokenProcessPool:
            return dict(error='its process was ended, most likely for want '
                        'of memory')
        except Exception as error:  # of any library that a model uses
            said = str(error).strip().splitlines() or ['']
            return dict(error=f'{type(error).__name__}: {said[0]}')
    rates = [job.batch / s for s in seconds]
    return dict(
        seconds=seconds,
        views_per_second=dict(
            median=median(rates), min=min(rates), max=max(rates)),
        peak_bytes=peak)


def _measure_here(job: Job) -> tuple:
    """Seconds of each call, and the peak of this process in bytes."""
    import logging
    import warnings

    import torch
    from tqdm import tqdm
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    from .machine import time_calls
    from .memory import peak_bytes, reset_peak
    from .count import build
    from .specs import load_spec
    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    cfg = load_spec(job.spec)
    model = build(cfg).eval().to(job.device)
    call = _call(model, cfg, job)
    reset_peak(job.device)
    with tqdm(total=_WARM_UP + job.repeats, unit='call',
              desc=' '.join(job.spec.title)) as bar:

        def shown() -> None:
            call()
            bar.update()

        for _ in range(_WARM_UP - 1):
            shown()
        # leaves its first call out
        seconds = time_calls(shown, job.device, job.repeats)
    return seconds, peak_bytes(job.device)


def _call(model, cfg, job: Job) -> Callable[[], object]:
    """A test step on views in memory, from uint8 pixels to scores."""
    import torch
    from mmaction.models.recognizers import Recognizer3D

    from benchmarks.inputs import batch, precision
    from .complexity_view import view_shape
    frames, size = view_shape(cfg, model)
    shape = (1, 3, frames, *size) if isinstance(
        model, Recognizer3D) else (frames, 3, *size)
    views = torch.randint(0, 256, (job.batch, *shape), dtype=torch.uint8)

    def step():
        if hasattr(model, 'embed_video'):  # retrieval: no captions
            imgs = model.data_preprocessor.preprocessors['imgs'](
                batch(views))['inputs']
            return model.embed_video(imgs)
        return model.test_step(batch(views))

    def call():
        with torch.no_grad(), precision(job, job.device):
            return step()

    return call


def machine(job: Job) -> str:
    """What was measured on, in one line."""
    import os

    import torch

    from .machine import cpu_name
    name = torch.cuda.get_device_name() if job.device == 'cuda' else (
        f'{cpu_name()}, {job.threads} thread'
        f'{"s" if job.threads > 1 else ""}')
    return (f'{name}; PyTorch {torch.__version__}, {job.precision}, batch '
            f'{job.batch}, {job.repeats} calls after {_WARM_UP} of warm-up; '
            f'load average {os.getloadavg()[0]:.1f}')


def measure_all(jobs: List[Job]) -> List[Dict[str, object]]:
    """Measure one after another, so that none disturbs the next."""
    return [measure(job) for job in jobs]
