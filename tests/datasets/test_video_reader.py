"""Files that decord 0.6 cannot read, and files that nobody can."""
import os
import threading
from fractions import Fraction

import av
import decord
import numpy as np
import pytest
from helpers import coded_frame, read_index, write_mp4

from projects.vifi_clip.datasets.video_reader import (OpenedVideo, PyAVReader,
                                                      VideoReader,
                                                      check_file, run_pipeline)
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


def opened_by_decord(path) -> bool:
    try:
        decord.VideoReader(str(path)).get_batch([0])
    except Exception:
        return False
    return True


def test_what_decord_reads_is_decords(tmp_path):
    path = write_mp4(tmp_path / 'a.mp4', 20, fps=10)
    reader, theirs = OpenedVideo(path), decord.VideoReader(path)
    assert len(reader) == 20 and reader.get_avg_fps() == 10
    wanted = [3, 19, 3, 0]
    np.testing.assert_array_equal(reader.get_batch(wanted).asnumpy(),
                                  theirs.get_batch(wanted).asnumpy())
    ours = PyAVReader(path)
    assert (len(ours), ours.get_avg_fps()) == (20, 10)
    np.testing.assert_array_equal(ours.get_batch(wanted).asnumpy(),
                                  theirs.get_batch(wanted).asnumpy())


def test_narrow_pictures(tmp_path):
    path = write_mp4(tmp_path / 'narrow.mp4', 16, (48, 64))
    assert not opened_by_decord(path)
    reader = OpenedVideo(path)
    assert len(reader) == 16
    assert numbers(reader, [5, 2, 15, 2]) == [5, 2, 15, 2]
    assert reader.get_batch([0]).asnumpy().shape == (1, 64, 48, 3)


@pytest.mark.parametrize('codec, name', [
    ('libsvtav1', 'a.mp4'), ('libvpx-vp9', 'a.webm'), ('mpeg4', 'a.avi'),
    ('libx264', 'a.mkv')])
def test_codecs(codec, name, tmp_path, capfd):
    if codec not in av.codecs_available:
        pytest.skip(f'this PyAV has no {codec}')
    path = encode(tmp_path / name, codec)
    if codec == 'libsvtav1':
        assert not opened_by_decord(path)
    reader = OpenedVideo(path)
    assert len(reader) == 12 and reader.get_avg_fps() == 12.5
    assert numbers(reader, [0, 7, 11]) == [0, 7, 11]


def test_ascending_calls_pass_through_the_file_once(tmp_path, monkeypatch):
    path = write_mp4(tmp_path / 'a.mp4', 30)
    reader, starts = PyAVReader(path), []
    decode = reader._decode
    monkeypatch.setattr(reader, '_decode',
                        lambda: starts.append(0) or decode())
    found = sum((numbers(reader, part) for part in ([0, 2], [3, 9], [29])),
                [])
    assert found == [0, 2, 3, 9, 29] and len(starts) == 1
    assert numbers(reader, [4]) == [4] and len(starts) == 2


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
    assert not np.array_equal(
        theirs[0], decord.VideoReader(plain).get_batch([1]).asnumpy()[0])
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
    path = str(folder / f'{kind}.mp4')
    if kind == 'text':
        with open(path, 'w') as file:
            file.write('no video\n' * 500)
    elif kind == 'empty':
        open(path, 'w').close()
    elif kind == 'folder':
        os.mkdir(path)
    elif kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'sound':
        encode(path, '', sound=True)
    elif kind in ('cut', 'end lost'):
        whole = write_mp4(folder / 'whole.mp4', 60, faststart=kind == 'cut')
        with open(whole, 'rb') as file, open(path, 'wb') as part:
            content = file.read()
            part.write(content[:len(content) * 6 // 10])
    return path


@pytest.mark.parametrize('kind, message', [
    ('text', 'Invalid data'), ('empty', 'the file is empty'),
    ('absent', 'No such file'), ('folder', 'it is no file'),
    ('pipe', 'it is no file'), ('sound', 'only sound'),
    ('cut', r'cut short: \d\d of 60 frames'), ('end lost', 'Invalid data')])
def test_bad_files(kind, message, tmp_path, capfd):
    path = make_bad(kind, tmp_path)

    def read() -> None:
        OpenedVideo(path).get_batch(np.arange(0, 60, 7))

    with pytest.raises(UnreadableVideo, match=message):
        read()
    said = capfd.readouterr()
    assert 'ERROR' not in said.err and not said.out  # decord's own words
    with pytest.raises(UnreadableVideo, match=message):
        run_pipeline([VideoReader(), lambda results: results[
            'video_reader'].get_batch(range(0, 60, 7)) and results],
            dict(filename=path))


def test_permission(tmp_path, monkeypatch):
    path = write_mp4(tmp_path / 'a.mp4', 2)

    def refuse(*_, **__):
        raise PermissionError(13, 'Permission denied', path)

    monkeypatch.setattr('builtins.open', refuse)
    with pytest.raises(UnreadableVideo, match='Permission denied'):
        OpenedVideo(path)


def test_no_frame_beyond_the_end(tmp_path):
    reader = PyAVReader(write_mp4(tmp_path / 'a.mp4', 5))
    with pytest.raises(UnreadableVideo, match='no frame 5'):
        reader.get_batch([5])
    assert numbers(reader, [1]) == [1]


def test_readers_of_threads(tmp_path):
    """Each has its own."""
    paths = [write_mp4(tmp_path / f'{i}.mp4', 10, (48, 64)) for i in range(4)]
    found = {}
    threads = [threading.Thread(target=lambda p=p: found.update(
        {p: numbers(OpenedVideo(p), range(10))})) for p in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {p: list(range(10)) for p in paths}


@pytest.mark.parametrize('name', ['v.avi', 'v.mp4'])
def test_cut_avi_is_told_by_its_content(tmp_path, name):
    """decord would crash the process, whatever the file is called."""
    whole = tmp_path / 'whole.avi'
    write_mp4(whole, num_frames=40)
    data = whole.read_bytes()
    assert data[:4] == b'RIFF'
    path = tmp_path / name
    path.write_bytes(data)
    check_file(str(path))
    path.write_bytes(data[:len(data) // 2])
    with pytest.raises(UnreadableVideo, match='cut short'):
        check_file(str(path))
