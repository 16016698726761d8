"""Frames by the first step of a pipeline: names, bad files, decord, another
count."""
import os

import decord
import numpy as np
import pytest
from helpers import make_bad, read_index, spoil, write_mp4
from numpy.testing import assert_array_equal

from projects.vifi_clip.datasets import (RepeatFrames, SparseSampleViews,
                                         VideoDecode, VideoReader)
from projects.vifi_clip.datasets.video_file import (FrameCountChanged,
                                                    VideoFile)
from projects.vifi_clip.datasets.video_reader import run_pipeline
from projects.vifi_clip.errors import UnreadableVideo


def numbers(path, indices, *others, **kwargs):
    """What the frames of a pipeline say that they are."""
    imgs = run_pipeline([VideoReader(**kwargs), *others, VideoDecode(),
                         RepeatFrames()],
                        dict(filename=path, start_index=0,
                             frame_inds=np.array(indices)))['imgs']
    return [read_index(img) for img in imgs]


def test_both_backends(tmp_path):
    path = write_mp4(tmp_path / 'a.mp4', 20, fps=10)
    theirs = decord.VideoReader(path).get_batch([3, 19, 0]).asnumpy()
    assert_array_equal(VideoFile(path).frames([3, 19, 0]), theirs)
    for backend in ('pyav', 'decord'):
        results = VideoReader(backend).transform(dict(filename=path))
        assert results['total_frames'] == 20 and results['avg_fps'] == 10
        indices = [3, 19, 3, 0]
        assert numbers(path, indices, backend=backend) == indices
    with pytest.raises(ValueError, match='READER'):
        VideoReader('opencv')


@pytest.mark.parametrize('name', ['no ending', 'höhe 視頻.mp4', b'\xff\xfe.mp4',
                                  "it's 100% [odd].mp4"])
def test_names(name, tmp_path):
    plain = write_mp4(tmp_path / 'plain.mp4', 6)
    path = os.path.join(tmp_path, os.fsdecode(name))
    os.rename(plain, path)
    assert numbers(path, [4, 1]) == [4, 1]


@pytest.mark.parametrize('kind', [
    'text', 'empty', 'absent', 'folder', 'pipe', 'sound', 'end_lost.mp4',
    'cut.mp4', 'cut.avi', 'cut.mkv', 'cut.flv'])
def test_bad_files(kind, tmp_path, capfd):
    path = make_bad(kind, tmp_path)
    with pytest.raises(UnreadableVideo) as error:
        numbers(path, range(0, 60, 7))
    assert error.value.name == path and error.value.reason
    said = capfd.readouterr()
    assert not said.out and not said.err  # FFmpeg's own words


def test_damage_is_said_and_lets_the_rest_be_read(tmp_path):
    path = spoil(write_mp4(tmp_path / 'b.mp4', 60), tmp_path / 'a.mp4', -1)
    with pytest.warns(UserWarning, match=r'a.mp4: \d of 60 frames'):
        assert numbers(path, [0, 30, 58])[:2] == [0, 30]


def test_sampling_again_when_packets_were_no_frames(tmp_path, monkeypatch):
    """The frames are counted, and chosen among those."""
    path = write_mp4(tmp_path / 'a.mp4', 20)
    opened = []

    class TooMany(VideoFile):
        def __init__(self, source, in_order, *args):
            super().__init__(source, in_order, *args)
            opened.append(in_order)

        def __len__(self):
            return 20 if opened[-1:] == [True] else 40

        def frames(self, indices):
            if not opened[-1]:
                raise FrameCountChanged(path, '')
            return super().frames(indices)

    monkeypatch.setattr(
        'projects.vifi_clip.datasets.video_reader.open_video', TooMany)
    assert numbers(path, (), SparseSampleViews(4)) == [2, 7, 12, 17]
    assert opened == [False, True]
