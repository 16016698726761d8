"""The one thread that uses the model."""
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone
from threading import Lock
from typing import Callable, TypeVar

from projects.vifi_clip.errors import UserError

Result = TypeVar('Result')


class Worker:
    """Runs jobs one after the other, each for a limited time.

    All visitors share a model, whose label set is a part of its state: a job
    sets labels and uses them with nobody in between.

    A thread cannot be ended from outside. A job that runs out of time is
    given up by the visitor at once, and ends itself at its next
    :meth:`check`.

    Args:
        seconds (float): Time of a job, waiting for the one before included.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix='model')
        self._deadline = float('inf')

    def run(self, job: Callable[[], Result]) -> Result:
        """Do something with the model.

        Raises:
            UserError: It takes too long; or what the job raises.
        """
        deadline = time.monotonic() + self.seconds
        started = Lock()

        def timed() -> Result:
            started.acquire()
            self._deadline = deadline
            try:
                self.check()
                return job()
            finally:
                self._deadline = float('inf')

        future = self._pool.submit(timed)
        try:
            return future.result(self.seconds)
        except NotDone:
            future.cancel()
            if not started.locked():
                raise UserError('The model is busy; try again in a '
                                'moment.') from None
            raise UserError(self._message()) from None

    def check(self) -> None:
        """End the job that runs in this thread if its time is over.

        Raises:
            UserError: It is.
        """
        if time.monotonic() > self._deadline:
            raise UserError(self._message())

    def close(self) -> None:
        """Take no more jobs."""
        self._deadline = 0.
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _message(self) -> str:
        return (f'This took longer than {self.seconds:g} s and was stopped. '
                'Take a shorter video, fewer views or labels, or a longer '
                'stride.')
