"""What a command's exit code says, and how it ends when it is stopped."""
import os
import select
import sys
from typing import Callable, Optional, TextIO

DONE = 0
FAILED = 1  # Python's own, after a traceback; or some of the work failed
WRONG_INPUT = 2  # argparse's own; one line says what is to be mended
INTERRUPTED = 130  # as a shell counts: 128 + SIGINT
CLOSED_PIPE = 141  # 128 + SIGPIPE

EXPLAINED = """\
  0    done
  1    something failed; the messages say what
  2    wrong input: one line says what to mend (VIFI_TRACEBACK=1 shows where)
  130  interrupted with Ctrl-C
  141  the reader of the output closed it, as head does"""


def guarded(run: Callable[[], Optional[int]]) -> int:
    """Run a command; end without a traceback if it is stopped from outside.

    Args:
        run (Callable): Returns an exit code, or None for :data:`DONE`.

    Returns:
        int: That code, :data:`INTERRUPTED` or :data:`CLOSED_PIPE`.
    """
    try:
        try:
            return run() or DONE
        finally:
            # At the very end Python would only complain, with exit code 120.
            sys.stdout.flush()
    except KeyboardInterrupt:
        print('\ninterrupted', file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        if not _close_broken():  # another pipe, to a process of ours
            raise
        return CLOSED_PIPE


def _close_broken() -> bool:
    """Send what nobody reads any more to nowhere; whether there was any."""
    broken = [stream for stream in (sys.stdout, sys.stderr)
              if _is_broken(stream)]
    for stream in broken:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    return bool(broken)


def _is_broken(stream: TextIO) -> bool:
    try:
        stream.flush()  # what could not be written is still there,
    except BrokenPipeError:
        return True
    # unless PYTHONUNBUFFERED is set
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
