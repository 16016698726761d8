"""Streams on loopback: a server that sends MPEG-TS, ends, and sends again."""
import io
import re
import shutil
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from commands import refused, vifi
from helpers import read_index, served, until, write_mp4, write_video

from projects.vifi_clip.datasets.contained_video import open_video
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.predict.stream import LiveFrames, public_name

# Debian: python3-gi, gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good
PYTHON = shutil.which('python3', path='/usr/bin')
RTSP = """
import sys, gi
gi.require_version('GstRtspServer', '1.0')
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer
Gst.init(None)
server, factory = (GstRtspServer.RTSPServer(),
                   GstRtspServer.RTSPMediaFactory())
server.set_address('127.0.0.1')
server.set_service('0')
factory.set_launch(f'( filesrc location={sys.argv[1]} ! qtdemux ! h264parse '
                   '! rtph264pay name=pay0 )')
factory.set_protocols(getattr(GstRtsp.RTSPLowerTrans, sys.argv[2]))
server.get_mount_points().add_factory('/live', factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""


@pytest.fixture(scope='module')
def content(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp('stream') / 'live.ts'
    write_video(path, count=60, size=(96, 64))
    return path.read_bytes()


def test_the_last_frames_are_kept_and_it_connects_again(content, capsys):
    with served(content) as address, LiveFrames(
            address, window=.001, count=6, timeout=10) as live:
        until(lambda: live.connections >= 2)  # it ended, and began again
        assert len(live.frames) <= 6
        images, came = live.view(4)
        assert images.shape == (4, 64, 96, 3) and images.dtype == np.uint8
        assert came <= time.monotonic()
    assert 'connecting again in 1 s' in capsys.readouterr().err


def test_frames_in_order(content):
    """One behind the other, as they came."""
    with served(content) as address, LiveFrames(
            address, window=1e-6, count=5, timeout=10) as live:
        until(lambda: len(live.frames) == 5)
        rows = [read_index(image) for image in live.view(5)[0]]
        assert (np.diff(rows) == 1).all()


def test_pictures_from_before_a_break_are_dropped(content):
    with served(content) as address, LiveFrames(
            address, window=1000., count=100, timeout=10) as live:
        until(lambda: live.reason == 'it has ended')
        last = live.frames[-1][0]
        until(lambda: live.connections >= 2)
        assert live.frames[0][0] > last


def test_an_mp4_whose_index_is_at_its_end(tmp_path):
    content = Path(write_mp4(tmp_path / 'a.mp4', 60)).read_bytes()
    index = content.index(b'moov') - 4  # farther off than FFmpeg keeps
    gap = (1 << 20).to_bytes(4, 'big') + b'free' + bytes((1 << 20) - 8)
    with served(content[:index] + gap + content[index:], 0.) as address:
        with pytest.raises(UserError, match='faststart'):
            with LiveFrames(address, 1, 4, timeout=10):
                pass


def test_what_does_not_answer_is_said(capsys):
    with pytest.raises(UserError, match='gives no pictures'):
        with LiveFrames('http://me:secret@127.0.0.1:9/x', 1, 4, timeout=5):
            pass
    said = refused(capsys, 'predict', '--config', 'small_world', '--device',
                   'cpu', '--stream', 'http://me:secret@127.0.0.1:9/x',
                   names='http://127.0.0.1:9/x')
    assert 'secret' not in said
    with pytest.raises(UserError) as caught:
        with LiveFrames('rtsp://me:se@cret@127.0.0.1:9/x', 1, 4, timeout=5):
            pass
    assert '//127.0.0.1' in str(caught.value)


def test_damage_costs_only_its_own_pictures(tmp_path):
    """As where a network loses packets: no new connection."""
    write_video(tmp_path / 'a.ts', size=(96, 64), g='10')
    spoilt = bytearray((tmp_path / 'a.ts').read_bytes())
    rng, packets = np.random.default_rng(0), len(spoilt) // 188
    for end in range(188 * (packets // 3), 188 * (packets // 2), 188):
        spoilt[end - 148:end] = rng.bytes(148)
    with served(bytes(spoilt)) as address, LiveFrames(
            address, window=1e-6, count=5, timeout=10) as live:
        until(lambda: live.connections and read_index(
            live.view(1)[0][0]) > 70)
        assert live.connections == 1


def test_a_title_in_latin_1(tmp_path):
    path = tmp_path / 'a.mkv'
    write_video(path, count=20, size=(96, 64))
    path.write_bytes(path.read_bytes().replace(b'Lavf', b'L\xe9vf'))
    assert len(open_video(str(path))) == 20
    with served(path.read_bytes()) as address, LiveFrames(
            address, window=1e-6, count=5, timeout=10):
        pass


@pytest.mark.parametrize('transport', ['TCP', 'UDP'])
def test_rtsp(transport, tmp_path):
    """Over TCP, and UDP where the server has nothing else."""
    path = write_mp4(tmp_path / 'a.mp4', 100, fps=25)
    with subprocess.Popen(
            [PYTHON or sys.executable, '-c', RTSP, path, transport], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            port = process.stdout.readline().strip()
            if not port:
                pytest.skip('no GstRtspServer')
            with LiveFrames(f'rtsp://127.0.0.1:{port}/live', 1e-6, 5,
                            timeout=20) as live:
                until(lambda: len(live.frames) == 5)
                rows = [read_index(image) for image in live.view(5)[0]]
                assert (np.diff(rows) == 1).all()
        finally:
            process.kill()


def test_a_stream_without_video():
    sound = io.BytesIO()
    with wave.open(sound, 'wb') as file:
        file.setparams((1, 2, 8000, 800, 'NONE', ''))
        file.writeframes(bytes(1600))
    with served(sound.getvalue()) as address:
        with pytest.raises(UserError, match='no video'):
            with LiveFrames(address, 1, 4, timeout=10):
                pass


def test_a_patient_reader(content, capsys):
    """Tries a stream that is down at the start, and ends when nobody looks."""
    with served(content) as address:
        pass
    live = LiveFrames(address, .001, 4, timeout=10, idle=3.).start()
    until(lambda: live.reason)
    assert live.view(4)[1] == 0 and not live.ended
    with served(content, port=int(address.split(':')[2].split('/')[0])):
        until(lambda: live.view(4)[1] > 0)
        assert live.reason == ''
        until(lambda: live.ended)
    until(lambda: not live._thread.is_alive())


@pytest.mark.parametrize('form', ['{}', 'file://{}'])
def test_a_file_is_no_stream(form, tmp_path):
    write_video(tmp_path / 'a.mp4', count=2, size=(96, 64))
    with pytest.raises(UserError, match='without --stream'):
        with LiveFrames(form.format(tmp_path / 'a.mp4'), 1, 4, timeout=5):
            pass


def test_a_playlist_opens_no_file_of_ours(content, tmp_path):
    (tmp_path / 'own.ts').write_bytes(content)
    playlist = (f'#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2,\n'
                f'file://{tmp_path}/own.ts\n#EXT-X-ENDLIST\n').encode()
    with served(playlist) as address, pytest.raises(UserError):
        with LiveFrames(address.replace('.ts', '.m3u8'), 1, 4, timeout=5):
            pass


def test_the_command(content, capsys):
    with served(content) as address:
        assert vifi('predict', '--config', 'small_world', '--device', 'cpu',
                    '--labels', 'a ring, a star', '--stream', address,
                    '--stride', '0.2', '--seconds', '1') == 0
    said = capsys.readouterr()
    assert re.search(r'(ring|star) \d+\.\d%, .* \(delay \d+\.\d s\)', said.out)
    assert said.err.count('unlike') == 1  # a toy's warning


def test_a_picture_is_recognised_once(content, capsys):
    """A stream that stands still gives no new answers."""
    with served(content) as address:  # and wait a second between
        assert vifi('predict', '--config', 'small_world', '--device', 'cpu',
                    '--labels', 'a ring, a star', '--stream', address,
                    '--stride', '0.1', '--seconds', '1') == 0
    lines = capsys.readouterr().out.splitlines()
    assert '%' in lines[0] and 'no new picture' in ''.join(lines[1:])


@pytest.mark.parametrize('argv, names', [
    (['a.mp4', '--stream', 'rtsp://127.0.0.1/1'], '--stream'),
    (['a.mp4', '--seconds', 5], '--seconds'),
    (['--stream', 'camera:0', '--num-views', 4], '--num-views'),
    (['--stream', 'a.mp4'], 'a.mp4'), (['--stream', 'camera:x'], 'camera:x'),
    (['--stream', 'camera:0:5'], 'camera:0:5'),
    (['--stream', 'rtmp://127.0.0.1/1'], 'rtsp://'),
    (['--stream', 'RTSP://127.0.0.1/1'], 'RTSP://'),
    (['--stream', 'camera:0', '--labels', 'a', '--threshold', '.5'],
     '--threshold'),
    (['a.mp4', '--window', 1], '--window'),
    (['a.mp4', '--stride', 1], '--stride')])
def test_what_does_not_go_together(argv, names, capsys):
    refused(capsys, 'predict', *argv, names=names)


@pytest.mark.parametrize('address, name', [
    ('rtsp://me:secret@h/live?key=secret', 'rtsp://h/live'),
    ('rtsp://h:554/user=me&password=secret&channel=1', 'rtsp://h:554/'),
    ('http://h?key=secret', 'http://h'), ('http://h/a#secret', 'http://h/a'),
    ('http://h:80/a/b.ts', 'http://h:80/a/b.ts'), ('camera:0', 'camera:0')])
def test_names_hold_no_secret(address, name):
    assert public_name(address) == name
