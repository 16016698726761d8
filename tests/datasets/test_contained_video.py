"""Videos in a child process, which crashes and hangs in its parent's place."""
import errno
import gc
import mmap
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from numpy.testing import assert_array_equal
from torch.utils.data import DataLoader

from helpers import make_bad, read_index, write_mp4, write_video
from projects.vifi_clip.datasets import contained_video
from projects.vifi_clip.datasets.contained_video import (ContainedVideo,
                                                         DecoderCrashed,
                                                         read_facts)
from projects.vifi_clip.datasets.containers import VideoTimedOut
from projects.vifi_clip.datasets.decoder_process import Decoder
from projects.vifi_clip.datasets.video_dataset import CheckedVideoDataset
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.datasets.video_reader import VideoReader, run_pipeline
from projects.vifi_clip.errors import UnreadableVideo, UserError

pytestmark = pytest.mark.skipif(not contained_video.CAN_CONTAIN,
                                reason='only on POSIX')


def open_video(source, timeout=600.):
    return ContainedVideo(source, False, 1, timeout)


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp('clip') / 'a.mp4')


@pytest.mark.parametrize('buffer', [None, 3 * 160 * 96 * 3])
def test_the_same_frames(clip, buffer, monkeypatch):
    """In the order asked, of a path or content, also in several parts."""
    if buffer:
        contained_video._children.forget()
        monkeypatch.setattr(contained_video, '_BUFFER', buffer)
    indices = np.array([[7, 80, 3], [3, 12, 41]])
    expected = VideoFile(clip)
    for source in clip, Path(clip).read_bytes(), os.path.relpath(clip):
        video = open_video(source)
        assert_array_equal(video.frames(indices), expected.frames(indices))
        assert_array_equal(video.get_batch([1, 5]).asnumpy(),
                           expected.frames([1, 5]))
        assert_array_equal(video.frame_times(), expected.frame_times())
        assert video.get_avg_fps() == expected.avg_fps
        assert len(video) == 90 and video.frames([]) == []
        with pytest.raises(IndexError):
            video.frames([90])
    contained_video._children.forget()


def test_the_same_errors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in 'text', 'empty', 'absent', 'cut.mp4':
        path = Path(make_bad(kind, tmp_path)).name
        errors = []
        for kind in open_video, VideoFile:
            with pytest.raises(UnreadableVideo) as error:
                kind(path)
            errors.append((type(error.value), str(error.value)))
        assert errors[0] == errors[1] and errors[0][1].startswith(path)


def test_facts(clip, tmp_path, monkeypatch):
    facts = 'mov,mp4,m4a,3gp,3g2,mj2', 'h264', 160, 96
    assert read_facts(clip) == facts
    monkeypatch.chdir(Path(clip).parent)  # the child stays where it was
    assert read_facts(Path(clip).name) == facts
    with pytest.raises(UnreadableVideo) as error:
        read_facts(make_bad('text', tmp_path))
    assert error.value.name == str(tmp_path / 'text.mp4')


def test_torch_is_not_imported_there():
    """Which would take seconds, and a GPU's memory."""
    code = contained_video._code().replace('serve(0, 1)', '''
assert not {'torch', 'mmengine', 'mmcv', 'cv2'} & set(sys.modules)''')
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0


@pytest.mark.parametrize('closed', ['<&-', '<&- >&- 2>&-'])
def test_a_parent_without_input_and_output(clip, closed):
    """What it opens then has the numbers 0 to 2."""
    code = contained_video._code().replace('decoder_process import serve', '''
contained_video import ContainedVideo'''.strip()).replace('serve(0, 1)', f'''
assert len(ContainedVideo({clip!r}, False, 1, 60.).frames([3, 40])) == 2''')
    assert subprocess.run(['sh', '-c', f'"$0" -c "$1" {closed}',
                           sys.executable, code]).returncode == 0


@pytest.mark.parametrize('error', [AttributeError, PermissionError])
def test_without_files_in_memory(clip, error, monkeypatch):
    contained_video._children.forget()

    def refuse(name):
        raise error(name)

    monkeypatch.setattr(os, 'memfd_create', refuse, raising=False)
    assert read_index(open_video(clip).frames([3])[0]) == 3


def test_errors_that_are_kept_keep_no_children(tmp_path):
    contained_video._children.forget()
    path, errors = make_bad('text', tmp_path), []
    for _ in range(3):
        with pytest.raises(UnreadableVideo) as error:
            open_video(path)
        errors.append(error)
    assert len(contained_video._children._all) == 1


def test_a_frame_larger_than_the_buffer(clip, monkeypatch):
    contained_video._children.forget()
    monkeypatch.setattr(contained_video, '_BUFFER', 1000)
    with pytest.raises(UnreadableVideo, match='46080 bytes') as error:
        open_video(clip).frames([3])
    assert error.value.name == clip
    contained_video._children.forget()


def test_a_signal_without_a_name(clip):
    video = open_video(clip)
    os.kill(video._child.process.pid, signal.SIGRTMIN + 3)
    with pytest.raises(DecoderCrashed, match=f'signal {signal.SIGRTMIN + 3}'):
        video.frames([3])


def test_no_process_can_be_started(clip, monkeypatch):
    """Which is not the video's fault."""
    def fail(*args, **kwargs):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    contained_video._children.forget()
    monkeypatch.setattr(contained_video.subprocess, 'Popen', fail)
    with pytest.raises(UserError, match='Too many open files') as error:
        run_pipeline([VideoReader()], dict(filename=clip))
    assert not isinstance(error.value, UnreadableVideo)


def test_a_crash(bad_decoder, tmp_path):
    path = write_mp4(tmp_path / 'crash.mp4')
    video, good = open_video(path), open_video(write_mp4(tmp_path / 'a.mp4'))
    for _ in range(2):
        with pytest.raises(DecoderCrashed, match='SIGSEGV') as error:
            video.frames([0])
        assert error.value.name == path
    assert read_index(good.frames([3])[0]) == 3
    assert len(open_video(path)) == 16


def test_an_idle_child_that_was_killed(clip, bad_decoder):
    """As by the system, for its memory."""
    video = open_video(clip)
    child = video._child.process.pid
    del video
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert read_index(open_video(clip).frames([3])[0]) == 3


def test_a_closed_video_leaves_no_memory(clip):
    """A decoder grew to 520 MB in 3,000 videos; it stays at 80."""
    decoder = Decoder(mmap.mmap(-1, 1 << 24))
    decoder.open(clip, False, 1, 60.)
    decoder.frames([3])
    video = weakref.ref(decoder._video)
    decoder.close()
    assert video() is None


def test_decoders_that_are_ended_are_not_taken(clip):
    """They are still dying when the next video is opened."""
    for _ in range(5):
        open_video(clip)  # its decoder is idle now
        assert contained_video._children._idle
        contained_video.end_decoders()
        assert len(open_video(clip)) == 90


def test_a_hang(bad_decoder, tmp_path, monkeypatch):
    video = open_video(write_mp4(tmp_path / 'hang.mp4'))
    monkeypatch.setattr(contained_video, 'GRACE', 0.1)
    video._timeout = 0.1
    with pytest.raises(VideoTimedOut, match='0.1 s'):
        video.frames([0])


def test_ctrl_c_in_a_hang(bad_decoder, tmp_path):
    video = open_video(write_mp4(tmp_path / 'hang.mp4'))
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            video.frames([0])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert read_index(open_video(write_mp4(tmp_path / 'b.mp4')).frames(
        [9])[0]) == 9


def test_in_data_workers(bad_decoder, tmp_path):
    """Their run goes on, and the video counts as bad."""
    for name in 'a', 'b', 'crash', 'c':
        write_mp4(tmp_path / f'{name}.mp4')
    (tmp_path / 'list.txt').write_text('a.mp4 0\nb.mp4 0\ncrash.mp4 0\n'
                                       'c.mp4 0\n')
    init_default_scope('mmaction')
    dataset = CheckedVideoDataset(
        ann_file=str(tmp_path / 'list.txt'), pipeline=[
            dict(type='VideoReader'),
            dict(type='SparseSampleViews', num_frames=4),
            dict(type='VideoDecode'),
            dict(type='FormatShape', input_format='NCHW'),
            dict(type='PackActionInputs')],
        data_prefix=dict(video=str(tmp_path)), max_bad_ratio=0.5)
    open_video(str(tmp_path / 'a.mp4'))  # the workers must not share it
    samples = [sample for batch in DataLoader(
        dataset, num_workers=2, collate_fn=list) for sample in batch]
    assert len(samples) == 4 and all(
        len(sample['inputs']) == 4 for sample in samples)
    assert [dataset._filename(i) for i in dataset._bad_indices()] == [
        str(tmp_path / 'crash.mp4')]


def test_children_are_used_again(clip):
    contained_video._children.forget()

    def read(_):
        video = open_video(clip)
        video.cycle = video  # freed by the garbage collector alone
        return read_index(video.frames([5])[0])

    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(read, range(12))) == {5}
    gc.collect()
    count = len(contained_video._children._idle)
    list(map(read, range(3)))
    gc.collect()
    assert len(contained_video._children._idle) == count >= 1


def test_what_the_parent_closes_is_closed(clip):
    """A browser waited for a page's connection that a child still had."""
    contained_video._children.forget()
    server, browser = socket.socketpair()
    video = open_video(clip)
    server.close()
    browser.settimeout(10)
    assert browser.recv(1) == b''
    assert read_index(video.frames([5])[0]) == 5


def test_children_end_with_their_parent(bad_decoder, tmp_path):
    """Even one that is killed, while some have a video and one hangs."""
    paths = [write_mp4(tmp_path / f'{name}.mp4') for name in ('a', 'hang')]

    def parent():
        with ThreadPoolExecutor(2) as pool:
            videos = list(pool.map(open_video, paths))
        ask = threading.Thread(target=videos[1].frames, args=[[0]])
        ask.start()
        sender.send([video._child.process.pid for video in videos])
        os.kill(os.getpid(), signal.SIGKILL)

    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=parent)
    process.start()
    children = receiver.recv()
    process.join()
    assert len(set(children)) == 2 and process.exitcode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while any(Path(f'/proc/{child}').exists() and Path(
            f'/proc/{child}/cmdline').read_text() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)
