"""Results that are written often enough for a crash to lose little."""
import time
from typing import Any, Callable, List


class Buffer:
    """Gathers results and writes several at once; a context that writes the
    last ones, also after Ctrl-C.

    Args:
        write (Callable): Takes a list of results, at least one.
        most (int): Results that are written as soon as they are there.
        seconds (float): After so long, fewer are written, too.
    """

    def __init__(self, write: Callable[[List[Any]], None], most: int,
                 seconds: float) -> None:
        self._write, self._most, self._seconds = write, most, seconds
        self._waiting: List[Any] = []
        self._since = time.monotonic()

    def add(self, result: Any) -> None:
        """Keep a result; it is written soon."""
        self._waiting.append(result)
        if (len(self._waiting) == self._most
                or time.monotonic() - self._since > self._seconds):
            self.__exit__()

    def __enter__(self) -> 'Buffer':
        return self

    def __exit__(self, *error) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._write(waiting)
        self._since = time.monotonic()
