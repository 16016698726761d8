"""Look-alikes: found after re-encoding, not among different clips."""
import cv2
import numpy as np
import pytest
from doctor_world import pictures, write_avi, write_clip
from helpers import write_mp4

from projects.vifi_clip_tools.doctor.fingerprint import (find_look_alikes,
                                                         fingerprint)
from projects.vifi_clip_tools.doctor.video import VideoJob, check_video


def seen(path):
    facts = check_video(VideoJob(str(path), False))
    return facts.prints, facts.seconds


def test_other_encodings_of_one_clip(tmp_path):
    small = [cv2.resize(frame, (64, 48)) for frame in pictures(seed=1)]
    files = [
        write_clip(tmp_path / 'a.mp4', seed=1),
        write_clip(tmp_path / 'other.mp4', seed=2),
        write_avi(tmp_path / 'b.avi', seed=1),
        write_mp4(tmp_path / 'c.mp4', frames=small),
        write_clip(tmp_path / 'longer.mp4', seed=1, num=48),
    ]
    prints, seconds = zip(*map(seen, files))
    assert find_look_alikes(prints, seconds) == [[0, 2, 3]]


def test_a_plain_picture_has_no_fingerprint():
    plain = np.full((48, 64, 3), 17, np.uint8)
    busy = pictures(seed=3, num=3)
    assert fingerprint([plain] * 3) is None
    assert fingerprint([busy[0], plain, busy[2]]) is None
    assert len(fingerprint(busy)) == 3 * 256


@pytest.mark.parametrize('shift, alike', [(2, True), (5, False)])
def test_threshold_in_grey_levels(shift, alike):
    rng = np.random.default_rng(0)
    one = rng.integers(20, 200, (3, 16, 16)).astype(np.uint8)
    groups = find_look_alikes([one.tobytes(), (one + shift).tobytes()],
                              [1, 1])
    assert groups == ([[0, 1]] if alike else [])


def test_one_changed_cell_is_another_clip():
    rng = np.random.default_rng(0)
    one = rng.integers(20, 200, (3, 16, 16)).astype(np.uint8)
    other = one.copy()
    other[1, 4, 4] += 40  # something small has moved
    assert not find_look_alikes([one.tobytes(), other.tobytes()], [1, 1])


def test_same_as_comparing_all_pairs():
    rng = np.random.default_rng(1)
    base = rng.integers(20, 200, (40, 3, 16, 16))
    twins = base[[3, 3, 17, 30]] + rng.integers(-2, 3, (4, 3, 16, 16))
    small = np.concatenate([base, twins]).astype(np.uint8)
    found = find_look_alikes([each.tobytes() for each in small],
                             [2.0] * len(small))
    assert found == [[3, 40, 41], [17, 42], [30, 43]]


def test_few():
    assert find_look_alikes([], []) == []
    assert find_look_alikes([bytes(768)], [1.0]) == []
