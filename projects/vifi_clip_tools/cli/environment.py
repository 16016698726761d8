"""Settings of the process that make CPU work fast, for whoever set none."""
import os
import platform
from typing import Dict, MutableMapping, Optional

# glibc gives freed blocks of 32 MiB and more back to the system, so that each
# large tensor is page-faulted in anew: tens of times slower than its kernel.
MALLOC = dict(
    MALLOC_MMAP_THRESHOLD_=2**32,  # large blocks from the heap,
    MALLOC_TRIM_THRESHOLD_=2**33,  # which keeps what is freed
    MALLOC_TOP_PAD_=2**28)  # and grows in steps of 256 MiB
_MALLOPT = dict(  # numbers of mallopt(3)
    MALLOC_MMAP_THRESHOLD_=-3,
    MALLOC_TRIM_THRESHOLD_=-1,
    MALLOC_TOP_PAD_=-2)
# Threads that wait must not spin: data workers and other processes need the
# cores (2 cores, one busy neighbour: 1.39 s a step spinning, 0.27 s not).
WAIT = dict(OMP_WAIT_POLICY='PASSIVE')


def prepare(environ: Optional[MutableMapping[str, str]] = None) -> None:
    """Set what the user has not, for this process and those that it starts.

    Must run before torch is imported: OpenMP reads its setting once. The
    allocator of this process is told through ``mallopt``, since glibc reads
    its variables before Python starts; the variables are for children.

    Args:
        environ (MutableMapping, optional): Defaults to ``os.environ``.
    """
    environ = os.environ if environ is None else environ
    for name, value in WAIT.items():
        environ.setdefault(name, value)
    missing = absent(environ)
    _tell_allocator(missing)
    environ.update({name: str(value) for name, value in missing.items()})


def absent(environ: MutableMapping[str, str]) -> Dict[str, int]:
    """Allocator settings that are to be made; none if the user made one, or
    where the allocator is not glibc's."""
    if (platform.libc_ver()[0] != 'glibc' or any(n in environ for n in MALLOC)
            or 'glibc.malloc' in environ.get('GLIBC_TUNABLES', '')):
        return {}
    return dict(MALLOC)


def _tell_allocator(settings: Dict[str, int]) -> None:
    if not settings:
        return
    import ctypes
    libc = ctypes.CDLL(None)
    for name, value in settings.items():
        # mallopt takes an int; 2 GiB - 1 is its largest
        libc.mallopt(_MALLOPT[name], min(value, 2**31 - 1))
