"""Files, folders, patterns, addresses, cameras, arrays, and labels; views of a
config's pipeline, and the frames that come of them."""
import copy
import http.server
import os
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from helpers import read_crop, read_index, write_mp4
from mmengine.config import Config
from tools_world import PIPELINES

from projects.vifi_clip.apis import inputs
from projects.vifi_clip.apis.config import read_config
from projects.vifi_clip.apis.inputs import (VideoInput, expand_inputs,
                                            read_labels)
from projects.vifi_clip.apis.pipeline import (VideoSampler, build_steps,
                                              count_views, parse_views,
                                              pipeline_cfg)
from projects.vifi_clip.datasets.containers import open_container
from projects.vifi_clip.errors import UnreadableVideo, UserError

CONFIG = Config(dict(val_pipeline=PIPELINES['val'],
                     test_pipeline=PIPELINES['test']))


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


EVERY = ['[odd].mp4', 'a.MP4', 'b.mp4', 'sub/c.webm', 'sub/deep/d.avi',
         'x.mp4/e.mkv']


@pytest.mark.parametrize('given, expected', [
    ('.', [f'./{name}' for name in EVERY]),
    ('*.mp4', ['[odd].mp4', 'b.mp4']), ('**/*.webm', ['sub/c.webm']),
    ('[odd].mp4', ['[odd].mp4']),  # a name before a pattern
    ('x.mp4', ['x.mp4/e.mkv']),
    ('notes.txt', ['notes.txt']),  # what is named is tried
    (['sub', 'b.mp4'], ['sub/c.webm', 'sub/deep/d.avi', 'b.mp4']),
    # each once, by the first name that it was given
    (['b.mp4', './b.mp4', 'x.mp4', '*.mp4'], ['b.mp4', 'x.mp4/e.mkv',
                                              '[odd].mp4'])])
def test_folders_and_patterns(folder, given, expected):
    assert expand_inputs(given) == [VideoInput(p, p) for p in expected]


def test_links_in_folders(folder):
    os.symlink('..', 'sub/back')
    os.symlink('gone.mp4', 'lost.mp4')  # to report
    assert {video.path for video in expand_inputs(folder)} == {
        str(folder / name) for name in [*EVERY, 'lost.mp4']}


def test_folder_that_cannot_be_looked_into(folder, monkeypatch):
    refused = PermissionError(13, 'Permission denied', 'sub/deep')
    monkeypatch.setattr(os, 'scandir', Mock(
        side_effect=[os.scandir('sub'), refused]))
    with pytest.warns(UserWarning, match='deep is skipped: Permission'):
        video, = expand_inputs('sub')
    assert video.path == 'sub/c.webm'


@pytest.mark.parametrize('given, message', [
    ('none', 'none has no videos'), ('gone.mp4', 'No such video: gone.mp4'),
    ('*.mov', r'No such video: \*.mov'), ([], 'No videos were given'),
    ('sub\\c.webm', r'No such video: .*; write / where'),
    ('file:///gone.mp4', 'No such video'), ('file://[bad', 'No such video'),
    (['b.mp4', 'gone.mp4'], 'gone.mp4'),
    (np.zeros((2, 3, 3), np.uint8), r'got uint8 \[2, 3, 3\]'),
    (np.zeros((2, 3, 3, 3)), 'got float64'),
    (np.zeros((0, 3, 3, 3), np.uint8), r'\[0, 3, 3, 3\]'),
    ([np.zeros((2, 2, 3), np.uint8), np.zeros((3, 2, 3), np.uint8)],
     'one size'),
    *((f'camera:{name}', 'a camera is camera:0') for name in (
        '', 'x', '-1', '100', '9' * 20, '0:0', '0:61', '0:nan'))])
def test_wrong_inputs(folder, given, message):
    with pytest.raises((UserError, ValueError), match=message):
        expand_inputs(given)


def test_file_addresses(folder):
    (folder / 'ein Film.mp4').touch()
    address = (folder / 'ein Film.mp4').as_uri()
    assert '%20' in address
    video, = expand_inputs([address])
    assert video == VideoInput(address, str(folder / 'ein Film.mp4'))
    assert expand_inputs(folder.as_uri()) == expand_inputs(folder)


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
    for given in clip, list(clip), tuple(clip), [clip]:
        video, = expand_inputs(given)
        assert video.name == 'array' and video.path is None
        np.testing.assert_array_equal(video.frames, clip)
    several = expand_inputs([clip, list(clip), VideoInput('mine',
                                                          frames=clip)])
    assert [v.name for v in several] == ['array 1', 'array 2', 'mine']


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and some misbehaviour."""

    def do_GET(self) -> None:
        bodies = {'/short.mp4': 100, '/endless.mp4': 3 * 2**20}
        if self.path == '/silent.mp4':
            time.sleep(1)
        elif self.path in bodies:
            self.send_response(200)
            if self.path == '/short.mp4':
                self.send_header('Content-Length', '5000')
            self.end_headers()
            self.wfile.write(b'x' * bodies[self.path])
        else:
            super().do_GET()

    def log_message(self, *_) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Address of a server of tmp_path; all temporary files in tmp_path."""
    (tmp_path / 'served').mkdir()
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    handler = partial(Handler, directory=str(tmp_path / 'served'))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever, args=(.05, ))
        thread.start()
        yield f'http://127.0.0.1:{served.server_port}'
        served.shutdown()
        thread.join()
    assert not os.listdir(tmp_path / 'temporary')


def test_fetched_and_removed(server, tmp_path, small):
    source = tmp_path / 'served' / 'clip'
    write_mp4(f'{source}.mp4', 12)
    address = f'{server}/clip.mp4?token=1'
    video, = expand_inputs(address)
    with video.opened() as opened:
        assert opened.name == video.name == address
        assert opened.path.endswith('video.mp4')
        assert Path(opened.path).read_bytes() == Path(
            f'{source}.mp4').read_bytes()
    os.rename(f'{source}.mp4', source)  # an address without an ending
    expected, = small(source)['predictions']
    result, = small(f'{server}/clip')['predictions']
    assert result == dict(expected, video=f'{server}/clip')
    # one download for the many looks of a timeline
    timeline, expected = (small.timeline(video, .2, .1)
                          for video in (f'{server}/clip', source))
    np.testing.assert_array_equal(timeline.scores, expected.scores)


@pytest.mark.parametrize('name, message', [
    ('gone.mp4', 'fetched: .*404.* File not found'),
    ('silent.mp4', 'fetched: .*timed out'),
    ('endless.mp4', 'larger than the 1 MB'),
    ('large.mp4', 'larger than the 1 MB'),
    ('short.mp4', '100 of 5000 bytes'), ('http://[bad', 'fetched: Invalid'),
    ('http://127.0.0.1:9/a.mp4', 'fetched: .*refused')])
def test_bad_downloads(server, name, message, tmp_path):
    (tmp_path / 'served' / 'large.mp4').write_bytes(b'x' * (2**20 + 1))
    video, = expand_inputs(name if '/' in name else f'{server}/{name}')
    video = replace(video, max_mb=1, timeout=.3)
    with pytest.raises(UnreadableVideo, match=message):
        with video.opened():
            raise AssertionError


@pytest.fixture
def camera(monkeypatch):
    """A mock of cv2.VideoCapture, of a camera 0 that gives a blue picture 20
    times a second."""
    clock, opened = [0.], Mock()

    def read():
        clock[0] += 1 / 20
        return True, np.full((6, 8, 3), (200, 0, 0), np.uint8)  # BGR

    opened.return_value.read = read
    opened.return_value.isOpened = lambda: opened.call_args.args == (0, )
    monkeypatch.setattr(inputs.time, 'monotonic', lambda: clock[0])
    monkeypatch.setattr('cv2.VideoCapture', opened)
    return opened


def test_camera(camera):
    video, = expand_inputs('camera:0:2')
    camera.assert_not_called()  # not before it is needed
    with video.opened() as here:
        assert here.name == 'camera:0:2' and here.path is None
        # the first comes at 0 s, the last at 2 s
        assert here.frames.shape == (41, 6, 8, 3)
        assert here.fps == pytest.approx(20)
        assert (here.frames == [0, 0, 200]).all()  # RGB
    camera.return_value.release.assert_called()
    assert inputs.parse_camera('camera:3') == (3, 4.)


@pytest.mark.parametrize('name, message', [
    ('camera:1', 'there is no camera 1'),
    ('camera:0', 'camera 0 gives no pictures')])
def test_no_camera(camera, small, name, message):
    camera.return_value.read = lambda: (False, None)
    result, = small.predict(name, on_error='report')
    assert result['error'] == message
    camera.return_value.release.assert_called()


@pytest.mark.parametrize('address, quoted', [
    ('http://h.org/h\u00f6he 1.mp4?q=\u732b&b=1#x',
     'http://h.org/h%C3%B6he%201.mp4?q=%E7%8C%AB&b=1'),
    ('http://b\u00fccher.de/a', 'http://xn--bcher-kva.de/a'),
    ('https://u:p@h.org:80/a%20b/c;d=(1),~e*.mp4?x=%2F+1', None)])
def test_addresses_with_any_letters(address, quoted):
    assert inputs._quoted(address) == (quoted or address)


@pytest.mark.parametrize('given, expected', [
    ('a cat,  a dog ,a cow', ['a cat', 'a dog', 'a cow']), ('one', ['one']),
    (('x', 'y, z'), ['x', 'y, z']), (Path('names.txt'), ['höhe', 'b, c']),
    ('names.txt', ['höhe', 'b, c']), ('names.csv', ['a, c', 'b']),
    ('names.json', ['p', 'q'])])
def test_labels(tmp_path, monkeypatch, given, expected):
    monkeypatch.chdir(tmp_path)
    Path('names.txt').write_text('höhe\nb, c\n')
    Path('names.csv').write_text('id,name\n1,b\n0,"a, c"\n')
    Path('names.json').write_text('["p", "q"]')
    assert read_labels(given) == expected


@pytest.mark.parametrize('given, message', [
    ('', '--labels.*empty'), ('a,,b', 'empty'), ('a, a', "'a'"),
    ([], 'no class names'), ('gone.txt', 'gone.txt'), ('.', 'not a list')])
def test_wrong_labels(given, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_labels(given)


def test_views_as_text():
    for text, views in {'1': 1, '4': 4, '4x3': (4, 3), '2X1': (2, 1),
                        'config': None}.items():
        assert parse_views(text) == views
    for text in ('', '0', '4x2', '4x', 'x', '-1', '1.5', '1x1x1', 'all', '²',
                 '10000000'):
        with pytest.raises(ValueError, match=f'--num-views {text}:'):
            parse_views(text)


@pytest.mark.parametrize('views, count', [
    (1, 1), (4, 4), ((4, 3), 12), ((2, 1), 2), (None, 12)])
def test_count_is_what_the_model_gets(views, count, tmp_path):
    path = write_mp4(tmp_path / 'a.mp4', 40, (96, 64))
    before = copy.deepcopy(CONFIG._cfg_dict)
    sample = VideoSampler(CONFIG).reader(views)(VideoInput('a', path))
    assert CONFIG._cfg_dict == before
    assert count_views(pipeline_cfg(CONFIG, views), 4) == (count, 4)
    assert sample['inputs'].shape == (count * 4, 3, 32, 32)
    frames = sample['inputs'].permute(0, 2, 3, 1).numpy()
    numbers = [read_index(frame) for frame in frames]
    # a frame from each quarter of the video, in each view
    assert [4 * number // 40 for number in numbers] == count * [0, 1, 2, 3]
    if count == 12:  # left, right, middle: 4 views of 4 frames each
        assert [read_crop(f) for f in frames] == 16 * [0] + 16 * [2] + 16 * [1]
        assert numbers[:16] == numbers[16:32] == numbers[32:]
        assert len(set(numbers)) == 16


def test_views_of_a_config_that_is_tested_with_one():
    cfg = read_config('vifi_zero_shot')
    for given, count in (None, 1), (1, 1), ((4, 3), 12):
        assert count_views(pipeline_cfg(cfg, given), 32) == (count, 32)


@pytest.mark.parametrize('crop, clip_len, num_clips, num_frames, counts', [
    (None, 1, 16, None, (1, 16)), (None, 1, 16, 8, (2, 8)),
    ('ThreeCrop', 32, 10, 4, (30, 32)),
    ('TenCrop', 8, 4, 8, (40, 8))])
def test_other_samplings_are_counted(crop, clip_len, num_clips, num_frames,
                                     counts):
    sampler = dict(type='SampleFrames', clip_len=clip_len,
                   num_clips=num_clips)
    assert count_views([sampler, dict(type=crop)], num_frames) == counts


def test_what_a_config_lacks():
    other = copy.deepcopy(CONFIG)
    other.val_pipeline[1] = dict(type='SampleFrames', clip_len=1)
    with pytest.raises(UserError, match='does not sample with SparseSample'):
        pipeline_cfg(other, 4)
    assert pipeline_cfg(other, 1)[1]['type'] == 'SampleFrames'
    with pytest.raises(UserError, match='no pipeline of three crops'):
        pipeline_cfg(Config(dict(val_pipeline=PIPELINES['val'])), (4, 3))
    with pytest.raises(UserError, match='no pipeline of one view'):
        pipeline_cfg(Config(dict(model={})), 1)


def test_another_number_of_frames():
    full = VideoInput('x', frames=np.broadcast_to(
        np.arange(50, dtype=np.uint8)[:, None, None, None],
        (50, 36, 40, 3)), fps=5.)
    sample = VideoSampler(CONFIG).sample(full, 5)
    assert sample.images.shape == (5, 32, 32, 3)
    assert (sample.images == sample.indices[:, None, None, None]).all()
    assert sample.fps == 5 and sample.times[-1] == sample.indices[-1] / 5


def test_small_pictures_are_one_bad_video(tmp_path):
    """A crop leaves them small, and the batch would fail in the model."""
    config = copy.deepcopy(CONFIG)
    del config.val_pipeline[3]  # Resize
    path = write_mp4(tmp_path / 'a.mp4', 8, (96, 20))
    sampler = VideoSampler(config)
    for read in (sampler.reader(1), sampler.sample,
                 lambda v: sampler.windows(v, 1, 1, 4).read(np.array([0]))):
        with pytest.raises(UserError, match='a.mp4 cannot be read: its '
                           'pictures have 96 x 20 pixels.* 32 x 32'):
            read(VideoInput('a.mp4', path))


def test_other_readers_and_windows(tmp_path):
    """A reader that cannot be asked twice is opened anew."""
    config = copy.deepcopy(CONFIG)
    config.val_pipeline[0] = dict(type='PyAVInit')
    config.val_pipeline[2] = dict(type='PyAVDecodeOnce')
    config.val_pipeline.insert(5, dict(type='RepeatFrames'))
    path = write_mp4(tmp_path / 'a.mp4', 40, (36, 36))
    for cfg in CONFIG, config:
        grid = VideoSampler(cfg).windows(VideoInput('a', path), .4, .4, 4)
        for part in grid.unique[:3], grid.unique[3:], grid.unique[:1]:
            assert [read_index(f) for f in grid.read(part)] == part.tolist()
    assert type(build_steps(config.val_pipeline)[0]).__name__ == 'PyAVInit'
