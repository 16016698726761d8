"""Frames by their numbers: every container and codec, and damaged files."""
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from helpers import (FPS, coded_frame, is_upright, read_index, spoil,
                     write_video)
from numpy.testing import assert_array_equal
from PIL import Image

from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.errors import UnreadableVideo

COUNT = 90
X264 = {'x264-params': 'keyint=24:min-keyint=24:scenecut=0'}
OPEN = {'x264-params': 'keyint=24:min-keyint=24:scenecut=0:open-gop=1'}
X265 = {'x265-params': 'keyint=24:min-keyint=24:log-level=none'}
CLOSED = {'x265-params': 'keyint=24:open-gop=0:log-level=none'}
GROUPS = {'g': '24'}
B = {'g': '24', 'bf': '2'}
HIDDEN = {'g': '24', 'auto-alt-ref': '1', 'lag-in-frames': '16'}
CLIPS = {
    # name: extension, encoder, its options
    'mp4': ('mp4', 'libx264', X264),
    'mp4-no-b': ('mp4', 'libx264', dict(X264, bf='0')),
    'mp4-open': ('mp4', 'libx264', OPEN),
    'mp4-hevc': ('mp4', 'libx265', X265),
    'mp4-hevc-closed': ('mp4', 'libx265', CLOSED),
    'mp4-av1': ('mp4', 'libsvtav1', dict(GROUPS, preset='12')),
    'mp4-mpeg4': ('mp4', 'mpeg4', B),
    'mov-mjpeg': ('mov', 'mjpeg', {}),
    '3gp': ('3gp', 'mpeg4', GROUPS),
    'mkv': ('mkv', 'libx264', OPEN),
    'mkv-hevc': ('mkv', 'libx265', X265),
    'webm-vp8': ('webm', 'libvpx', HIDDEN),
    'webm-vp9': ('webm', 'libvpx-vp9', {**HIDDEN, 'cpu-used': '8'}),
    'avi-h264': ('avi', 'libx264', X264),
    'avi-mpeg4': ('avi', 'mpeg4', B),
    'avi-mjpeg': ('avi', 'mjpeg', {}),
    'ts': ('ts', 'libx264', X264),
    'ts-open': ('ts', 'libx264', OPEN),
    'ts-hevc': ('ts', 'libx265', X265),
    'ts-mpeg2': ('ts', 'mpeg2video', B),
    'm2ts': ('m2ts', 'libx264', X264),
    'mpg': ('mpg', 'mpeg1video', B),
    'vob': ('vob', 'mpeg2video', B),
    'wmv': ('wmv', 'wmv2', GROUPS),
    'flv': ('flv', 'flv', GROUPS),
    'flv-h264': ('flv', 'libx264', X264),
    'gif': ('gif', 'gif', {}),
}
IN_ORDER = ('webm-vp8', 'ts-mpeg2', 'mpg', 'vob', 'wmv', 'flv', 'flv-h264',
            'gif', 'avi-h264', 'avi-mpeg4', 'avi-mjpeg')


@pytest.fixture(scope='module', params=CLIPS)
def clip(request, tmp_path_factory):
    extension, codec, options = CLIPS[request.param]
    path = str(tmp_path_factory.mktemp('clip') / f'a.{extension}')
    if codec == 'gif':
        frames = [Image.fromarray(coded_frame(i, (160, 96)))
                  for i in range(COUNT)]
        frames[0].save(path, save_all=True, append_images=frames[1:],
                       duration=40)
    else:
        with usual_priority():
            write_video(path, codec, COUNT, **options)
    assert VideoFile(path).by_packets == (request.param not in IN_ORDER)
    return path


@contextmanager
def usual_priority():
    """SVT-AV1 makes the thread that calls it real-time where root runs it:
    until the end of all tests, which starved the rest of the machine."""
    if not hasattr(os, 'sched_getscheduler'):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, *before)


def midpoints(total, count):
    return [int((i + 0.5) * total / count) for i in range(count)]


def shifts(frames, indices):
    """Differences between the numbers in frames and those asked for."""
    return {read_index(frame) - index
            for frame, index in zip(frames, indices)}


def assert_right(path, total, shift=0, counts=(16, )):
    """The frames have their numbers, on both ways to them."""
    for indices in (midpoints(total, count) for count in counts):
        video = VideoFile(path)
        assert len(video) == total
        frames = video.frames(indices)
        assert shifts(frames, indices) == {shift}
        assert all(map(is_upright, frames))
        assert_array_equal(
            frames, VideoFile(path, in_order=True).frames(indices))


def test_frames_have_their_numbers(clip):
    assert_right(clip, COUNT, counts=(8, 16, 32, 4 * 16))
    video = VideoFile(clip)
    times = video.frame_times()
    assert times == pytest.approx(np.arange(COUNT + 1) / FPS,
                                  abs=1.1e-3)  # Matroska's milliseconds
    assert video.num_damaged == 0


def test_parts_follow_each_other_in_one_pass(clip):
    """Frames between the parts are not lost, for which all would be decoded
    anew."""
    video = VideoFile(clip)
    by_packets, frames = video.by_packets, []
    for start in range(0, COUNT, 7):
        frames += video.frames(range(start, min(start + 7, COUNT)))
    assert shifts(frames, range(COUNT)) == {0}
    assert video.by_packets == by_packets


def test_any_order_little_memory_and_content(clip):
    """Back, forth and repeated; reading anew; from memory; two threads."""
    indices = [70, 3, 3, 4, 89, 0, 50, 26, 25, 24]
    expected = VideoFile(clip).frames(indices)
    assert shifts(expected, indices) == {0}
    for video in (VideoFile(clip, max_memory=0),
                  VideoFile(Path(clip).read_bytes()),
                  VideoFile(clip, num_threads=2)):
        assert_array_equal(video.frames(indices), expected)
        single = [video.frames([index])[0] for index in indices]
        assert_array_equal(single, expected)


def remux(source, target, change, **options):
    """Copy packets that ``change`` returns."""
    with av.open(source) as old, av.open(str(target), 'w',
                                         options=options) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [p for p in old.demux(video=0) if p.size]
        for packet in change(packets):
            packet.stream = stream
            new.mux(packet)
    return str(target)


@pytest.fixture(scope='module')
def mp4(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp('mp4') / 'a.mp4',
                       count=COUNT, **X264)


@pytest.mark.parametrize('start', [30, 37])
def test_edit_lists(mp4, tmp_path, start):
    """As `ffmpeg -ss S -c copy` writes them: what lies before the start is
    in the file, to be decoded and not to be shown."""
    def change(packets):
        tick = packets[0].duration
        first = max(i for i, packet in enumerate(packets)
                    if packet.is_keyframe and packet.pts <= start * tick)
        for packet in packets[first:]:
            packet.pts -= start * tick
            packet.dts -= start * tick
            yield packet
    path = remux(mp4, tmp_path / 'b.mp4', change,
                 avoid_negative_ts='disabled')
    video = VideoFile(path)
    frames = video.frames(range(len(video)))
    assert shifts(frames, range(len(video))) == {start}
    assert_right(path, COUNT - start, start)


def test_no_steady_rate(tmp_path):
    times = np.cumsum(np.random.default_rng(0).integers(8, 90, COUNT))
    path = write_video(tmp_path / 'a.mkv', count=COUNT,
                       times=times.tolist(), **X264)
    assert_right(path, COUNT)
    assert VideoFile(path).frame_times()[:-1] == pytest.approx(
        (times - times[0]) / 1000, abs=1.1e-3)


def test_a_stream_that_begins_within_a_group(tmp_path):
    path = write_video(tmp_path / 'a.ts', count=COUNT, **OPEN)
    with av.open(path) as file:
        packet = [p for p in file.demux(video=0) if p.size][10]
        start = packet.pos
    content = Path(path).read_bytes()
    # The stream's tables are at the beginning.
    (tmp_path / 'b.ts').write_bytes(content[:3 * 188] + content[start:])
    video = VideoFile(str(tmp_path / 'b.ts'))
    indices = range(len(video))
    assert shifts(video.frames(indices), indices) == {COUNT - len(video)}
    assert len(video) > 60


def test_repeated_times(tmp_path):
    def change(packets):
        for packet in packets:
            packet.pts = packet.dts = packet.dts // 120 * 120
        return packets
    steady = write_video(tmp_path / 'a.mkv', 'mpeg4', COUNT)
    assert_right(remux(steady, tmp_path / 'b.mkv', change), COUNT)


def test_pictures_that_change_size(tmp_path):
    for name, size in (('a.ts', (160, 96)), ('b.ts', (320, 192))):
        write_video(tmp_path / name, count=45, size=size, **X264)
    (tmp_path / 'c.ts').write_bytes((tmp_path / 'a.ts').read_bytes()
                                    + (tmp_path / 'b.ts').read_bytes())
    frames = VideoFile(str(tmp_path / 'c.ts')).frames(range(90))
    assert {frame.shape for frame in frames} == {(96, 160, 3)}
    assert [read_index(frame) for frame in frames] == 2 * list(range(45))


@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('degrees', [0, 90, 180, 270])
def test_display_matrix(tmp_path, degrees, mirrored):
    """Stored turned, and noted how to turn it back, counter-clockwise."""
    def turn(frame):
        frame = frame[:, ::-1] if mirrored else frame
        return np.rot90(frame, -degrees // 90)
    path = str(tmp_path / 'a.mp4')
    write_video(path, count=20, turn=turn, rotation=(degrees, mirrored))
    assert_right(path, 20)
    assert VideoFile(path).frames([0])[0].shape == (96, 160, 3)


def test_covers_and_other_streams(tmp_path):
    """A cover is no video; of several videos, the default one."""
    path = str(tmp_path / 'a.mkv')
    with av.open(path, 'w') as file:
        streams = [file.add_stream('libx264', rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 160, 96, 'yuv420p'
        streams[1].disposition = av.stream.Disposition.default
        for number in range(30):
            for stream, content in zip(streams, (100 + number, number)):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(
                    coded_frame(content, (160, 96)), format='rgb24')))
        for stream in streams:
            file.mux(stream.encode())
    assert_right(path, 30)


# Damaged files


def test_a_lost_key_frame(mp4, tmp_path):
    """Grey pictures up to the next one."""
    path = spoil(mp4, tmp_path / 'b.mp4', 0)
    for in_order in (False, True):
        with pytest.raises(UnreadableVideo, match=r'b.mp4 .*2\d of 90'):
            VideoFile(path, in_order).frames([5, 50])


def test_little_damage_changes_no_other_frame(mp4, tmp_path):
    path = spoil(mp4, tmp_path / 'b.mp4', 85)
    video = VideoFile(path)
    frames = video.frames(range(COUNT))
    assert video.num_damaged
    whole = VideoFile(mp4).frames(range(COUNT))
    same = [(a == b).all() for a, b in zip(frames, whole)]
    assert sum(same) >= COUNT - video.num_damaged
    assert_array_equal(frames, VideoFile(path, True).frames(range(COUNT)))


@pytest.fixture(scope='module')
def hevc(tmp_path_factory):
    return write_video(
        tmp_path_factory.mktemp('hevc') / 'a.mp4', 'libx265',
        **{'x265-params': 'log-level=none:keyint=30:bframes=3'})


def test_frames_that_are_lost_move_no_others(hevc, tmp_path):
    """One bit of a header lost 27 frames, and 63 numbers were wrong."""
    with av.open(hevc) as file:
        starts = [p.pos for p in file.demux(video=0) if p.size]
    path, refused = tmp_path / 'b.mp4', 0
    for number in range(3, 14):
        content = bytearray(Path(hevc).read_bytes())
        content[starts[number] + 10] ^= 1
        path.write_bytes(content)
        try:
            assert len(VideoFile(str(path), in_order=True)) == COUNT
        except UnreadableVideo:
            refused += 1
    assert refused


def test_each_reading_hears_the_decoder(hevc, tmp_path):
    """FFmpeg's words as well that the reading before ended with."""
    outcomes = set()
    for number in range(10, 16):
        path = spoil(hevc, tmp_path / 'b.mp4', number)
        for _ in range(3):
            try:
                video = VideoFile(path)
                video.frames(range(0, COUNT, 7))
                outcomes.add((number, video.by_packets))
            except UnreadableVideo:
                outcomes.add((number, 'refused'))
    assert len(outcomes) == 6


def test_decoders_do_not_print(mp4, monkeypatch, capsys):
    """Not even where nobody has set up logging."""
    VideoFile(mp4).frames([0])
    # one thread's end makes no other deaf
    assert av.logging.get_level() == av.logging.WARNING
    monkeypatch.setattr(logging.getLogger(), 'handlers', [])
    logging.getLogger('libav.h264').error('error while decoding MB 8 0')
    assert not capsys.readouterr().err


def test_no_frame_of_that_number_and_no_time(mp4):
    for index in (-1, COUNT):
        with pytest.raises(IndexError):
            VideoFile(mp4).frames([index])
    with pytest.raises(UnreadableVideo):
        VideoFile(mp4, timeout=0.)


def test_readers_of_threads(tmp_path):
    """Each has its own."""
    paths = [write_video(tmp_path / f'{i}.mp4') for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path: shifts(
            VideoFile(path).frames(range(10)), range(10)), paths))
    assert found == 4 * [{0}]
