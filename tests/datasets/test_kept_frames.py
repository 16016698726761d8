"""Videos that are decoded once: the frames, files and errors."""
import os

import numpy as np
import pytest
from mmaction.registry import TRANSFORMS

from projects.vifi_clip.datasets.video_reader import run_pipeline
from projects.vifi_clip.errors import UnreadableVideo
from tests.helpers import make_bad, write_mp4


def _read(video, folder=None):
    reader = dict(type='VideoReader') if folder is None else dict(
        type='KeptVideoReader', folder=str(folder))
    steps = [TRANSFORMS.build(step) for step in (
        reader, dict(type='SparseSampleViews', num_frames=4, num_views=2),
        dict(type='VideoDecode'))]
    results = run_pipeline(steps, dict(filename=str(video), start_index=0))
    return np.stack(results['imgs']), results['frame_inds'].tolist()


def test_kept_frames_are_the_readers_own(tmp_path):
    video, folder = tmp_path / 'a.mp4', tmp_path / 'frames'
    write_mp4(video, num_frames=12)
    wanted, inds = _read(video)
    for _ in range(2):  # decoded, and kept
        frames, places = _read(video, folder)
        np.testing.assert_array_equal(frames, wanted)
        assert places == inds
    assert len(os.listdir(folder)) == 1


def test_a_kept_video_is_not_decoded_again(tmp_path, monkeypatch):
    video = tmp_path / 'a.mp4'
    write_mp4(video)
    wanted, _ = _read(video, tmp_path / 'frames')
    monkeypatch.setattr(
        'projects.vifi_clip.datasets.video_reader.open_video', None)
    np.testing.assert_array_equal(_read(video, tmp_path / 'frames')[0], wanted)


def test_a_video_that_changed_is_decoded_anew(tmp_path):
    video, folder = tmp_path / 'a.mp4', tmp_path / 'frames'
    write_mp4(video, num_frames=9)
    _read(video, folder)
    write_mp4(video, num_frames=30)
    os.utime(video, (1, 1))
    frames, inds = _read(video, folder)
    np.testing.assert_array_equal(frames, _read(video)[0])
    assert max(inds) > 9


def test_a_bad_video_is_told_and_not_kept(tmp_path):
    bad, folder = make_bad('text', tmp_path), tmp_path / 'frames'
    with pytest.raises(UnreadableVideo):
        _read(bad, folder)
    with pytest.raises(UnreadableVideo):
        _read(tmp_path / 'absent.mp4', folder)
    assert not folder.exists() or not os.listdir(folder)
