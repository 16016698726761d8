"""vifi-clip pack: the frames and times of originals, whatever goes wrong."""
import errno
import io
import json
import multiprocessing
import os
import shutil
import time

import av
import cv2
import numpy as np
import pytest
from av.video.frame import PictureType
from commands import refused, vifi
from filelock import FileLock
from helpers import (coded_frame, make_bad, read_index, write_mp4,
                     write_video)
from mmengine.registry import init_default_scope

from projects.vifi_clip.datasets import CheckedVideoDataset
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip_tools.pack.encode import pack_video
from projects.vifi_clip_tools.pack.options import Encoding
from projects.vifi_clip_tools.pack.sample import read_in_turns

UNEVEN = [0, 30, 90, 95, 200, 1000, 1033, 1034, 1400, 1500, 1501]


@pytest.mark.parametrize('name, size, settings', [
    ('b_frames.mp4', (640, 512), dict(count=40)),
    ('xvid.avi', (160, 96), dict(codec='mpeg4', bf='2', count=30)),
    ('uneven.mkv', (160, 96), dict(times=UNEVEN, count=len(UNEVEN))),
    ('phone.mp4', (160, 96), dict(rotation=(90, False), count=9)),
    ('ntsc.mp4', (322, 258), dict(fps=24, count=20)),
    ('one.mp4', (16, 16), dict(count=1))])
def test_frames_and_times_are_the_originals(tmp_path, name, size, settings):
    path = write_video(tmp_path / name, size=size, **settings)
    data = pack_video(path, Encoding(), 60., 'a note')
    original, packed = VideoFile(path, in_order=True), VideoFile(data)
    total = settings['count']
    assert len(packed) == len(original) == total and packed.by_packets
    assert packed.frame_times() == pytest.approx(original.frame_times(),
                                                 abs=1e-5)
    frames = packed.frames(range(total))
    for number, frame in enumerate(original.frames(range(total))):
        height, width = frame.shape[:2]
        scale = min(1, 256 / min(height, width))
        even = [2 * round(side * scale / 2) for side in (width, height)]
        expected = cv2.resize(frame, even).astype(float)
        assert frames[number].shape == expected.shape
        assert np.abs(frames[number] - expected).mean() < 4
        if name != 'phone.mp4':
            assert read_index(frames[number]) == number
    with av.open(io.BytesIO(data)) as file:
        assert file.metadata['comment'] == 'a note'
        kinds = [(frame.key_frame, PictureType(frame.pict_type).name)
                 for frame in file.decode(video=0)]
    assert kinds == [(i % 4 == 0, 'P' if i % 4 else 'I')
                     for i in range(total)]


def test_ten_bits_become_eight(tmp_path):
    pictures = [coded_frame(i, (96, 64)) for i in range(12)]
    path = str(tmp_path / 'deep.mp4')
    with av.open(path, 'w') as file:
        stream = file.add_stream('libx265', rate=25,
                                 options={'x265-params': 'log-level=none'})
        stream.pix_fmt, stream.width, stream.height = 'yuv420p10le', 96, 64
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            file.mux(stream.encode(frame.reformat(format='yuv420p10le')))
        file.mux(stream.encode())
    packed = VideoFile(pack_video(path, Encoding(), 60.))
    assert [read_index(f) for f in packed.frames(range(12))] == list(range(12))


@pytest.fixture
def world(tmp_path):
    """Three good videos in lists, of two folders and kinds."""
    root = tmp_path / 'videos'
    (root / 'a').mkdir(parents=True)
    for i, name in enumerate(('a/x 1.mp4', 'a/y.avi', 'z.mp4')):
        write_mp4(root / 'clip.mp4', 12 + i, (64, 48))
        os.replace(root / 'clip.mp4', root / name)
    (tmp_path / 'train.txt').write_text('a/x 1.mp4 3\na/y.avi 0\n')
    (tmp_path / 'val.txt').write_text('z 1\n')  # without its .mp4
    (tmp_path / 'captions.json').write_text('{"z.mp4": ["a", "b"]}')
    return tmp_path


def pack(world, *argv, lists=('train.txt', 'val.txt', 'captions.json'),
         out='packed'):
    return ('pack', *(world / name for name in lists), '--root',
            world / 'videos', '--out', world / out, *argv)


def state(folder):
    return {path.relative_to(folder).as_posix():
            (path.read_bytes(), path.stat().st_mtime_ns)
            for path in folder.rglob('*') if path.is_file()
            and not path.name.startswith('pack.')}


def test_lists_report_and_a_second_run(world, capsys):
    originals = state(world / 'videos')
    assert vifi(*pack(world)) == 0
    out = world / 'packed'
    assert '3 packed' in (said := capsys.readouterr().out)
    assert f'PACKED={out}' in said and 'dB' in said
    assert (out / 'train.txt').read_text() == 'a/x 1.mp4 3\na/y.avi.mp4 0\n'
    assert (out / 'val.txt').read_text() == 'z.mp4 1\n'
    assert json.loads((out / 'captions.json').read_text()) == {
        'z.mp4': ['a', 'b']}
    report = json.loads((out / 'pack.json').read_text())
    assert report['megabytes'] == [round(sum(
        len(data) for name, (data, _) in files.items()
        if name.endswith(('.mp4', '.avi'))) / 1e6, 3)
        for files in (originals, state(out))]
    assert [level > 25 for level in report['psnr']] == 3 * [True]
    packed = state(out)
    assert vifi(*pack(world)) == 0
    assert '3 there already' in capsys.readouterr().out
    again = state(out)
    assert {name: again[name] for name in again if name.endswith('mp4')} == {
        name: packed[name] for name in packed if name.endswith('mp4')}
    assert state(world / 'videos') == originals


def test_changed_damaged_and_missing_videos(world, capsys):
    assert vifi(*pack(world)) == 0
    write_mp4(world / 'videos/z.mp4', 20, (64, 48))  # changed
    packed = world / 'packed/a/x 1.mp4'
    packed.write_bytes(packed.read_bytes()[:500])
    (world / 'videos/a/y.avi').unlink()
    make_bad('text', world / 'videos')
    with open(world / 'val.txt', 'a') as file:
        file.write('text.mp4 0\n')
    capsys.readouterr()
    assert vifi(*pack(world)) == 1
    out, said = capsys.readouterr()
    assert sorted(out.splitlines()[0].split(': ')[1].split(', ')) == [
        '1 packed', '1 packed again', '2 left out']
    assert 'z.mp4 has changed since it was packed' in said
    assert 'y.avi cannot be read: No such file' in said
    assert 'text.mp4 cannot be read' in said
    assert len(VideoFile(str(world / 'packed/z.mp4'))) == 20
    assert len(VideoFile(str(packed))) == 12
    assert (world / 'packed/train.txt').read_text() == 'a/x 1.mp4 3\n'
    assert (world / 'packed/val.txt').read_text() == 'z.mp4 1\n'
    record = json.loads((world / 'packed/pack.json').read_text())
    assert sorted(record['left_out']) == ['a/y.avi.mp4', 'text.mp4']


def test_a_crash_of_the_decoder_ends_one_video(world, bad_decoder, capsys):
    shutil.copy(world / 'videos/z.mp4', world / 'videos/crash.mp4')
    with open(world / 'val.txt', 'a') as file:
        file.write('crash.mp4 0\n')
    assert vifi(*pack(world, '--workers', 2)) == 1
    out, said = capsys.readouterr()
    assert '3 packed' in out
    assert 'crash.mp4 cannot be read: its decoder crashed' in said


def test_killed_at_any_moment(world):
    names = [f'{i}.mp4' for i in range(5)]
    for name in names:
        shutil.copy(world / 'videos/z.mp4', world / 'videos' / name)
    (world / 'many.txt').write_text(''.join(f'{name} 0\n' for name in names))
    command = pack(world, lists=['many.txt'])
    done, killed = 0, 0
    while done < len(names):
        process = multiprocessing.get_context('fork').Process(
            target=vifi, args=command)
        process.start()
        while process.is_alive() and done == (done := len(
                list((world / 'packed').glob('*.mp4')))):
            time.sleep(0.01)
        process.kill()
        process.join()
        killed += process.exitcode == -9
    assert killed
    for path in (world / 'packed').glob('*.mp4'):  # none is half
        assert len(VideoFile(str(path))) == 14
    assert vifi(*command) == 0
    assert not list((world / 'packed').glob('.*.tmp'))


def test_full_disk(world, monkeypatch, capsys):
    def full(_):
        if list((world / 'packed').rglob('.*.mp4.tmp')):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', full)
        said = refused(capsys, *pack(world), names='packed')
    assert 'No space left' in said and 'resumes' in said
    assert not list((world / 'packed').rglob('*.mp4*'))
    assert vifi(*pack(world)) == 0


def test_refused_before_work(world, capsys):
    assert vifi(*pack(world)) == 0
    out, videos = world / 'packed', world / 'videos'
    with FileLock(out / 'pack.lock'):
        refused(capsys, *pack(world), names=['another process', out])
    refused(capsys, *pack(world, '--crf', '30'), names='crf 18, not 30')
    refused(capsys, *pack(world, out='videos'), names=['--out', videos])
    refused(capsys, 'pack', out / 'train.txt', '--root', out, '--out', out,
            names='--out')
    refused(capsys, 'pack', world / 'val.txt', '--root', world, '--out',
            world / 'new', names=['none of', '--root'])
    refused(capsys, *pack(world, lists=['train.txt', 'packed/train.txt']),
            names='two lists with one name')
    for name in ('pack.json', 'pack_shards.json', 'pack.lock',
                 'shard-000000.tar'):  # it would be put in their place
        shutil.copy(world / 'train.txt', world / name)
        refused(capsys, *pack(world, lists=[name]), names=[name, 'rename'])
    for line in ('../z.mp4 0', f'{videos}/z.mp4 0'):
        (world / 'bad.txt').write_text(line)
        refused(capsys, *pack(world, lists=['bad.txt']), names='--root')
    shutil.copy(videos / 'z.mp4', videos / 'z')
    (world / 'bad.txt').write_text('z 0\nz.mp4 0\n')
    refused(capsys, *pack(world, lists=['bad.txt']), names='one name')
    assert not (world / 'new').exists()


def test_a_name_too_long_for_a_packed_copy_is_left_out(world, capsys):
    names = [247 * 'x' + '.mp4', 250 * 'y' + '.avi', 'z.mp4']
    for name in names[:2]:
        shutil.copy(world / 'videos/z.mp4', world / 'videos' / name)
    (world / 'long.txt').write_text(''.join(f'{name} 0\n' for name in names))
    assert vifi(*pack(world, lists=['long.txt'])) == 1
    said = capsys.readouterr().err
    assert all(name in said for name in names[:2]) and 'shorten' in said
    assert (world / 'packed/long.txt').read_text() == 'z.mp4 0\n'


def test_data_sets_find_packed_videos_by_the_lists_of_originals(world):
    init_default_scope('mmaction')
    assert vifi(*pack(world)) == 0
    out, pipeline = str(world / 'packed'), [
        dict(type='VideoReader'),
        dict(type='SparseSampleViews', num_frames=4), dict(type='VideoDecode')]
    settings = dict(ann_file=str(world / 'train.txt'), pipeline=pipeline,
                    data_prefix=dict(video=out))
    dataset = CheckedVideoDataset(**settings)
    assert [[read_index(frame) for frame in dataset[i]['imgs']]
            for i in (0, 1)] == [[1, 4, 7, 10], [1, 4, 8, 11]]
    (world / 'packed/a/y.avi.mp4').unlink()
    command = (f'vifi-clip pack {world}/train.txt --root {world}/videos --out '
               f'{out}')
    for test_mode in (False, True):
        with pytest.raises(Exception, match=f'y.avi.*{command}'):
            CheckedVideoDataset(**settings, test_mode=test_mode).full_init()


def test_readings(tmp_path):
    grey = [write_mp4(tmp_path / f'{level}.mp4', frames=[
        np.full((48, 64, 3), level, np.uint8)] * 20) for level in (100, 110)]
    first, same, other = read_in_turns([grey[0], *grey], 256)
    assert first.psnr == same.psnr > 100 and first.ms > 0 < other.ms
    assert other.psnr == pytest.approx(20 * np.log10(255 / 10), abs=1)
