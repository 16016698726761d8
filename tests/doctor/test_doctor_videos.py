"""One video at a time, and decoders that die or hang."""
import os
import signal

import numpy as np
import pytest
from doctor_world import pictures, write_clip

from projects.vifi_clip.datasets import contained_video
from projects.vifi_clip_tools.doctor.run import look_at_videos
from projects.vifi_clip_tools.doctor.video import (
    check_video, check_videos, find_look_alikes, fingerprint)


def look(path, full=False):
    return check_video(str(path), full, 60.)


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


# Decoders that die or hang


@pytest.mark.parametrize('workers', [1, 3])
def test_decoders_crash_and_hang(bad_decoder, tmp_path, workers, monkeypatch):
    monkeypatch.setattr(contained_video, 'GRACE', 0.5)
    names = ['a', 'crash', 'b', 'hang', 'exit', 'fail', 'c']
    for name in names:
        write_clip(tmp_path / f'{name}.mp4', seed=1)
    seen = look_at_videos({name: str(tmp_path / f'{name}.mp4')
                           for name in names}, False, workers, timeout=5)
    assert list(seen) == names  # not in the order in which they end
    assert {name: seen[name].status for name in names} == dict(
        a='ok', b='ok', c='ok', crash='crashed', exit='crashed',
        fail='crashed', hang='timed_out')
    assert 'SIGSEGV' in seen['crash'].detail
    assert 'exit code 7' in seen['exit'].detail
    assert seen['fail'].detail == 'MemoryError: 4 GiB'


def test_leaving_ends_the_decoders(bad_decoder, tmp_path):
    """As Ctrl-C does, while one hangs."""
    paths = {name: str(write_clip(tmp_path / f'{name}.mp4', seed=1))
             for name in ('a', 'hang')}
    videos = check_videos(paths, False, 2, timeout=600)
    assert next(videos)[0] == 'a'
    decoders = [child.process for child in contained_video._children._all]
    videos.close()
    assert len(decoders) == 2 and all(
        decoder.wait(30) == -signal.SIGKILL for decoder in decoders)


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
