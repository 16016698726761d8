"""Many videos at once, in threads: the work on them is in C, and in the
processes of their decoders."""
from concurrent.futures import (FIRST_COMPLETED, Future, ThreadPoolExecutor,
                                wait)
from itertools import islice
from typing import Any, Callable, Dict, Iterable, Iterator, Tuple

from projects.vifi_clip.datasets.contained_video import end_decoders


def in_threads(work: Callable, jobs: Iterable, workers: int
               ) -> Iterator[Tuple[Any, Future]]:
    """Yield each job with the future of ``work(job)``, in the order in which
    they end. Close it: what is being decoded then is ended."""
    pool = ThreadPoolExecutor(workers)
    running: Dict[Future, Any] = {}
    pending = iter(jobs)
    try:
        while True:
            # Not all at once, which would take much memory for nothing.
            for job in islice(pending, 2 * workers - len(running)):
                running[pool.submit(work, job)] = job
            if not running:
                return
            # A signal that comes just before a wait without end is not heard.
            for future in wait(running, 1, FIRST_COMPLETED).done:
                yield running.pop(future), future
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        end_decoders()  # nobody waits for what they do
        # Work that went on would write beside whatever comes next.
        while late := [each for each in running if not each.done()]:
            wait(late, 0.1)
            end_decoders()
