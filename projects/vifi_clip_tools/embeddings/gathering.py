"""Results that are written often enough for a crash to lose little."""
import time
from typing import Iterable, Iterator, List, TypeVar

T = TypeVar('T')


def gathered(results: Iterable[T], most: int,
             seconds: float) -> Iterator[List[T]]:
    """Yield up to ``most`` results at once, fewer after some seconds; and
    the last ones, also where Ctrl-C or an error ends the results."""
    waiting: List[T] = []
    since = time.monotonic()
    try:
        for result in results:
            waiting.append(result)
            if len(waiting) == most or time.monotonic() - since > seconds:
                yield waiting
                waiting, since = [], time.monotonic()
    except (Exception, KeyboardInterrupt, SystemExit):
        if waiting:
            yield waiting
        raise
    if waiting:
        yield waiting
