"""Files, folders, patterns, addresses, cameras, arrays; and labels."""
import http.server
import os
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import write_mp4

from projects.vifi_clip.apis import inputs as video_fetch
from projects.vifi_clip.apis.inputs import (VideoInput, expand_inputs,
                                            read_labels)
from projects.vifi_clip.datasets.video_reader import open_container
from projects.vifi_clip.errors import UnreadableVideo, UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('b.mp4', 'a.MP4', 'sub/c.webm', 'sub/deep/d.avi',
                 '.hidden.mp4', 'notes.txt', 'x.mp4/e.mkv', '[odd].mp4'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / 'none').mkdir()
    return tmp_path


def paths(inputs) -> list:
    return [video.path for video in expand_inputs(inputs)]


def test_folders_and_patterns(folder):
    every = ['[odd].mp4', 'a.MP4', 'b.mp4', 'sub/c.webm', 'sub/deep/d.avi',
             'x.mp4/e.mkv']
    assert paths('.') == [f'./{name}' for name in every]
    assert paths(folder) == [str(folder / name) for name in every]
    assert paths('*.mp4') == ['[odd].mp4', 'b.mp4']
    assert paths('**/*.webm') == ['sub/c.webm']
    assert paths('[odd].mp4') == ['[odd].mp4']  # a name before a pattern
    assert paths('x.mp4') == ['x.mp4/e.mkv']
    assert paths('notes.txt') == ['notes.txt']  # what is named is tried
    # each once, by the first name that it was given
    assert paths(['b.mp4', './b.mp4', folder, '*.mp4'])[:1] == ['b.mp4']
    assert len(paths(['b.mp4', './b.mp4', folder, '*.mp4'])) == 6
    assert [v.name for v in expand_inputs(['sub', 'b.mp4'])] == [
        'sub/c.webm', 'sub/deep/d.avi', 'b.mp4']
    os.symlink('..', 'sub/back')
    os.symlink('gone.mp4', 'lost.mp4')
    assert len(paths('.')) == 7 and './lost.mp4' in paths('.')  # to report


def test_folder_that_cannot_be_looked_into(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if str(path).endswith('deep'):
            raise PermissionError(13, 'Permission denied', path)
        return scan(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.warns(UserWarning, match='deep is left out: Permission'):
        assert paths('sub') == ['sub/c.webm']


@pytest.mark.parametrize('given, message', [
    ('none', 'none has no videos'), ('gone.mp4', 'No such video: gone.mp4'),
    ('*.mov', r'No such video: \*.mov'), ([], 'No videos were given'),
    (['b.mp4', 'gone.mp4'], 'gone.mp4'),
    (np.zeros((2, 3, 3), np.uint8), r'got uint8 \[2, 3, 3\]'),
    (np.zeros((2, 3, 3, 3)), 'got float64'),
    (np.zeros((0, 3, 3, 3), np.uint8), r'\[0, 3, 3, 3\]'),
    ([np.zeros((2, 2, 3), np.uint8), np.zeros((3, 2, 3), np.uint8)],
     'one size')])
def test_wrong_inputs(folder, given, message):
    with pytest.raises(UserError, match=message):
        expand_inputs(given)


def test_file_addresses(folder):
    (folder / 'ein Film.mp4').touch()
    address = (folder / 'ein Film.mp4').as_uri()
    assert '%20' in address
    video, = expand_inputs([address])
    assert video == VideoInput(address, str(folder / 'ein Film.mp4'))
    assert expand_inputs(folder.as_uri()) == expand_inputs(folder)
    for gone in 'file:///gone.mp4', 'file://[bad':
        with pytest.raises(UserError, match='No such video'):
            expand_inputs(gone)


def test_a_playlist_does_not_open_other_files(tmp_path, small):
    """It would show a visitor of the page the server's own videos."""
    playlist = tmp_path / 'list.m3u8'
    playlist.write_text('#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2.0,\n'
                        f'{write_mp4(tmp_path / "v.mp4")}\n#EXT-X-ENDLIST\n')
    with pytest.raises(UnreadableVideo):
        open_container(str(playlist))
    with pytest.raises(UnreadableVideo, match='list.m3u8'):
        small(str(playlist))


def test_arrays():
    clip = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    for given in clip, list(clip), tuple(clip):
        video, = expand_inputs(given)
        assert video.name == 'array' and video.path is None
        np.testing.assert_array_equal(video.frames, clip)
    video, = expand_inputs([clip])
    assert video.name == 'array'
    several = expand_inputs([clip, list(clip), VideoInput('mine',
                                                          frames=clip)])
    assert [v.name for v in several] == ['array 1', 'array 2', 'mine']


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and some misbehaviour."""

    def do_GET(self) -> None:
        if self.path == '/silent.mp4':
            time.sleep(1.5)
            return
        if self.path in ('/endless.mp4', '/short.mp4'):
            self.send_response(200)
            if self.path == '/short.mp4':
                self.send_header('Content-Length', '5000')
            self.end_headers()
            self.wfile.write(b'x' * (3 * 2**20 if 'end' in self.path
                                     else 100))
            return
        super().do_GET()

    def log_message(self, *_) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Address of a server of tmp_path; all temporary files in tmp_path."""
    (tmp_path / 'served').mkdir()
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))

    def handler(*args):
        return Handler(*args, directory=str(tmp_path / 'served'))

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(.05, ))
        thread.start()
        yield f'http://127.0.0.1:{found.server_port}'
        found.shutdown()
        thread.join()
    assert not os.listdir(tmp_path / 'temporary')


def test_fetched_and_removed(server, tmp_path, small):
    source = tmp_path / 'served' / 'clip.mp4'
    write_mp4(source, 12)
    video, = expand_inputs(f'{server}/clip.mp4?token=1')
    assert video.name == f'{server}/clip.mp4?token=1'
    with video.opened() as here:
        assert here.name == video.name and here.path.endswith('video.mp4')
        with open(here.path, 'rb') as file:
            assert file.read() == source.read_bytes()
    assert not os.path.exists(here.path)
    source.rename(source.with_name('clip'))  # an address without an ending
    expected, = small(str(source.with_name('clip')))['predictions']
    found, = small(f'{server}/clip')['predictions']
    assert found == dict(expected, video=f'{server}/clip')
    # one download for the many looks of a timeline
    timeline = small.timeline(f'{server}/clip', .2, .1)
    expected = small.timeline(source.with_name('clip'), .2, .1)
    np.testing.assert_array_equal(timeline.scores, expected.scores)


@pytest.mark.parametrize('name, message', [
    ('gone.mp4', 'fetched: 404 File not found'),
    ('silent.mp4', 'fetched: .*timed out'),
    ('endless.mp4', 'larger than the 1 MB'),
    ('large.mp4', 'larger than the 1 MB'),
    ('short.mp4', '100 of 5000 bytes'),
    ('http://127.0.0.1:9/a.mp4', 'fetched: .*refused')])
def test_bad_downloads(server, name, message, tmp_path):
    (tmp_path / 'served' / 'large.mp4').write_bytes(b'x' * (2**20 + 1))
    video, = expand_inputs(name if '/' in name else f'{server}/{name}')
    video = replace(video, max_mb=1, timeout=.3)
    with pytest.raises(UnreadableVideo, match=message):
        with video.opened():
            raise AssertionError


class Camera:
    """cv2.VideoCapture of a camera that shows its own clock."""

    def __init__(self, number, clock, frames=1000, rate=20) -> None:
        self.number, self.clock, self.rate = number, clock, rate
        self.left, self.released = frames, False

    def isOpened(self) -> bool:
        return self.number == 0

    def read(self):
        if not self.left:
            return False, None
        self.left -= 1
        self.clock[0] += 1 / self.rate
        frame = np.zeros((6, 8, 3), np.uint8)
        frame[..., 0] = 200  # blue, as cv2 counts
        return True, frame

    def release(self) -> None:
        self.released = True


@pytest.fixture
def camera(monkeypatch):
    """Makes a camera of so many frames; returns those that were opened."""
    clock, opened = [0.], []
    monkeypatch.setattr(video_fetch.time, 'monotonic', lambda: clock[0])

    def plug(**kwargs) -> list:
        monkeypatch.setattr(
            'cv2.VideoCapture', lambda number: opened.append(
                Camera(number, clock, **kwargs)) or opened[-1])
        return opened

    return plug


def test_camera(camera):
    opened = camera()
    video, = expand_inputs('camera:0:2')
    assert not opened  # not before it is needed
    with video.opened() as here:
        assert here.name == 'camera:0:2' and here.path is None
        # the first comes at 0 s, the last at 2 s
        assert here.frames.shape == (41, 6, 8, 3)
        assert here.fps == pytest.approx(20)
        assert (here.frames == [0, 0, 200]).all()  # RGB
    assert opened[0].released
    assert video_fetch.parse_camera('camera:3') == (3, 4.)


def test_no_camera(camera, small):
    opened = camera(frames=0)
    for name, message in (('camera:1', 'no camera 1'),
                          ('camera:0', 'camera 0 gives no pictures')):
        found, = small.predict(name, on_error='report')
        assert found['error'] == message
    assert all(camera.released for camera in opened)
    for name in ('camera:', 'camera:x', 'camera:-1', 'camera:100',
                 'camera:' + '9' * 20, 'camera:0:0', 'camera:0:61',
                 'camera:0:nan'):
        with pytest.raises(ValueError, match='a camera is camera:0'):
            expand_inputs(name)


def test_addresses_with_any_letters():
    quoted = video_fetch._quoted
    assert quoted('http://h.org/h\u00f6he 1.mp4?q=\u732b&b=1#x') == (
        'http://h.org/h%C3%B6he%201.mp4?q=%E7%8C%AB&b=1')
    assert quoted('http://b\u00fccher.de/a') == 'http://xn--bcher-kva.de/a'
    same = 'https://u:p@h.org:80/a%20b/c;d=(1),~e*.mp4?x=%2F+1'
    assert quoted(same) == same
    with pytest.raises(UnreadableVideo, match='it cannot be fetched: Invalid'):
        with VideoInput('x', 'http://[bad').opened():
            pass


def test_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_labels('a cat,  a dog ,a cow') == ['a cat', 'a dog', 'a cow']
    assert read_labels('one') == ['one']
    assert read_labels(('x', 'y, z')) == ['x', 'y, z']
    Path('names.txt').write_text('höhe\nplain, with comma\n')
    Path('names.csv').write_text('id,name\n1,b\n0,"a, c"\n')
    Path('names.json').write_text('["p", "q"]')
    assert read_labels('names.txt') == ['höhe', 'plain, with comma']
    assert read_labels(Path('names.txt')) == ['höhe', 'plain, with comma']
    assert read_labels('names.csv') == ['a, c', 'b']
    assert read_labels('names.json') == ['p', 'q']


@pytest.mark.parametrize('given, error, message', [
    ('', ValueError, '--labels.*empty'), ('a,,b', ValueError, 'empty'),
    ('a, a', ValueError, "'a'"), ([], ValueError, 'no class names'),
    (['a', 3], ValueError, '3'), ('gone.txt', FileNotFoundError, 'gone.txt'),
    ('.', ValueError, 'is no list of classes'),
    ('a.mp4', ValueError, 'is no list of classes')])
def test_wrong_labels(given, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('a.mp4').touch()
    with pytest.raises(error, match=message):
        read_labels(given)
