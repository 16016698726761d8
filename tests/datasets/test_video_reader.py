"""Files that decord 0.6 cannot read, and files that nobody can."""
import os
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import decord
import numpy as np
import pytest
from helpers import coded_frame, read_index, write_mp4

from projects.vifi_clip.datasets.reader_steps import run_pipeline
from projects.vifi_clip.datasets.video_reader import (OpenedVideo, PyAVReader,
                                                      VideoReader)
from projects.vifi_clip.errors import UnreadableVideo


def encode(path, codec, count=12, size=(96, 64), sound=False) -> str:
    """Frames with their numbers, in any codec."""
    with av.open(str(path), 'w') as container:
        if sound:
            stream = container.add_stream('aac', rate=8000)
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 8000), np.float32), 'fltp', 'mono')
            frame.rate = 8000
            container.mux(stream.encode(frame))
        else:
            stream = container.add_stream(codec, rate=Fraction(25, 2))
            stream.width, stream.height = size
            stream.pix_fmt = 'yuv420p'
            for i in range(count):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(
                    coded_frame(i, size), format='rgb24')))
        container.mux(stream.encode())
    return str(path)


def numbers(reader, indices) -> list:
    """What the frames say that they are."""
    return [read_index(f) for f in reader.get_batch(indices).asnumpy()]


def test_what_decord_reads_is_decords(tmp_path):
    path = write_mp4(tmp_path / 'a.mp4', 20, fps=10)
    indices = [3, 19, 3, 0]
    theirs = decord.VideoReader(path).get_batch(indices).asnumpy()
    for reader in OpenedVideo(path), PyAVReader(path):
        assert (len(reader), reader.get_avg_fps()) == (20, 10)
        np.testing.assert_array_equal(reader.get_batch(indices).asnumpy(),
                                      theirs)


@pytest.mark.parametrize('codec, name, size', [
    ('libsvtav1', 'a.mp4', (96, 64)), ('libx264', 'narrow.mp4', (48, 64)),
    ('libvpx-vp9', 'a.webm', (96, 64)), ('mpeg4', 'a.avi', (96, 64)),
    ('libx264', 'a.mkv', (96, 64))])
def test_codecs(codec, name, size, tmp_path, capfd):
    if codec not in av.codecs_available:
        pytest.skip(f'this PyAV has no {codec}')
    path = encode(tmp_path / name, codec, size=size)
    if codec == 'libsvtav1' or name == 'narrow.mp4':
        with pytest.raises(Exception):  # it has no class of its own
            decord.VideoReader(path).get_batch([0])
    reader = OpenedVideo(path)
    assert len(reader) == 12 and reader.get_avg_fps() == 12.5
    assert numbers(reader, [7, 2, 11, 2]) == [7, 2, 11, 2]
    assert reader.get_batch([0]).asnumpy().shape == (1, *size[::-1], 3)


def test_ascending_calls_pass_through_the_file_once(tmp_path, monkeypatch):
    path, starts, open_file = write_mp4(tmp_path / 'a.mp4', 30), [], av.open
    reader = PyAVReader(path)
    monkeypatch.setattr(
        av, 'open', lambda *a, **k: starts.append(0) or open_file(*a, **k))
    for part in [0, 2], [3, 9], [29]:
        assert numbers(reader, part) == part
    assert len(starts) == 1
    assert numbers(reader, [4]) == [4] and len(starts) == 2
    with pytest.raises(UnreadableVideo, match='no frame 30'):
        reader.get_batch([30])
    assert numbers(reader, [1]) == [1]


@pytest.mark.parametrize('degrees', [90, 180, 270])
def test_phones_turned(degrees, tmp_path):
    """PyAV's frames are turned as decord turns its own."""
    plain = write_mp4(tmp_path / 'plain.mp4', 6, (96, 64))
    turned = str(tmp_path / 'turned.mp4')
    with av.open(plain) as source, av.open(turned, 'w') as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(degrees)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    theirs = decord.VideoReader(turned).get_batch([1, 4]).asnumpy()
    assert theirs.shape[1:3] == ((64, 96) if degrees == 180 else (96, 64))
    np.testing.assert_array_equal(
        PyAVReader(turned).get_batch([1, 4]).asnumpy(), theirs)


@pytest.mark.parametrize('name', ['no ending', 'höhe 視頻.mp4', b'\xff\xfe.mp4',
                                  "it's 100% [odd].mp4"])
def test_names(name, tmp_path):
    plain = write_mp4(tmp_path / 'plain.mp4', 6)
    path = os.path.join(tmp_path, os.fsdecode(name))
    os.rename(plain, path)
    results = VideoReader().transform(dict(filename=path))
    assert results['total_frames'] == 6 and results['avg_fps'] == 25
    assert numbers(results['video_reader'], [4, 1]) == [4, 1]


def make_bad(kind, folder) -> str:
    path = folder / f'{kind}.mp4'
    make = dict(text=lambda: path.write_text('no video\n' * 500),
                empty=path.touch, folder=path.mkdir, absent=lambda: None,
                pipe=lambda: os.mkfifo(path),
                sound=lambda: encode(path, '', sound=True))
    if kind in make:
        make[kind]()
    else:
        # decord would crash at an AVI, whatever the file is called
        whole = folder / f'whole.{"avi" if kind == "cut avi" else "mp4"}'
        write_mp4(whole, 60, faststart=kind == 'cut')
        content = whole.read_bytes()
        path.write_bytes(content[:len(content) * 6 // 10])
    return str(path)


@pytest.mark.parametrize('kind, message', [
    ('text', 'Invalid data'), ('empty', 'the file is empty'),
    ('absent', 'No such file'), ('folder', 'it is no file'),
    ('pipe', 'it is no file'), ('sound', 'only sound'),
    ('cut', r'cut short: \d\d of 60 frames'), ('end lost', 'Invalid data'),
    ('cut avi', 'cut short')])
def test_bad_files(kind, message, tmp_path, capfd):
    path = make_bad(kind, tmp_path)
    with pytest.raises(UnreadableVideo, match=message):
        OpenedVideo(path).get_batch(np.arange(0, 60, 7))
    said = capfd.readouterr()
    assert 'ERROR' not in said.err and not said.out  # decord's own words
    with pytest.raises(UnreadableVideo, match=message):
        run_pipeline([VideoReader(), lambda results: results[
            'video_reader'].get_batch(range(0, 60, 7)) and results],
            dict(filename=path))


def test_readers_of_threads(tmp_path):
    """Each has its own."""
    paths = [write_mp4(tmp_path / f'{i}.mp4', 10, (48, 64)) for i in range(4)]
    with ThreadPoolExecutor(4) as threads:
        read = threads.map(lambda p: numbers(OpenedVideo(p), range(10)), paths)
        assert list(read) == [list(range(10))] * 4
