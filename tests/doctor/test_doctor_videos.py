"""One video at a time, and workers that die or hang."""
import os
import signal
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from doctor_world import pictures, write_avi, write_clip
from helpers import write_mp4

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.doctor import lists as doctor_lists
from projects.vifi_clip_tools.doctor.fingerprint import (find_look_alikes,
                                                         fingerprint)
from projects.vifi_clip_tools.doctor.run import look_at_videos, video_paths
from projects.vifi_clip_tools.doctor.video import (Lost, VideoJob,
                                                   check_video, supervise)


def look(path, full=False):
    return check_video(VideoJob(str(path), full))


@pytest.mark.parametrize('full', [False, True])
def test_good_video(tmp_path, full):
    path = write_clip(tmp_path / 'a.mp4', seed=1, num=30)
    seen = look(path, full)
    assert (seen.status, seen.detail, seen.damage) == ('ok', '', '')
    assert (seen.frames, seen.width, seen.height) == (30, 96, 64)
    assert seen.fps == 25 and seen.seconds == pytest.approx(1.2)
    assert seen.size == path.stat().st_size


def test_files_that_are_none(tmp_path):
    (tmp_path / 'empty.mp4').touch()
    (tmp_path / 'unreadable.mp4').write_bytes(
        np.random.default_rng(0).bytes(4000))
    for name in 'missing', 'empty', 'unreadable':
        assert look(tmp_path / f'{name}.mp4').status == name
    (tmp_path / 'folder.mp4').mkdir()
    for name in 'folder.mp4', 'a\0b.mp4', 'a\0b/c.mp4', 'x' * 300:
        assert look(tmp_path / name).status == 'unreadable'


@pytest.mark.parametrize('name', ['a\0b.mp4', 'a\0b/c.mp4', 'x' * 300])
def test_paths_that_no_file_can_have(tmp_path, name):
    (tmp_path / 'good.mp4').touch()
    entries = [doctor_lists.Entry(i, each, 0, '')
               for i, each in enumerate((name, 'good.mp4'))]
    paths = video_paths([SimpleNamespace(entries=entries)], str(tmp_path))
    assert len(paths) == 2
    with pytest.raises(UserError, match='1 videos'):
        video_paths([SimpleNamespace(entries=entries[:1])], str(tmp_path))


def test_pipes_and_devices_are_not_read(tmp_path):
    os.mkfifo(tmp_path / 'a.mp4')
    (tmp_path / 'b.mp4').symlink_to('/dev/zero')
    (tmp_path / 'c.mp4').symlink_to('c.mp4')
    names = 'a.mp4', 'b.mp4', 'c.mp4'
    start = time.monotonic()
    seen = look_at_videos({n: str(tmp_path / n) for n in names}, False, 1,
                          timeout=5)
    assert time.monotonic() - start < 4
    assert [seen[n].status for n in names] == ['unreadable'] * 3
    assert 'not a regular file' in seen['a.mp4'].detail


def test_files_cut_short(tmp_path):
    path = write_clip(tmp_path / 'a.mp4', seed=1, num=60, faststart=True)
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) * 2 // 3])
    # It opens, and the first frames decode: the last one tells.
    assert look(path).status == 'unreadable'
    path = write_avi(tmp_path / 'a.avi', seed=1)
    assert look(path).status == 'ok'
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2])
    seen = look(path)  # kept from decord
    assert seen.status == 'cut_short' and f'{len(whole) // 2} b' in seen.detail


def test_full_decoding_finds_what_decord_conceals(tmp_path):
    path = write_clip(tmp_path / 'a.mp4', seed=1, num=90, faststart=True)
    data = bytearray(path.read_bytes())
    middle = len(data) * 2 // 3
    data[middle:middle + 40] = bytes(40)
    path.write_bytes(data)
    seen = look(path, full=True)
    assert seen.status == 'unreadable' or 'frames' in seen.damage


def test_only_pyav_reads_it(tmp_path):
    small = [cv2.resize(frame, (48, 64)) for frame in pictures(seed=1)]
    seen = look(write_mp4(tmp_path / 'narrow.mp4', frames=small))
    assert seen.status == 'not_decord' and seen.frames == 24
    assert len(seen.prints) == 3 * 256


def test_without_decord_pyav_is_enough(tmp_path, monkeypatch):
    path = write_clip(tmp_path / 'a.mp4', seed=1)
    with_decord = look(path)
    monkeypatch.setitem(__import__('sys').modules, 'decord', None)
    seen = look(path)
    assert (seen.status, seen.frames, seen.width) == ('ok', 24, 96)
    a, b = (np.frombuffer(x.prints, np.uint8).astype(int)
            for x in (with_decord, seen))
    assert np.abs(a - b).max() <= 2


# Processes that die or hang


def misbehave(job):
    """By name of the job: a fake decoder."""
    path = job.path if isinstance(job, VideoJob) else job
    spare = getattr(job, 'spare_decord', False)
    if 'crash' in path and not spare:
        os.kill(os.getpid(), signal.SIGSEGV)
    if 'hang' in path and not ('once' in path and spare):
        time.sleep(60)
    if path == 'exit':
        os._exit(7)
    if path == 'fail':
        raise MemoryError('4 GiB')
    return check_video(job) if isinstance(job, VideoJob) else path.upper()


@pytest.mark.parametrize('workers', [1, 3])
def test_pool_survives_crashes_and_hangs(workers):
    jobs = ['a', 'crash', 'b', 'hang', 'exit', 'fail', 'c', 'd']
    results = dict(supervise(misbehave, jobs, workers, timeout=1))
    assert results.pop(3).timed_out
    assert results == {
        0: 'A', 1: Lost(False, 'killed by SIGSEGV'), 2: 'B',
        4: Lost(False, 'ended the process with code 7'),
        5: Lost(False, 'MemoryError: 4 GiB'), 6: 'C', 7: 'D'}


def test_no_process_is_left(tmp_path):
    import multiprocessing
    generator = supervise(misbehave, ['a', 'hang', 'hang'], 2, timeout=30)
    assert next(generator) == (0, 'A')
    generator.close()  # as an interrupt does
    assert not multiprocessing.active_children()


def test_threads_of_the_parent_are_not_waited_for(tmp_path):
    """OpenCV's, which a fork does not have."""
    path, before = write_clip(tmp_path / 'a.mp4', seed=1), cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        for _ in range(9):
            cv2.resize(np.zeros((1080, 1920, 3), np.uint8), (640, 360))
        seen = look_at_videos({'a': str(path)}, False, 1, timeout=10)
    finally:
        cv2.setNumThreads(before)
    assert seen['a'].status == 'ok'


def test_pyav_is_asked_about_what_decord_died_of(tmp_path):
    paths = {
        name: str(write_clip(tmp_path / f'{name}.mp4', seed=i))
        for i, name in enumerate(('good', 'crash', 'hang', 'hang_once'))
    }
    (tmp_path / 'crash_noise.mp4').write_bytes(b'noise' * 100)
    paths['crash_noise'] = str(tmp_path / 'crash_noise.mp4')
    seen = look_at_videos(paths, False, 2, timeout=2, work=misbehave)
    assert list(seen) == list(paths)
    assert {key: item.status for key, item in seen.items()} == dict(
        good='ok', crash='crashed', hang='timed_out', hang_once='timed_out',
        crash_noise='crashed')
    assert seen['crash'].detail == (
        'killed by SIGSEGV; PyAV reads it: 24 frames')
    assert 'PyAV too' in seen['hang'].detail
    assert '24 frames' in seen['hang_once'].detail
    assert 'PyAV: ' in seen['crash_noise'].detail


# Look-alikes


def test_other_encodings_of_one_clip(tmp_path):
    small = [cv2.resize(frame, (64, 48)) for frame in pictures(seed=1)]
    files = [
        write_clip(tmp_path / 'a.mp4', seed=1),
        write_clip(tmp_path / 'other.mp4', seed=2),
        write_avi(tmp_path / 'b.avi', seed=1),
        write_mp4(tmp_path / 'c.mp4', frames=small),
        write_clip(tmp_path / 'longer.mp4', seed=1, num=48),
    ]
    seen = [look(path) for path in files]
    prints, seconds = zip(*((s.prints, s.seconds) for s in seen))
    assert find_look_alikes(prints, seconds) == [[0, 2, 3]]


def test_a_plain_picture_has_no_fingerprint():
    plain = np.full((48, 64, 3), 17, np.uint8)
    busy = pictures(seed=3, num=3)
    assert fingerprint([plain] * 3) is None
    assert fingerprint([busy[0], plain, busy[2]]) is None
    assert len(fingerprint(busy)) == 3 * 256


@pytest.mark.parametrize('shift, cell, alike', [
    (2, 0, True), (5, 0, False),
    (0, 40, False)])  # something small has moved
def test_thresholds_in_grey_levels(shift, cell, alike):
    first = np.random.default_rng(0).integers(
        20, 200, (3, 16, 16)).astype(np.uint8)
    other = first + np.uint8(shift)
    other[1, 4, 4] += np.uint8(cell)
    groups = find_look_alikes([first.tobytes(), other.tobytes()], [1, 1])
    assert groups == ([[0, 1]] if alike else [])


def test_same_as_comparing_all_pairs():
    rng = np.random.default_rng(1)
    base = rng.integers(20, 200, (40, 3, 16, 16))
    twins = base[[3, 3, 17, 30]] + rng.integers(-2, 3, (4, 3, 16, 16))
    small = np.concatenate([base, twins]).astype(np.uint8)
    found = find_look_alikes([each.tobytes() for each in small],
                             [2.0] * len(small))
    assert found == [[3, 40, 41], [17, 42], [30, 43]]
    assert find_look_alikes([], []) == []
    assert find_look_alikes([bytes(768)], [1.0]) == []
