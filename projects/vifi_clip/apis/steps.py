"""Run a tool as one step of a longer job: its log to a file, its progress to
the terminal."""
import multiprocessing
import os
import os.path as osp
import re
import sys
import time
import traceback
from typing import Any, Callable, Sequence

from ..errors import UserError

_PROGRESS = re.compile(r'Epoch\((\w+)\)\s+(.*?)\s+(?:lr|eta|acc)')
_ETA = re.compile(r'eta: ([\d:]+)')
_TAIL = 25


def run_step(title: str, main: Callable, argv: Sequence[str],
             log_file: str) -> Any:
    """Call a tool's ``main`` in a forked process.

    The fork has everything imported already, and each step still has a clean
    process of its own.

    Args:
        title (str): Shown to the user.
        main (Callable): ``main(argv)`` of a tool.
        argv (Sequence[str]): Its command line.
        log_file (str): Takes everything that the step prints.

    Returns:
        What ``main`` returned.

    Raises:
        RuntimeError: The step failed; the end of its log was printed.
    """
    os.makedirs(osp.dirname(log_file), exist_ok=True)
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    start = time.time()
    sys.stdout.flush()
    process = context.Process(
        target=_child, args=(main, list(argv), log_file, sender))
    process.start()
    sender.close()
    try:
        result = _follow(title, process, receiver, log_file)
    except BaseException:  # interrupted: leave no orphan behind
        process.terminate()
        raise
    finally:
        process.join()
    if process.exitcode:
        with open(log_file, errors='replace') as file:
            print('\n' + ''.join(file.readlines()[-_TAIL:]), file=sys.stderr)
        raise UserError(f'{title} failed; its whole log is {log_file}')
    _say(title, f'done in {time.time() - start:.0f} s', '\n')
    return result


def _child(main, argv, log_file, sender) -> None:
    log = open(log_file, 'w', buffering=1)
    for descriptor in (1, 2):  # for libraries that are not Python
        os.dup2(log.fileno(), descriptor)
    sys.stdout = sys.stderr = log
    code = 0
    try:
        sender.send(main(argv))
    except BaseException:
        traceback.print_exc()
        code = 1
    log.flush()
    os._exit(code)  # without the parent's exit handlers


def _follow(title, process, receiver, log_file) -> Any:
    """Show the last progress line of the log until the process is done."""
    result, shown = None, None
    while process.is_alive():
        if receiver.poll(0.5):
            try:
                result = receiver.recv()
            except EOFError:
                break
        line = _last_progress(log_file)
        if line != shown:
            _say(title, line, '\r' if sys.stdout.isatty() else '\n')
            shown = line
    return result


def _last_progress(log_file: str) -> str:
    if not osp.exists(log_file):
        return 'starting'
    with open(log_file, errors='replace') as file:
        lines = [line for line in file if _PROGRESS.search(line)]
    if not lines:
        return 'starting'
    kind, where = _PROGRESS.search(lines[-1]).groups()
    eta = _ETA.search(lines[-1])
    return f'{kind} {where}' + (f', {eta.group(1)} left' if eta else '')


def _say(title: str, text: str, end: str) -> None:
    print(f'  {title:<34} {text:<40}', end=end, flush=True)
