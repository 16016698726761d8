"""One job at a time, and none for too long."""
import threading
import time

import pytest

from projects.vifi_clip_tools.demo.worker import Worker
from projects.vifi_clip.errors import UserError


@pytest.fixture
def worker():
    found = Worker(0.3)
    yield found
    found.close()


def test_results_and_errors_come_back(worker):
    assert worker.run(lambda: 6 * 7) == 42
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 / 0)
    assert worker.run(lambda: 'goes on') == 'goes on'


def test_jobs_never_overlap():
    worker, inside, seen = Worker(10), [], []

    def job():
        inside.append(1)
        seen.append(len(inside))
        time.sleep(0.01)
        inside.pop()

    threads = [threading.Thread(target=worker.run, args=(job, ))
               for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    worker.close()
    assert seen == [1] * 8


def test_a_job_that_checks_ends_itself(worker):
    steps = []

    def long_job():
        while True:
            worker.check()
            steps.append(1)
            time.sleep(0.02)

    start = time.monotonic()
    with pytest.raises(UserError, match='longer than 0.3 s'):
        worker.run(long_job)
    assert time.monotonic() - start < 5
    # The thread is free again, so the job did end.
    assert worker.run(lambda: 'free') == 'free'
    count = len(steps)
    time.sleep(0.1)
    assert len(steps) == count


def test_who_waits_for_a_job_that_does_not_end_is_told(worker):
    leave = threading.Event()
    with pytest.raises(UserError, match='longer than'):
        worker.run(leave.wait)
    ran = []
    with pytest.raises(UserError, match='busy'):
        worker.run(lambda: ran.append(1))
    leave.set()
    assert worker.run(lambda: 'free') == 'free'
    assert not ran  # nobody waits for it any more


def test_checks_outside_of_jobs_pass(worker):
    worker.check()
