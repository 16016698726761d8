"""What visitors may give, and what they are told."""
import av
import numpy as np
import pytest
from helpers import write_mp4

from projects.vifi_clip_tools.demo.limits import (MOST_LABELS, Limits,
                                                  check_video, read_labels)
from projects.vifi_clip.errors import UserError

OPEN = Limits()


def test_labels_come_with_commas_or_lines():
    assert read_labels(' a dog,a cat \n\n a bird,, a dog\n') == [
        'a dog', 'a cat', 'a bird'
    ]


@pytest.mark.parametrize('text, told', [
    (None, 'no labels'), (' ,\n, ', 'no labels'), ('x' * 201, '201'),
    (','.join(map(str, range(MOST_LABELS + 1))), str(MOST_LABELS + 1))
])
def test_labels_that_are_none(text, told):
    with pytest.raises(UserError, match=told):
        read_labels(text)


def test_labels_are_never_read_from_a_file(tmp_path):
    # It would show the server's files to whoever asks.
    path = tmp_path / 'secrets.txt'
    path.write_text('password\n')
    assert read_labels(str(path)) == [str(path)]


def test_a_video_is_looked_into(tmp_path):
    path = write_mp4(tmp_path / 'a.mp4', 30, (96, 64), fps=10)
    facts = check_video(path, OPEN)
    assert (facts.width, facts.height, facts.plays) == (96, 64, True)
    assert facts.seconds == pytest.approx(3)


@pytest.mark.parametrize('codec, suffix, plays', [
    ('mpeg4', 'avi', False), ('mpeg4', 'mp4', False), ('libvpx', 'webm', True)
])
def test_what_browsers_play(tmp_path, codec, suffix, plays):
    path = tmp_path / f'a.{suffix}'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuv420p'
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(
                np.zeros((64, 64, 3), np.uint8), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert check_video(str(path), OPEN).plays is plays


def test_a_camera_that_tells_no_length(tmp_path):
    # MediaRecorder writes a live stream: no duration anywhere.
    path = tmp_path / 'camera.webm'
    with av.open(str(path), 'w', options=dict(live='1')) as container:
        stream = container.add_stream('libvpx', rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuv420p'
        for _ in range(31):
            frame = av.VideoFrame.from_ndarray(
                np.zeros((64, 64, 3), np.uint8), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert not container.duration  # else this tests nothing
    assert check_video(str(path), OPEN).seconds == pytest.approx(3)


def test_no_video_and_no_longer_a_video(tmp_path):
    with pytest.raises(UserError, match='no video yet'):
        check_video(None, OPEN)
    with pytest.raises(UserError, match='gone.mp4 is no longer here'):
        check_video(str(tmp_path / 'gone.mp4'), OPEN)


@pytest.mark.parametrize('content', [b'', b'hello world' * 100])
def test_a_bad_file_says_so_without_the_folder(tmp_path, content):
    path = tmp_path / 'bad.mp4'
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        check_video(str(path), OPEN)
    assert str(caught.value).startswith('bad.mp4 cannot be read')
    assert str(tmp_path) not in str(caught.value)


def test_sound_is_no_video(tmp_path):
    path = tmp_path / 'sound.wav'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000, layout='mono')
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format='s16', layout='mono')
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UserError, match='no pictures'):
        check_video(str(path), OPEN)


@pytest.mark.parametrize('limits, told', [
    (Limits(upload_mb=0.0001), '0.0001 MB'),
    (Limits(video_seconds=2.5), '3 s long')
])
def test_too_much(tmp_path, limits, told):
    path = write_mp4(tmp_path / 'a.mp4', 30, fps=10)
    with pytest.raises(UserError, match=told):
        check_video(path, limits)


@pytest.mark.parametrize('settings, option', [
    (dict(upload_mb=0), '--max-upload-mb 0'),
    (dict(seconds=-1), '--timeout -1'),
    (dict(video_seconds=float('nan')), '--max-seconds nan')
])
def test_limits_above_zero(settings, option):
    with pytest.raises(ValueError, match=option):
        Limits(**settings)
