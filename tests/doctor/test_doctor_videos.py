"""One video at a time, and workers that die or hang."""
import multiprocessing
import os
import signal
import threading
import time

import cv2
import numpy as np
import pytest
from doctor_world import pictures, write_clip

from projects.vifi_clip_tools.doctor.run import look_at_videos
from projects.vifi_clip_tools.doctor.video import (
    Facts, check_video, find_look_alikes, fingerprint, supervise)

CHECK_VIDEO = 'projects.vifi_clip_tools.doctor.video.check_video'


def look(path, full=False):
    return check_video(str(path), full)


@pytest.mark.parametrize('full', [False, True])
def test_good_video(tmp_path, full):
    path = write_clip(tmp_path / 'a.mp4', seed=1, num=30)
    seen = look(path, full)
    assert (seen.status, seen.detail, seen.damage) == ('ok', '', '')
    assert (seen.frames, seen.width, seen.height) == (30, 96, 64)
    assert seen.fps == 25 and seen.seconds == pytest.approx(1.2)
    assert seen.size == path.stat().st_size


def test_names_of_no_file(tmp_path):
    (tmp_path / 'folder.mp4').mkdir()
    for name in 'folder.mp4', 'a\0b.mp4', 'a\0b/c.mp4', 'x' * 300:
        assert look(tmp_path / name).status == 'unreadable'


def test_pipes_and_devices_are_not_read(tmp_path):
    os.mkfifo(tmp_path / 'a.mp4')
    (tmp_path / 'b.mp4').symlink_to('/dev/zero')
    (tmp_path / 'c.mp4').symlink_to('c.mp4')
    seen = look_at_videos({n: str(tmp_path / f'{n}.mp4') for n in 'abc'},
                          False, 1, timeout=5)
    assert [seen[n].status for n in 'abc'] == ['unreadable'] * 3
    assert 'not a regular file' in seen['a'].detail


@pytest.mark.parametrize('name', ['a.mp4', 'a.avi', 'a.mkv'])
def test_files_cut_short(tmp_path, name):
    path = write_clip(tmp_path / name, seed=1, num=60,
                      faststart=name == 'a.mp4')
    assert look(path).status == 'ok'
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2])
    assert look(path).status == 'cut_short'


def test_full_decoding_finds_what_decoders_conceal(tmp_path):
    path = write_clip(tmp_path / 'a.mp4', seed=1, num=90, faststart=True)
    data = bytearray(path.read_bytes())
    middle = len(data) * 2 // 3
    data[middle:middle + 40] = bytes(40)
    path.write_bytes(data)
    seen = look(path, full=True)
    assert seen.status == 'unreadable' or 'frames' in seen.damage


# Processes that die or hang


def misbehave(path, full):
    """By name of the file: a fake decoder."""
    if path == 'crash':
        os.kill(os.getpid(), signal.SIGSEGV)
    if path == 'hang':
        time.sleep(60)
    if path == 'exit':
        os._exit(7)
    if path == 'fail':
        raise MemoryError('4 GiB')
    return Facts('ok', path.upper())


@pytest.mark.parametrize('workers', [1, 3])
def test_pool_survives_crashes_and_hangs(workers, monkeypatch):
    monkeypatch.setattr(CHECK_VIDEO, misbehave)
    names = ['a', 'crash', 'b', 'hang', 'exit', 'fail', 'c', 'd']
    seen = look_at_videos(dict(zip(names, names)), False, workers, timeout=1)
    assert list(seen) == names  # not in the order in which they end
    assert seen.pop('hang').status == 'timed_out'
    assert seen == {
        **{name: Facts('ok', name.upper()) for name in 'abcd'},
        'crash': Facts('crashed', 'killed by SIGSEGV'),
        'exit': Facts('crashed', 'ended the process with code 7'),
        'fail': Facts('crashed', 'MemoryError: 4 GiB')}


def interrupted_by_its_fork():
    """End with 5 if a signal is heard that comes in a callback of a fork."""
    pending = [signal.SIGTERM]
    os.register_at_fork(
        before=lambda: pending and os.kill(os.getpid(), pending.pop()))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # another thread could be given the signal
    threading.Thread(target=time.sleep, args=(60, ), daemon=True).start()
    try:
        list(supervise({0: 'hang'}, False, 1, timeout=30))
    except KeyboardInterrupt:
        os._exit(5)


def test_a_signal_within_a_fork_is_heard(monkeypatch):
    monkeypatch.setattr(CHECK_VIDEO, misbehave)
    process = multiprocessing.get_context('fork').Process(
        target=interrupted_by_its_fork)
    process.start()
    process.join(60)
    process.kill()
    assert process.exitcode == 5


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


# Look-alikes


def test_a_plain_picture_has_no_fingerprint():
    plain = np.full((48, 64, 3), 17, np.uint8)
    busy = pictures(seed=3, num=3)
    assert fingerprint([plain] * 3) is None
    assert fingerprint([busy[0], plain, busy[2]]) is None
    assert len(fingerprint(busy)) == 3 * 256


@pytest.mark.parametrize('shift, cell, seconds, alike', [
    (2, 0, 1.1, True), (5, 0, 1, False), (0, 0, 1.2, False),
    (0, 40, 1, False)])  # something small has moved
def test_thresholds(shift, cell, seconds, alike):
    first = np.random.default_rng(0).integers(
        20, 200, (3, 16, 16)).astype(np.uint8)
    other = first + np.uint8(shift)
    other[1, 4, 4] += np.uint8(cell)
    groups = find_look_alikes([first.tobytes(), other.tobytes()],
                              [1, seconds])
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
