"""Run a tool as one step of a longer job: its log to a file, its progress to
the terminal."""
import multiprocessing
import os
import os.path as osp
import re
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from projects.vifi_clip.errors import UserError

_PROGRESS = re.compile(r'Epoch\((\w+)\)\s+(.*?)\s+(?:lr|eta|acc)')
_ETA = re.compile(r'eta: ([\d:]+)')
_TAIL = 25
_GRACE = 30  # seconds between asking a step to end and killing it
_ENDS = (signal.SIGTERM, signal.SIGHUP)


class Step:
    """A tool's ``main`` in a forked process.

    The fork has everything imported already, and each step still has a clean
    process of its own.

    Args:
        title (str): Shown to the user.
        main (Callable): ``main(argv)`` of a tool.
        argv (Sequence[str]): Its command line.
        log_file (str): Takes everything that the step prints.
        environ (Mapping[str, str], optional): Set in the step alone.
        threads (int, optional): Of torch in the step. Defaults to None, as
            torch has it.
    """

    def __init__(self,
                 title: str,
                 main: Callable,
                 argv: Sequence[str],
                 log_file: str,
                 environ: Optional[Mapping[str, str]] = None,
                 threads: Optional[int] = None) -> None:
        os.makedirs(osp.dirname(osp.abspath(log_file)), exist_ok=True)
        context = multiprocessing.get_context('fork')
        self.title, self.log_file = title, log_file
        self.result: Any = None
        self.start = time.time()
        self._receiver, sender = context.Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        self.process = context.Process(
            target=_child,
            args=(main, list(argv), log_file, sender, environ, threads))
        self.process.start()
        try:  # as the child does, whichever comes first
            os.setpgid(self.process.pid, self.process.pid)
        except OSError:
            pass
        sender.close()

    def running(self, wait: float) -> bool:
        """Whether the step goes on; takes in its result when it comes.

        Args:
            wait (float): Seconds to wait for a result at most.
        """
        if self.result is None and self._receiver.poll(wait):
            self._receive()
        return self.process.is_alive()

    def _receive(self) -> None:
        try:
            self.result = self._receiver.recv()
        except EOFError:  # it ended without one
            self.process.join()

    def progress(self) -> str:
        """Where the step is, from the last line of its log that says so."""
        if not osp.exists(self.log_file):
            return 'starting'
        with open(self.log_file, errors='replace') as file:
            lines = [line for line in file if _PROGRESS.search(line)]
        if not lines:
            return 'starting'
        kind, where = _PROGRESS.search(lines[-1]).groups()
        eta = _ETA.search(lines[-1])
        return f'{kind} {where}' + (f', {eta.group(1)} left' if eta else '')

    def stop(self) -> None:
        """End the step, with its data workers and launchers."""
        self._signal(signal.SIGTERM)
        self.process.join(_GRACE)
        if self.process.is_alive():
            self._signal(signal.SIGKILL)
            self.process.join()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:  # it has ended
            pass

    @property
    def killed(self) -> bool:
        """Whether a signal ended it."""
        return (self.process.exitcode or 0) < 0

    def finish(self) -> Any:
        """The result of a step that has ended.

        Raises:
            UserError: The step failed; the message has the log's end.
        """
        self.process.join()
        if self.process.exitcode:
            with open(self.log_file, errors='replace') as file:
                tail = ''.join(file.readlines()[-_TAIL:])
            how = 'failed'
            if self.killed:
                number = -self.process.exitcode
                how = f'was ended by {signal.Signals(number).name}'
                if number == signal.SIGKILL:
                    how += ' (out of memory?)'
            raise UserError(f'{tail}\n{self.title} {how}; its whole log is '
                            f'{self.log_file}')
        if self.result is None and self._receiver.poll(0):
            self._receive()
        return self.result


def run_step(title: str, main: Callable, argv: Sequence[str],
             log_file: str) -> Any:
    """Run one step to its end, with its progress on the terminal.

    Args:
        title (str): Shown to the user.
        main (Callable): ``main(argv)`` of a tool.
        argv (Sequence[str]): Its command line.
        log_file (str): Takes everything that the step prints.

    Returns:
        What ``main`` returned.

    Raises:
        UserError: The step failed; the message has the end of its log.
    """
    with interruptible():
        step, shown = Step(title, main, argv, log_file), None
        try:
            while step.running(0.5):
                line = step.progress()
                if line != shown:
                    _say(title, line, '\r' if sys.stdout.isatty() else '\n')
                    shown = line
        except BaseException:  # interrupted: leave no orphan behind
            step.stop()
            raise
    result = step.finish()
    _say(title, f'done in {time.time() - step.start:.0f} s', '\n')
    return result


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit meanwhile, as Ctrl-C does.

    Steps are process groups of their own, which nobody else would end.
    """

    def leave(number, _frame):
        raise SystemExit(128 + number)

    # nohup's SIGHUP stays ignored
    main = threading.current_thread() is threading.main_thread()
    taken = [number for number in _ENDS
             if main and signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _child(main, argv, log_file, sender, environ, threads) -> None:
    for number in _ENDS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    os.setpgid(0, 0)
    log = open(log_file, 'w', buffering=1)
    for descriptor in (1, 2):  # for libraries that are not Python
        os.dup2(log.fileno(), descriptor)
    sys.stdout = sys.stderr = log
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


def _say(title: str, text: str, end: str) -> None:
    print(f'  {title:<34} {text:<40}', end=end, flush=True)
