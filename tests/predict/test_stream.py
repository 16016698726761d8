"""Streams on loopback: a server that sends MPEG-TS, ends, and sends again."""
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from commands import refused, vifi
from helpers import read_index, write_video

from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.predict.stream import LiveFrames


@contextmanager
def served(content: bytes, pause: float = .01):
    """Serve a stream in small parts; yield its address."""
    class Handler(BaseHTTPRequestHandler):

        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Type', 'video/mp2t')
            self.end_headers()
            try:
                for i in range(0, len(content), 188 * 20):
                    self.wfile.write(content[i:i + 188 * 20])
                    time.sleep(pause)
            except OSError:  # the reader has gone
                pass

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_port}/live.ts'
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope='module')
def content(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp('stream') / 'live.ts'
    write_video(path, count=60, size=(96, 64))
    return path.read_bytes()


def until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(.02)


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
    assert vifi('predict', 'a.mp4', '--stream', 'rtsp://127.0.0.1/1') == 2
