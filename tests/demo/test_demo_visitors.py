"""What visitors may give, and answers as HTML."""
import base64
import io
import re
import wave

import av
import numpy as np
import pytest
from helpers import write_mp4
from PIL import Image

from projects.vifi_clip.apis.sampling import Timeline
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.demo.limits import (MOST_LABELS, check_video,
                                                  split_labels)
from projects.vifi_clip_tools.demo.markup import HTML, percent
from projects.vifi_clip_tools.demo.options import Limits
from projects.vifi_clip_tools.demo.service import (Frames, Recognition,
                                                   Request)

EVIL = '<script>alert(1)</script>"&'


def test_labels_come_with_commas_or_lines():
    assert split_labels(' a dog,a cat \n\n a bird,, a dog\n') == [
        'a dog', 'a cat', 'a bird']
    # A file would show the server's files to whoever asks.
    assert split_labels(__file__) == [__file__]
    for text in (None, ' ,\n, ', 'x' * 201,
                 ','.join(map(str, range(MOST_LABELS + 1)))):
        with pytest.raises(UserError):
            split_labels(text)


@pytest.mark.parametrize('codec, suffix, options, plays', [
    ('libx264', 'mp4', {}, True), ('mpeg4', 'avi', {}, False),
    ('mpeg4', 'mp4', {}, False), ('libvpx', 'webm', {}, True),
    # MediaRecorder writes a live stream: no duration anywhere.
    ('libvpx', 'webm', dict(live='1'), True)])
def test_a_video_is_looked_into(tmp_path, codec, suffix, options, plays):
    path, black = str(tmp_path / f'a.{suffix}'), np.zeros((48, 64, 3), 'u1')
    with av.open(path, 'w', options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for _ in range(31):
            container.mux(stream.encode(
                av.VideoFrame.from_ndarray(black, format='rgb24')))
        container.mux(stream.encode())
    facts = check_video(path, Limits())
    assert (facts.width, facts.height, facts.plays) == (64, 48, plays)
    assert facts.seconds == pytest.approx(3, abs=0.11)


def test_videos_that_are_refused(tmp_path):
    sound = tmp_path / 'sound.wav'
    with wave.open(str(sound), 'wb') as file:
        file.setparams((1, 2, 8000, 800, 'NONE', ''))
        file.writeframes(bytes(1600))
    path = write_mp4(tmp_path / 'a.mp4', 30, fps=10)
    (tmp_path / 'empty.mp4').touch()
    (tmp_path / 'text.mp4').write_text('hello world' * 100)
    refusals = [(str(tmp_path / name), Limits(), name) for name in (
        'gone.mp4', 'sound.wav', 'empty.mp4', 'text.mp4')]
    for file, limits, told in (
            *refusals, (None, Limits(), 'video'),
            (path, Limits(upload_mb=0.0001), '0.0001 MB'),
            (path, Limits(video_seconds=2.5), '3 s')):
        with pytest.raises(UserError, match=told) as error:
            check_video(file, limits)
        assert str(tmp_path) not in str(error.value)


def make_frames(captions=()):
    images = np.zeros((2, 6, 8, 3), np.uint8)
    images[1, :, :, 0] = 255
    return Frames(images, np.array([0.5, 1.5]), captions)


def verdict(ranking, label=None, threshold=0.):
    request = Request('/x/a.mp4', tuple(dict(ranking)), threshold=threshold)
    return HTML.verdict(request, Recognition(
        label or ranking[0][0], ranking, make_frames()))


def make_timeline(scores, labels=('a', 'b')):
    return Timeline(np.arange(len(scores)) + 0.5,
                    np.array(scores, np.float32), list(labels), 1.)


def test_nothing_that_visitors_type_becomes_markup():
    for text in (HTML.alert(EVIL), HTML.note(EVIL),
                 verdict([(EVIL, 0.9), ('b', 0.1)]),
                 verdict([(EVIL, 0.9), ('b', 0.1)], 'none of these', 0.95),
                 HTML.frames(make_frames([(EVIL, 1.), (EVIL, 1.)]), EVIL),
                 HTML.chart(make_timeline([[0.7, 0.3]], [EVIL, 'b']))):
        assert '<script' not in text and '&lt;script' in text


def test_bars():
    text = verdict([('a', 0.75), ('b', 0.25)])
    assert re.findall(r'style="width:([\d.]+)%', text) == ['75.00', '25.00']
    assert text.index('>a<') < text.index('>b<')
    text = verdict([(f'label {i}', 0.05) for i in range(20)])
    assert '<summary>10 more</summary>' in text and 'label 19' in text
    assert [percent(x) for x in (0, 1e-6, 0.0123, 1)] == [
        '0.0%', '<0.1%', '1.2%', '100.0%']


def test_pictures_are_in_the_page():
    text = HTML.frames(make_frames([('a', 0.5), ('b', 0.6)]), 'Frame')
    first, second = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text))
    assert first.max() < 10 and second[..., 0].min() > 245
    assert first.shape == (240, 320, 3)
    assert '0.50 s' in text and '1.50 s' in text


def test_chart():
    lines = re.findall(r'points="([^"]+)"', HTML.chart(
        make_timeline([[.9, .1], [.25, .75]])))
    assert lines == ['0.00,10.00 25.00,10.00 75.00,75.00 100.00,75.00',
                     '0.00,90.00 25.00,90.00 75.00,25.00 100.00,25.00']
    assert 'a at the start, b from 2.5 s' in HTML.chart(
        make_timeline([[.9, .1], [.8, .2], [.3, .7]]))
