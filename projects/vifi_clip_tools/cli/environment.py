"""Settings of the process that make CPU work fast, for whoever set none."""
import ctypes
import os
import platform
from typing import MutableMapping

# glibc gives freed blocks of 32 MiB and more back to the system, so that each
# large tensor is page-faulted in anew: tens of times slower than its kernel.
# Name, number of mallopt(3), value:
MALLOC = (
    ('MALLOC_MMAP_THRESHOLD_', -3, 2**32),  # large blocks from the heap,
    ('MALLOC_TRIM_THRESHOLD_', -1, 2**33),  # which keeps what is freed
    ('MALLOC_TOP_PAD_', -2, 2**28))  # and grows in steps of 256 MiB


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set what the user has not, for this process and those that it starts.

    Must run before torch is imported: OpenMP reads its setting once. The
    allocator of this process is told through ``mallopt``, since glibc reads
    its variables before Python starts; the variables are for children.
    """
    # Threads that wait must not spin: data workers and other processes need
    # the cores (2 cores, one busy neighbour: 1.39 s a step spinning, 0.27 s
    # not).
    environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    if (platform.libc_ver()[0] != 'glibc'
            or any(name in environ for name, _, _ in MALLOC)
            or 'glibc.malloc' in environ.get('GLIBC_TUNABLES', '')):
        return
    for name, number, value in MALLOC:
        # mallopt takes an int; 2 GiB - 1 is its largest
        ctypes.CDLL(None).mallopt(number, min(value, 2**31 - 1))
        environ[name] = str(value)
