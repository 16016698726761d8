"""Throughput and peak memory of configs, each in a process of its own.

Weights are random, pixels are noise, and the class embeddings are encoded
before the clock starts, as they are once for a whole test. Only the standard
library is imported at once: new processes start with this file.
"""
from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Callable, Dict, Optional, Tuple

from .specs import Spec, load_spec

_WARM_UP = 2  # calls; the first encodes the classes


@dataclass(frozen=True)
class Conditions:
    """How to measure: B views a call, ``repeats`` timed calls; ``threads`` of
    torch, None for the usable cores; 'bf16' is autocast."""
    device: str = 'cpu'
    batch: int = 1
    repeats: int = 5
    threads: Optional[int] = 1
    precision: str = 'fp32'


def new_process() -> ProcessPoolExecutor:
    """Return a pool of one new process, so that peaks of memory are its own.
    What a function leaves in its module is there at the next call."""
    return ProcessPoolExecutor(
        1, get_context('spawn'), initializer=_die_first)


def _die_first() -> None:
    """Where memory runs out, let Linux kill this process and no other."""
    with contextlib.suppress(OSError):
        Path('/proc/self/oom_score_adj').write_text('1000')


def reason(error: Exception) -> str:
    """Say in one line why a call in a process of its own failed."""
    if isinstance(error, BrokenProcessPool):
        return 'its process was killed, most likely for lack of memory'
    first, *_ = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {first}'


def measure(spec: Spec, conditions: Conditions) -> Dict[str, Any]:
    """Measure a config in a new process: ``seconds`` of each call,
    ``views_per_second`` (``median``, ``min``, ``max``) and ``peak_bytes``; or
    ``error``, one line."""
    with new_process() as pool:
        try:
            seconds, peak = pool.submit(
                _measure_here, spec, conditions).result()
        except Exception as error:  # of any library that a model uses
            return dict(error=reason(error))
    rates = [conditions.batch / s for s in seconds]
    return dict(seconds=seconds, views_per_second=dict(
        median=median(rates), min=min(rates), max=max(rates)), peak_bytes=peak)


def _measure_here(spec: Spec, conditions: Conditions) -> tuple:
    """Return seconds of each call, and the peak of this process in bytes."""
    import logging
    import warnings

    import torch
    from tqdm import trange
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    from .count import build, clip_shape, view_shape
    device = conditions.device
    torch.set_num_threads(conditions.threads)
    torch.manual_seed(0)
    cfg = load_spec(spec)
    model = build(cfg).eval().to(device)
    shape = clip_shape(model, *view_shape(cfg, model))
    views = torch.randint(
        0, 256, (conditions.batch, *shape), dtype=torch.uint8)
    reset_peak(device)

    def call() -> None:
        """A test step, from uint8 pixels to scores."""
        with torch.no_grad(), precision(conditions.precision, device):
            if hasattr(model, 'embed_video'):  # retrieval: no captions
                model.embed_video(model.data_preprocessor.preprocessors[
                    'imgs'](batch(views))['inputs'])
            else:
                model.test_step(batch(views))

    seconds = [timed(call, device)[0] for _ in trange(
        _WARM_UP + conditions.repeats, unit='call', desc=' '.join(spec.title))]
    return seconds[_WARM_UP:], peak_bytes(device)


def batch(frames: Any, labels: Any = None) -> dict:
    """Pack frames, uint8 [B, ...], as a data loader hands them over."""
    from mmaction.structures import ActionDataSample
    return dict(inputs=list(frames), data_samples=[
        ActionDataSample().set_gt_label(int(label))
        for label in labels or [0] * len(frames)])


def precision(name: str, device: str) -> contextlib.AbstractContextManager:
    """Return the context to compute in: autocast for 'bf16'."""
    import torch
    return torch.autocast(device, torch.bfloat16, enabled=name == 'bf16')


def timed(call: Callable[[], Any], device: str) -> Tuple[float, Any]:
    """Return a call's seconds, the device's work included, and its result."""
    import torch
    wait = torch.cuda.synchronize if device == 'cuda' else lambda: None
    wait()
    start = perf_counter()
    result = call()
    wait()
    return perf_counter() - start, result


def reset_peak(device: str) -> None:
    """Start a new peak of memory, as far as the system can; where it cannot,
    the peak is the process's whole life's."""
    if device == 'cuda':
        import torch
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform.startswith('linux'):
        libc = ctypes.CDLL(None)
        if hasattr(libc, 'malloc_trim'):  # give back what is free
            libc.malloc_trim(0)
        with contextlib.suppress(OSError):
            Path('/proc/self/clear_refs').write_text('5')  # see proc(5)


def peak_bytes(device: str) -> int:
    """Return the peak since :func:`reset_peak`: of GPU memory allocated, or
    of the process's resident memory, interpreter and libraries included."""
    if device == 'cuda':
        import torch
        return torch.cuda.max_memory_allocated()
    peak = _proc('/proc/self/status', 'VmHWM')
    if peak:
        return int(peak.split()[0]) * 1024
    import resource  # which Windows does not have
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def cpu_name() -> str:
    """Return the processor's name, as the system has it."""
    return _proc('/proc/cpuinfo', 'model name') or platform.processor()


def _proc(path: str, key: str) -> str:
    """Return the first value of a key in a file of Linux, '' elsewhere."""
    with contextlib.suppress(OSError), open(path) as file:
        for line in file:
            if line.startswith(key):
                return line.partition(':')[2].strip()
    return ''


def machine(conditions: Conditions) -> str:
    """Describe what was measured on, in one line."""
    import torch
    threads = conditions.threads
    name = torch.cuda.get_device_name() if conditions.device == 'cuda' else (
        f'{cpu_name()}, {threads} thread{"s" if threads > 1 else ""}')
    return (f'{name}; PyTorch {torch.__version__}, {conditions.precision}, '
            f'batch {conditions.batch}, {conditions.repeats} calls after '
            f'{_WARM_UP} of warm-up; load average {os.getloadavg()[0]:.1f}')
