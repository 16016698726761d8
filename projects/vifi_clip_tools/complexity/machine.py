"""The machine, and the limit it sets: its matrix-multiply peak."""
import os
import platform
from statistics import median
from time import perf_counter
from typing import Callable, Dict, List

import torch

# Sizes at which CPU and GPU libraries come close to their best.
_CPU_SIZES = ((2048, 2048, 2048), (4096, 4096, 4096), (3152, 768, 3072))
_GPU_SIZES = ((8192, 8192, 8192), (16384, 4096, 4096))
DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16)


def describe(device: str) -> Dict[str, object]:
    """What a reader must know to compare figures.

    Args:
        device (str): 'cpu' or 'cuda'.
    """
    import open_clip
    import transformers
    about = dict(
        device=device,
        cpu=cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(
            os, 'sched_getaffinity') else os.cpu_count(),
        threads=torch.get_num_threads(),
        memory_gib=round(_total_memory() / 2**30, 1),
        system=f'{platform.system()} {platform.machine()}',
        python=platform.python_version(),
        torch=torch.__version__,
        open_clip=open_clip.__version__,
        transformers=transformers.__version__,
        load_average=round(os.getloadavg()[0], 2),
        allocator={
            name: value
            for name, value in os.environ.items()
            if name.startswith('MALLOC_')
        },
        omp={
            name: value
            for name, value in os.environ.items() if name.startswith('OMP_')
        })
    if device == 'cuda':
        about['gpu'] = torch.cuda.get_device_name()
        about['cuda'] = torch.version.cuda
        about['tf32'] = torch.backends.cuda.matmul.allow_tf32
    return about


def cpu_name() -> str:
    """The processor's name, as the system has it."""
    try:
        with open('/proc/cpuinfo') as file:
            for line in file:
                if line.startswith('model name'):
                    return line.split(':', 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def _total_memory() -> int:
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def synchronize(device: str) -> None:
    """Wait for the device, so that a clock tells the truth."""
    if device == 'cuda':
        torch.cuda.synchronize()


def time_calls(call: Callable[[], object], device: str,
               repeats: int) -> List[float]:
    """Seconds of each call, after one that is not counted."""
    call()
    seconds = []
    for _ in range(repeats):
        synchronize(device)
        start = perf_counter()
        call()
        synchronize(device)
        seconds.append(perf_counter() - start)
    return seconds


@torch.inference_mode()
def matmul_peak(device: str, precision: str, repeats: int = 7) -> float:
    """FLOP/s of the best of several matrix products, by median.

    Args:
        device (str): 'cpu' or 'cuda'.
        precision (str): 'fp32' or 'bf16'.
        repeats (int): Products timed of each size. Defaults to 7.
    """
    best = 0.
    for m, k, n in _GPU_SIZES if device == 'cuda' else _CPU_SIZES:
        options = dict(device=device, dtype=DTYPES[precision])
        a, b = torch.randn(m, k, **options), torch.randn(n, k, **options)
        out = torch.empty(m, n, **options)
        seconds = time_calls(lambda: torch.mm(a, b.T, out=out), device,
                             repeats)
        best = max(best, 2 * m * k * n / median(seconds))
    return best
