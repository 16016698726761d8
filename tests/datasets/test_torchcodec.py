"""READER=torchcodec: our reader's frames, whatever the file, or a refusal."""
import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import make_bad, read_index, spoil, write_mp4, write_video
from numpy.testing import assert_array_equal

from projects.vifi_clip.datasets import VideoDecode, VideoReader
from projects.vifi_clip.datasets import torchcodec_video
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.errors import UnreadableVideo, UserError

GROUPS = {'x264-params': 'keyint=24:min-keyint=24:scenecut=0'}
CLIPS = {
    # name: codec and options of write_video
    'b_frames.mp4': dict(GROUPS, codec='libx264'),
    'no_b_frames.mp4': dict(GROUPS, codec='libx264', bf='0'),
    'hevc.mkv': {'codec': 'libx265', 'x265-params': 'log-level=none'},
    'vp9.webm': dict(codec='libvpx-vp9'),
    # kept from torchcodec, which reads them wrongly or not at all
    'phone.mp4': dict(rotation=(90, False)),
    'mirrored_phone.mp4': dict(rotation=(180, True)),
    'b_frames.avi': dict(codec='mpeg4', bf='2'),
    'b_frames.ts': dict(GROUPS, codec='libx264'),
    'b_frames.mpg': dict(codec='mpeg1video', bf='2'),
}
INDICES = [70, 3, 3, 4, 89, 0, 50, 26, 25, 24]


def loaded():
    """Skip a test where torchcodec, or FFmpeg for it, is not installed."""
    pytest.importorskip('torchcodec.decoders', exc_type=(ImportError,
                                                         RuntimeError))


def opened(path, backend='torchcodec'):
    return VideoReader(backend).transform(dict(filename=path))


@pytest.mark.parametrize('name', CLIPS)
def test_frames_are_those_of_our_reader(name, tmp_path):
    loaded()
    path = write_video(tmp_path / name, **CLIPS[name])
    results, ours = opened(path), VideoFile(path)
    assert results['total_frames'] == len(ours) == 90
    assert results['avg_fps'] == ours.avg_fps
    assert_array_equal(results['frame_times'](), ours.frame_times())
    frames = VideoDecode().transform(dict(
        results, frame_inds=np.array(INDICES)))['imgs']
    unique = sorted(set(INDICES))
    assert_array_equal(frames, ours.frames(unique))
    if 'phone' not in name:
        assert list(map(read_index, frames)) == unique
    content = Path(path).read_bytes()
    video = torchcodec_video.TorchCodecVideo(content, VideoFile(content), 1,
                                             'cpu')
    assert_array_equal(video.frames(unique), frames)


@pytest.mark.parametrize('kind', ['text', 'absent', 'cut.mp4', 'cut.mkv'])
def test_bad_files(kind, tmp_path):
    loaded()
    with pytest.raises(UnreadableVideo):
        opened(make_bad(kind, tmp_path))


def test_where_torchcodec_fails_our_reader_reads(tmp_path, monkeypatch):
    loaded()
    from torchcodec.decoders import VideoDecoder

    def fail(*_):
        raise RuntimeError('no more frames\nin detail')

    path = write_mp4(tmp_path / 'a.mp4', 20)
    video = opened(path)['video_reader']
    monkeypatch.setattr(VideoDecoder, 'get_frames_at', fail)
    with pytest.warns(UserWarning, match='a.mp4: torchcodec .*no more frame'):
        frames = video.frames([7, 2])
    assert list(map(read_index, frames)) == [7, 2]
    monkeypatch.setattr(VideoDecoder, '__len__', lambda _: 19)
    with pytest.warns(UserWarning, match='19'):
        assert read_index(opened(path)['video_reader'].frames([19])[0]) == 19


def test_damage_that_our_reader_finds(tmp_path):
    """In an AVI; nothing tells of it where torchcodec decodes."""
    loaded()
    source = write_video(tmp_path / 'b.avi', codec='mpeg4', count=60)
    video = opened(spoil(source, tmp_path / 'a.avi', -1))['video_reader']
    video.frames([59])
    assert video.num_damaged


def test_refusals(monkeypatch):
    monkeypatch.setattr(torchcodec_video.torch.cuda, 'is_available',
                        lambda: False)
    with monkeypatch.context() as without:
        for name in 'torchcodec', 'torchcodec.decoders':
            without.setitem(sys.modules, name, None)
        with pytest.raises(UserError, match=r'vifi_clip\[torchcodec\]'):
            VideoReader('torchcodec')
    with monkeypatch.context() as without:
        without.setattr(torchcodec_video, 'need', _no_libraries)
        with pytest.raises(UserError, match='install ffmpeg'):
            VideoReader('torchcodec')
    monkeypatch.setattr(torchcodec_video, 'need', lambda *_: None)
    with pytest.raises(UserError, match='GPU'):
        VideoReader('torchcodec-cuda')


def _no_libraries(*_):
    raise RuntimeError('Could not load libtorchcodec')


def test_a_gpu_is_not_for_forked_workers(tmp_path, monkeypatch):
    path = write_mp4(tmp_path / 'a.mp4', 4)
    monkeypatch.setattr(torchcodec_video, 'get_worker_info', lambda: True)
    monkeypatch.setattr(multiprocessing, 'get_start_method', lambda: 'fork')
    with pytest.raises(UserError, match='mp_start_method=spawn'):
        torchcodec_video.TorchCodecVideo(path, VideoFile(path), 1, 'cuda')
