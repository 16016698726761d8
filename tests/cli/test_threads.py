"""Work in threads: nothing goes on after its end."""
import subprocess
import time
from contextlib import closing
from threading import Event

import pytest
from helpers import write_video

from projects.vifi_clip.datasets.contained_video import (DecoderCrashed,
                                                         open_video)
from projects.vifi_clip_tools.cli.threads import in_threads


def test_end_waits_for_a_decoder_that_is_starting(
        tmp_path, monkeypatch, bad_decoder):
    path, starting, ended = tmp_path / 'hang.mp4', Event(), []
    write_video(path, count=2)

    class SlowStart(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            starting.set()
            time.sleep(0.3)

    def work(job):
        if job == 'quick':
            return starting.wait()
        with pytest.raises(DecoderCrashed):  # it was killed
            open_video(str(path)).frames([0])
        ended.append(job)

    monkeypatch.setattr(subprocess, 'Popen', SlowStart)
    with closing(in_threads(work, ['quick', 'slow'], 2)) as outcomes:
        assert next(outcomes)[0] == 'quick' and not ended
    assert ended == ['slow']


@pytest.mark.parametrize('workers', [1, 2])
def test_jobs_that_wait_are_dropped(workers):
    begun = []
    with closing(in_threads(begun.append, range(100), workers)) as outcomes:
        next(outcomes)
    done = list(begun)
    time.sleep(0.1)
    assert begun == done and len(done) <= 2 * workers + 1
