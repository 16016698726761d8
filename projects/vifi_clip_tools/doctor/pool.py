"""Worker processes that may crash or hang without taking the run along."""
import faulthandler
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

_PARENT_CHECK_S = 5.0  # how soon a worker notices that its parent was killed


@dataclass(frozen=True)
class Lost:
    """Stands for the result of a job whose worker died or was too slow.

    Args:
        timed_out (bool): Whether it was killed for its slowness; else it
            died by itself.
        reason (str): What happened, such as 'killed by SIGSEGV' or what
            ``work`` raised.
    """

    timed_out: bool
    reason: str


def supervise(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int,
              timeout: float) -> Iterator[Tuple[int, Any]]:
    """Do jobs in processes that are replaced when they die or hang.

    ``multiprocessing.Pool`` waits for ever for a worker that crashed, and
    ``ProcessPoolExecutor`` gives up all jobs with it; decoders do crash.

    Args:
        work (Callable): Turns a job into a result; runs in a worker.
        jobs (Sequence): What to work on.
        workers (int): Number of processes, at least 1.
        timeout (float): Seconds that a job may take.

    Yields:
        tuple[int, Any]: Index of a job and its result, or :class:`Lost`, in
        the order in which they end. What ``work`` raises is lost like a
        crash, so that one video cannot end the check of a hundred thousand.
    """
    pending = deque(range(len(jobs)))
    crew: List[_Worker] = []
    try:
        crew += [_Worker(work) for _ in range(min(workers, len(jobs)))]
        while pending or any(worker.busy for worker in crew):
            for place, worker in enumerate(crew):
                if pending and not worker.busy:
                    index = pending.popleft()
                    crew[place] = worker.take(index, jobs[index], timeout)
            yield from _collect(crew)
    finally:
        for worker in crew:
            worker.kill()


def _collect(crew: List['_Worker']) -> List[Tuple[int, Any]]:
    """Wait for results; dead and overdue workers are replaced in place."""
    busy = {worker.conn: worker for worker in crew if worker.busy}
    first = min(worker.deadline for worker in busy.values())
    ready = wait(list(busy), max(0.0, first - time.monotonic()))
    results = []
    for place, worker in enumerate(crew):
        if not worker.busy:
            continue
        index = worker.index
        if worker.conn in ready:
            result = worker.receive()
        elif time.monotonic() >= worker.deadline:
            result = Lost(True, f'no answer within {worker.timeout:g} s')
        else:
            continue
        if isinstance(result, Lost):
            worker.kill()
            crew[place] = _Worker(worker.work)
        results.append((index, result))
    return results


class _Worker:
    """One process and the job that it has."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        # Forking is cheap here: the parent has no threads and has not loaded
        # a decoder. Elsewhere than on Linux it is not safe.
        kind = 'fork' if sys.platform.startswith('linux') else 'spawn'
        context = multiprocessing.get_context(kind)
        self.work = work
        self.conn, child = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(child, work), daemon=True)
        self.process.start()
        child.close()  # so that the death of the process ends the pipe
        self.index: Optional[int] = None
        self.timeout = self.deadline = 0.0

    @property
    def busy(self) -> bool:
        return self.index is not None

    def take(self, index: int, job: Any, timeout: float) -> '_Worker':
        """Start a job; returns the worker that has it now."""
        try:
            self.conn.send(job)
        except OSError:  # it died while it had nothing to do
            self.kill()
            return _Worker(self.work).take(index, job, timeout)
        self.index, self.timeout = index, timeout
        self.deadline = time.monotonic() + timeout
        return self

    def receive(self) -> Any:
        try:
            result = self.conn.recv()
        except (EOFError, OSError):
            self.process.join()
            return Lost(False, _describe(self.process.exitcode))
        self.index = None
        return result

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.conn.close()


def _describe(exitcode: int) -> str:
    if exitcode >= 0:
        return f'ended the process with code {exitcode}'
    name = signal.Signals(-exitcode).name
    if name == 'SIGKILL':
        name += ' (out of memory?)'
    return f'killed by {name}'


def _serve(conn: Connection, work: Callable[[Any], Any]) -> None:
    """What a worker does: jobs in, results out, until the pipe ends."""
    # Ctrl-C goes to the whole group; the parent tidies up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _be_quiet()
    _die_with_parent()
    parent = multiprocessing.parent_process()
    while True:
        try:
            while not conn.poll(_PARENT_CHECK_S):
                if not parent.is_alive():
                    return
            job = conn.recv()
        except (EOFError, OSError):
            return
        try:
            answer = work(job)
        except Exception as error:
            answer = Lost(False, f'{type(error).__name__}: {error}')
        try:
            conn.send(answer)
        except OSError:
            return


def _die_with_parent() -> None:
    """On Linux, so that a hung decoder does not outlive a killed parent."""
    try:
        import ctypes
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):
        pass  # elsewhere it ends with the job that it has


def _be_quiet() -> None:
    """No FFmpeg complaints in the progress bar, no dump of each crash."""
    faulthandler.disable()
    sink = os.open(os.devnull, os.O_WRONLY)
    for stream in 1, 2:
        os.dup2(sink, stream)
    os.close(sink)
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass  # not on this system; a core file is a nuisance, no more
