"""What goes to a terminal or a log: names and labels, which may hold anything,
neither drive the one nor fill the other."""
import logging
import os
import re
import sys
import traceback
from contextlib import contextmanager
from typing import Any, Iterable, Iterator

# Control characters but the tab and what ends a line; what turns the
# direction of a text; halves of characters, which no encoding has.
_UNSAFE = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e'
                     '\u2066-\u2069\ud800-\udfff]'
                     # goes back in a line, where no progress bar begins
                     r'|(?<!\A)\r(?=[^\n])')
_START, _END = 1500, 900  # characters of a message that are shown


def cleaned(text: str) -> str:
    """Return a text with a question mark for each character that would drive
    a terminal. Line breaks stay."""
    return _UNSAFE.sub('?', text)


def one_line(text: str) -> str:
    """Clean the name of something, which also must not break a line."""
    return re.sub('[\t\n\r\u2028\u2029]', '?', cleaned(text))


def shortened(message: str) -> str:
    """Leave out the middle of a message that nobody would read."""
    if len(message) <= _START + _END:
        return message
    return f'{message[:_START]} ... {message[-_END:]}'


class CleanStream:
    """A text stream that :func:`cleaned` text is written to, as far as its
    encoding has it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        code = getattr(self._stream, 'encoding', None) or 'utf-8'
        self._stream.write(cleaned(text).encode(code, 'replace').decode(code))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)


class _CleanRecord(logging.LogRecord):
    """A message to any logger; those of runs go to files, too."""

    def getMessage(self) -> str:
        return cleaned(super().getMessage())


def _print_clean(*error: Any) -> None:
    CleanStream(sys.stderr).writelines(traceback.format_exception(*error))


def open_closed_streams() -> None:
    """Put nowhere in the place of an input and outputs that are closed, as
    ``>&-`` leaves them: print would fail, and files that are opened later
    have their numbers, and whatever a library prints comes into these."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(number)
    for number, name in enumerate(('stdin', 'stdout', 'stderr')):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, 'w' if number else 'r',
                                    closefd=False))


@contextmanager
def clean_output() -> Iterator[None]:
    """Clean what is printed and logged meanwhile, by whatever library."""
    before = sys.stdout, sys.stderr, logging.getLogRecordFactory()
    sys.stdout, sys.stderr = CleanStream(before[0]), CleanStream(before[1])
    logging.setLogRecordFactory(_CleanRecord)
    try:
        yield
    except Exception:  # a fault, of which Python prints the traceback
        sys.excepthook = _print_clean
        raise
    finally:
        sys.stdout, sys.stderr = before[:2]
        logging.setLogRecordFactory(before[2])
