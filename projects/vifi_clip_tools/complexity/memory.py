"""Peak memory of a process or of its GPU."""
import ctypes
import ctypes.util
import resource
import sys

import torch


def reset_peak(device: str) -> None:
    """Start a new peak, as far as the system can.

    Free memory that the allocator keeps is given back first. Where the
    kernel does not let a process reset its peak, the peak is the process's
    whole life's.
    """
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        return
    if sys.platform.startswith('linux'):
        libc = ctypes.CDLL(ctypes.util.find_library('c') or None)
        if hasattr(libc, 'malloc_trim'):
            libc.malloc_trim(0)
        try:
            with open('/proc/self/clear_refs', 'w') as file:
                file.write('5')  # resets VmHWM, see proc(5)
        except OSError:
            pass


def peak_bytes(device: str) -> int:
    """The peak since :func:`reset_peak`: of GPU memory allocated, or of the
    process's resident memory, the interpreter and its libraries included."""
    if device == 'cuda':
        return torch.cuda.max_memory_allocated()
    try:
        with open('/proc/self/status') as file:
            for line in file:
                if line.startswith('VmHWM:'):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
