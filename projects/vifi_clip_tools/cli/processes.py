"""Work in child processes: logs to files, progress to the terminal, and an
orderly end by signals."""
import ctypes
import gc
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence

from projects.vifi_clip.errors import UserError

from .terminal import CleanStream

_PROGRESS = re.compile(r'Epoch\((\w+)\)\s+(.*?)\s+(?:lr|eta|acc)')
_ETA = re.compile(r'eta: ([\d:]+)')
_TAIL = 25  # lines of a log that are shown of a failed step
_GRACE = 30  # seconds between asking a step to end and killing it


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that ``with`` blocks clean
    up and child processes are ended.

    Does nothing outside the main thread, which alone receives signals.
    """

    def leave(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    with _handled(_heeded_ends(), leave):
        yield


@contextmanager
def signals_held() -> Iterator[None]:
    """Let signals to end wait while a process is forked: what their handlers
    raise in Python's own callbacks around a fork is printed and forgotten.
    The child has handlers that do nothing, and must set its own."""
    held: List[int] = []
    numbers = [number for number in (signal.SIGINT, *_heeded_ends())
               if callable(signal.getsignal(number))]
    try:
        # A mask of this thread would leave them to others, of torch say.
        with _handled(numbers, lambda number, _: held.append(number)):
            yield
    finally:
        for number in held:
            signal.raise_signal(number)


@contextmanager
def _handled(numbers: Sequence[int], handler: Callable) -> Iterator[None]:
    """Handle signals in the main thread, which alone can, for a while."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler)
                  for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def end_with_parent() -> None:
    """Let this process be killed when its parent is; Linux can do that."""
    with suppress(OSError, AttributeError):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _heeded_ends() -> List[int]:
    """List signals to end but one that is ignored, as SIGHUP under nohup."""
    return [number for number in (signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) != signal.SIG_IGN]


class Step:
    """A function in a forked process, whose output goes to ``log_file``.

    The fork has everything imported already, and each step still has a clean
    process, which leads a process group. ``main`` is called with ``argv``,
    with ``environ`` set in the step alone and so many ``threads`` of torch
    (None: as torch has it).
    """

    def __init__(self, title: str, main: Callable, argv: Sequence[str],
                 log_file: str, environ: Optional[Mapping[str, str]] = None,
                 threads: Optional[int] = None) -> None:
        self.title, self.log_file = title, Path(log_file)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.result: Any = None
        self.start = time.time()
        context = multiprocessing.get_context('fork')
        self._receiver, sender = context.Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        self.process = context.Process(target=_run, args=(
            main, list(argv), self.log_file, sender, environ, threads))
        with signals_held():
            self.process.start()
        with suppress(OSError):  # as the child does, whichever comes first
            os.setpgid(self.process.pid, self.process.pid)
        sender.close()

    def running(self, wait: float) -> bool:
        """Tell whether the step goes on, after waiting for its result."""
        if self.result is None and self._receiver.poll(wait):
            try:
                self.result = self._receiver.recv()
            except EOFError:  # it ended without one
                self.process.join()
        return self.process.is_alive()

    def progress(self) -> str:
        """Say where the step is, by the last line of its log that tells."""
        log = (self.log_file.read_text(errors='replace')
               if self.log_file.exists() else '')
        lines = [line for line in log.splitlines() if _PROGRESS.search(line)]
        if not lines:
            return 'starting'
        eta = _ETA.search(lines[-1])
        return ' '.join(_PROGRESS.search(lines[-1]).groups()) + (
            f', {eta[1]} left' if eta else '')

    def stop(self) -> None:
        """End the step, with its data workers and launchers."""
        for number in signal.SIGTERM, signal.SIGKILL:
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(self.process.pid, number)
            self.process.join(_GRACE)
            if not self.process.is_alive():
                return

    @property
    def killed(self) -> bool:
        """Whether a signal ended it."""
        return (self.process.exitcode or 0) < 0

    def finish(self) -> Any:
        """Return the result of a step that has ended; a UserError with the
        log's end if it failed."""
        self.process.join()
        self.running(0)  # its result may just have come
        if not self.process.exitcode:
            return self.result
        how = 'failed'
        if self.killed:
            number = -self.process.exitcode
            how = f'was ended by {signal.Signals(number).name}'
            how += ' (out of memory?)' * (number == signal.SIGKILL)
        log = self.log_file.read_text(errors='replace').splitlines()[-_TAIL:]
        raise UserError('\n'.join([*log, '', f'{self.title} {how}; its whole '
                                   f'log is {self.log_file}']))


def run_step(title: str, main: Callable, argv: Sequence[str],
             log_file: str) -> Any:
    """Run one :class:`Step` to its end, with its progress on the terminal;
    see :meth:`Step.finish`."""
    def say(text: str, end: str) -> None:
        print(f'  {title:<34} {text:<40}', end=end, flush=True)

    with ended_by_signals():
        step, shown = Step(title, main, argv, log_file), None
        try:
            while step.running(0.5):
                if (line := step.progress()) != shown:
                    say(line, '\r' if sys.stdout.isatty() else '\n')
                    shown = line
        except BaseException:  # interrupted: leave no orphan behind
            step.stop()
            raise
    result = step.finish()
    say(f'done in {time.time() - step.start:.0f} s', '\n')
    return result


def _run(main: Callable, argv: Sequence[str], log_file: Path, sender: Any,
         environ: Optional[Mapping[str, str]], threads: Optional[int]) -> None:
    """Run in the child."""
    # What the parent has imported is no garbage to look for: MMEngine collects
    # at each data set, 0.3 s.
    gc.freeze()
    for number in _heeded_ends():
        signal.signal(number, signal.SIG_DFL)
    if callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setpgid(0, 0)
    log = log_file.open('w', buffering=1)
    for descriptor in (1, 2):  # for libraries that are not Python
        os.dup2(log.fileno(), descriptor)
    sys.stdout = sys.stderr = CleanStream(log)
    os.environ.update(environ or {})
    code = 0
    try:
        if threads:
            import torch
            torch.set_num_threads(threads)
        sender.send(main(argv))
    except BaseException:
        traceback.print_exc()
        code = 1
    log.flush()
    os._exit(code)  # without the parent's exit handlers
