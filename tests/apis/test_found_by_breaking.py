"""Bad input that once did harm: each has its test."""
import json
import logging
import os
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from helpers import write_mp4

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.config import read_config
from projects.vifi_clip.apis.loading import load_model
from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.datasets.video_reader import (OpenedVideo,
                                                      open_container)
from projects.vifi_clip.errors import UnreadableVideo, UserError
from projects.vifi_clip.models.pretrained import resolve_pretrained


@pytest.fixture(scope='module')
def infer():
    return ViFiCLIPInferencer('small_world', device='cpu')


@pytest.fixture
def video(tmp_path):
    frames = np.zeros((20, 64, 64, 3), np.uint8)
    frames[10:, ..., 2] = 200
    write_mp4(tmp_path / 'v.mp4', frames=frames)
    return str(tmp_path / 'v.mp4')


def test_a_playlist_does_not_open_other_files(tmp_path, video, infer):
    """It would show a visitor of the page the server's own videos."""
    playlist = tmp_path / 'list.m3u8'
    playlist.write_text('#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2.0,\n'
                        f'{video}\n#EXT-X-ENDLIST\n')
    with pytest.raises(UnreadableVideo):
        open_container(str(playlist))
    with pytest.raises(UserError, match='list.m3u8 cannot be read'):
        infer(str(playlist))
    assert infer(video)['predictions'][0]['video'] == video


@pytest.mark.parametrize('text, said', [
    ('model = dict(type=', 'SyntaxError'), ('1 / 0', 'ZeroDivisionError'),
    ('x = 1', 'model must be a dict with a type'),
    ("model = dict(type='ViFiCLIP')\nval_pipeline = 3", 'must be a list')])
def test_configs_that_cannot_be_read(tmp_path, text, said):
    path = tmp_path / 'bad.py'
    path.write_text(text + '\n')
    with pytest.raises((UserError, ValueError), match=said) as error:
        read_config(str(path))
    assert '\n' not in str(error.value) and 'bad.py' in str(error.value)


def test_an_empty_checkpoint_is_not_an_untrained_model():
    with pytest.raises(ValueError, match='checkpoint is empty'):
        load_model('small_world', '')


def test_templates_changed_under_a_generator(infer, video):
    names = ['a red ring', 'a blue star']
    # by two names, since a path counts once
    again = video.replace('v.mp4', 'w.mp4')
    os.link(video, again)
    rest = infer.predict([video, again], labels=names)
    next(rest)
    infer.set_labels(names, 'zebra {}')
    with pytest.raises(UserError, match='labels were changed'):
        list(rest)


def test_a_refused_threshold_leaves_the_labels(infer, video):
    infer.set_labels(['a red ring', 'a blue star'])
    with pytest.raises(ValueError, match='at least two'):
        infer(video, labels=['one'], threshold=.5)
    assert infer.class_names == ['a red ring', 'a blue star']


def test_words_that_the_model_does_not_know(infer, video, monkeypatch):
    said = []
    monkeypatch.setattr(
        'projects.vifi_clip.apis.inferencer.print_log',
        lambda text, *args: said.append((text, args[-1])))
    infer(video, labels=['wrestling', 'a red ring', 'swimming'])
    infer(video)
    (text, level), = said
    assert 'wrestling, swimming' in text and 'red ring' not in text
    assert level == logging.WARNING


def test_windows_follow_the_frames_own_times(tmp_path, infer):
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
    found = infer.sampler.windows(VideoInput(path, path), 0.5, 0.5, 4)
    firsts = found.unique[found.places[:, 0]]
    is_blue = firsts >= 20
    # windows from 1 s on are blue, all before are red
    starts = found.times - found.window / 2
    assert (is_blue == (starts > 0.99)).all()
    assert found.times[-1] > 4
    times = infer.sample(path).times
    assert times[-1] > 2 and (np.diff(times) > 0).any()


@pytest.mark.parametrize('ends', [
    [0, 1, 2e17], [0, 2, 1], [0, float('nan'), 2], [0, 0, 0]])
def test_times_that_are_none(video, monkeypatch, ends):
    """decord makes some up for AVI files."""
    reader = OpenedVideo(video)
    assert reader.frame_times()[-1] == pytest.approx(20 / reader.get_avg_fps())
    spans = np.array(list(zip(ends[:-1], ends[1:])))
    reader._reader = SimpleNamespace(get_frame_timestamp=lambda _: spans)
    assert reader.frame_times() is None


@pytest.mark.parametrize('window, stride', [(.1, 1e-9), (1e-9, 1e-300)])
def test_too_many_windows(infer, video, window, stride):
    with pytest.raises(UserError, match='windows of'):
        infer.timeline(video, window, stride)


@pytest.mark.parametrize('views', [(4, ), 10**7, (1, 2), True])
def test_odd_numbers_of_views(infer, video, views):
    with pytest.raises(ValueError, match='num_views must be'):
        infer(video, num_views=views)


def test_weights_that_cannot_be_fetched(monkeypatch):
    def fail(cfg):
        raise OSError('no route to host')

    monkeypatch.setattr(
        'projects.vifi_clip.models.pretrained.download_pretrained', fail)
    with pytest.raises(UserError, match='PRETRAINED=FILE.*small_world') as e:
        resolve_pretrained('ViT-B-16-quickgelu', 'openai')
    assert 'no route to host' in str(e.value) and os.linesep not in str(
        e.value)


@pytest.mark.parametrize('record', ['{"a": 1}', None])
def test_a_damaged_index(infer, video, tmp_path, record):
    from projects.vifi_clip_tools.search.store import VideoIndex
    from projects.vifi_clip.apis.identity import Identity
    from projects.vifi_clip_tools.search.indexing import index_videos
    path = tmp_path / 'index'
    index = VideoIndex.create(str(path), Identity.of(infer))
    index_videos(index, infer, [video])
    hits = index.search(infer.text_embeddings(['a red ring'])[0], 10**23)
    assert [hit.path for hit in hits] == [video]
    content = json.loads((path / 'index.json').read_text())
    content.pop('identity')
    if record:
        content['identity'] = json.loads(record)
    (path / 'index.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match='index.json is damaged'):
        VideoIndex(str(path))
