"""A process for each subject, so that peaks of memory are its own."""
import os
import traceback
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Dict, Optional

from .cases import Case

_PRELOAD = ['projects.vifi_clip', 'benchmarks.subjects']


def _serve(pipe: Connection, case: Case, device: str, threads: int) -> None:
    """Build the subject; then run it whenever told to."""
    try:
        _die_first()
        import logging

        import torch
        logging.disable(logging.WARNING)
        torch.set_num_threads(threads)
        from projects.vifi_clip_tools.complexity.machine import synchronize
        from projects.vifi_clip_tools.complexity.memory import (peak_bytes,
                                                                reset_peak)
        from .subjects import build
        call = build(case, device)
        reset_peak(device)
        pipe.send(None)
        while pipe.recv() == 'run':
            synchronize(device)
            start = perf_counter()
            result = call()
            synchronize(device)
            seconds = perf_counter() - start
            pipe.send(
                dict(
                    seconds=seconds,
                    peak=peak_bytes(device),
                    result=result.float().cpu().flatten()[:4000].tolist()))
    except BaseException:
        pipe.send(dict(error=traceback.format_exc()))


def _die_first() -> None:
    """Where memory runs out, the subject is to be killed and nothing else of
    the user's."""
    try:
        with open('/proc/self/oom_score_adj', 'w') as file:
            file.write('1000')
    except OSError:
        pass


@dataclass
class Failure(Exception):
    """A subject that could not do the work; ``reason`` is for people."""
    reason: str


class Worker:
    """A subject in a process of its own.

    Args:
        case (Case): What to do.
        device (str): 'cpu' or 'cuda'.
        threads (int): Of torch.

    Raises:
        Failure: It cannot be built.
    """

    def __init__(self, case: Case, device: str, threads: int) -> None:
        context = get_context('forkserver')
        context.set_forkserver_preload(_PRELOAD)
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other, case, device, threads), daemon=True)
        self._process.start()
        other.close()
        self._receive()

    def run(self) -> Dict[str, object]:
        """Run once.

        Returns:
            dict: ``seconds``, ``peak`` (bytes) and ``result``.

        Raises:
            Failure: An error, or the process was killed.
        """
        self._pipe.send('run')
        return self._receive()

    def _receive(self) -> Optional[dict]:
        try:
            answer = self._pipe.recv()
        except EOFError:
            self._process.join(10)
            code = self._process.exitcode
            why = ', most likely for want of memory' if code == -9 else ''
            raise Failure(f'its process ended with {code}{why}') from None
        if answer and 'error' in answer:
            text = answer['error'].strip()
            if os.environ.get('VIFI_TRACEBACK', '0') != '0':
                print(text, flush=True)
            raise Failure(text.splitlines()[-1])
        return answer

    def close(self) -> None:
        """End the process."""
        try:
            self._pipe.send('stop')
        except OSError:
            pass
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()


def _measure_peaks(pipe: Connection, device: str, threads: int) -> None:
    import torch
    torch.set_num_threads(threads)
    from projects.vifi_clip_tools.complexity.machine import DTYPES, matmul_peak
    pipe.send({name: matmul_peak(device, name) for name in DTYPES})


def peaks_of(device: str, threads: int) -> Dict[str, float]:
    """The machine's matrix-multiply peaks in FLOP/s, by precision, measured
    in a process like those of the subjects."""
    context = get_context('forkserver')
    context.set_forkserver_preload(_PRELOAD)
    pipe, other = context.Pipe()
    process = context.Process(
        target=_measure_peaks, args=(other, device, threads), daemon=True)
    process.start()
    peaks = pipe.recv()
    process.join()
    return peaks
