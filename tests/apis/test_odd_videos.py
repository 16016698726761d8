"""Odd videos, labels and windows that once did harm."""
import logging
import os
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from helpers import write_mp4

from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.datasets.video_reader import (OpenedVideo,
                                                      open_container)
from projects.vifi_clip.errors import UnreadableVideo, UserError
from projects.vifi_clip.models.pretrained import resolve_pretrained


@pytest.fixture
def video(tmp_path):
    frames = np.zeros((20, 64, 64, 3), np.uint8)
    frames[10:, ..., 2] = 200
    return write_mp4(tmp_path / 'v.mp4', frames=frames)


def test_a_playlist_does_not_open_other_files(tmp_path, video, small):
    """It would show a visitor of the page the server's own videos."""
    playlist = tmp_path / 'list.m3u8'
    playlist.write_text('#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2.0,\n'
                        f'{video}\n#EXT-X-ENDLIST\n')
    with pytest.raises(UnreadableVideo):
        open_container(str(playlist))
    with pytest.raises(UnreadableVideo, match='list.m3u8'):
        small(str(playlist))
    assert small(video)['predictions'][0]['video'] == video


def test_templates_changed_under_a_generator(small, video):
    names = ['a red ring', 'a blue star']
    # by two names, since a path counts once
    again = video.replace('v.mp4', 'w.mp4')
    os.link(video, again)
    rest = small.predict([video, again], labels=names)
    next(rest)
    small.set_labels(names, 'zebra {}')
    with pytest.raises(UserError, match='labels were changed'):
        list(rest)


def test_a_refused_threshold_leaves_the_labels(small, video):
    small.set_labels(['a red ring', 'a blue star'])
    with pytest.raises(ValueError, match='at least two'):
        small(video, labels=['one'], threshold=.5)
    assert small.class_names == ['a red ring', 'a blue star']


def test_words_that_the_model_does_not_know(small, video, monkeypatch):
    said = []
    monkeypatch.setattr(
        'projects.vifi_clip.apis.inferencer.print_log',
        lambda text, *args: said.append((text, args[-1])))
    small(video, labels=['wrestling', 'a red ring', 'swimming'])
    small(video)
    (text, level), = said
    assert 'wrestling, swimming' in text and 'red ring' not in text
    assert level == logging.WARNING


def test_windows_follow_the_frames_own_times(tmp_path, small):
    """A second of red at 20 frames/s, then five blue frames a second each."""
    path = str(tmp_path / 'steps.mp4')
    with av.open(path, 'w') as container:
        stream = container.add_stream('libx264', rate=20)
        stream.width = stream.height = 64
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.time_base = Fraction(1, 20)
        for i in range(25):
            colour = (200, 0, 0) if i < 20 else (0, 0, 200)
            frame = av.VideoFrame.from_ndarray(
                np.full((64, 64, 3), colour, np.uint8), format='rgb24')
            frame.pts = i if i < 20 else 20 * (i - 19)
            frame.time_base = Fraction(1, 20)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = small.sampler.windows(VideoInput(path, path), 0.5, 0.5, 4)
    firsts = found.unique[found.places[:, 0]]
    is_blue = firsts >= 20
    # windows from 1 s on are blue, all before are red
    starts = found.times - found.window / 2
    assert (is_blue == (starts > 0.99)).all()
    assert found.times[-1] > 4
    times = small.sample(path).times
    assert times[-1] > 2 and (np.diff(times) > 0).any()


@pytest.mark.parametrize('ends', [
    [0, 1, 2e17], [0, 2, 1], [0, float('nan'), 2], [0, 0, 0]])
def test_times_that_are_none(video, monkeypatch, ends):
    """decord makes some up for AVI files."""
    reader = OpenedVideo(video)
    assert reader.frame_times()[-1] == pytest.approx(20 / reader.get_avg_fps())
    spans = np.array(list(zip(ends[:-1], ends[1:])))
    monkeypatch.setattr(reader, '_reader', SimpleNamespace(
        get_frame_timestamp=lambda _: spans))
    assert reader.frame_times() is None


@pytest.mark.parametrize('window, stride', [(.1, 1e-9), (1e-9, 1e-300)])
def test_too_many_windows(small, video, window, stride):
    with pytest.raises(UserError, match='windows of'):
        small.timeline(video, window, stride)


@pytest.mark.parametrize('views', [(4, ), 10**7, (1, 2), True])
def test_odd_numbers_of_views(small, video, views):
    with pytest.raises(ValueError, match='num_views must be'):
        small(video, num_views=views)


def test_weights_that_cannot_be_fetched(monkeypatch):
    def fail(cfg):
        raise OSError('no route to host')

    monkeypatch.setattr(
        'projects.vifi_clip.models.pretrained.download_pretrained', fail)
    with pytest.raises(UserError, match='PRETRAINED=FILE.*small_world') as e:
        resolve_pretrained('ViT-B-16-quickgelu', 'openai')
    assert 'no route to host' in str(e.value) and os.linesep not in str(
        e.value)
