"""Decoding once: fewer calls of the decoder, the same pixels."""
from pathlib import Path
from typing import Callable
from unittest.mock import Mock, create_autospec

import mmcv
import numpy as np
import pytest
import torch
from helpers import read_index, write_mp4
from mmengine.config import Config
from mmengine.dataset import Compose
from numbered import write

from projects.vifi_clip.datasets import RepeatFrames
from projects.vifi_clip.datasets.transforms import sample_rng
from projects.vifi_clip.datasets.video_file import VideoFile

CONFIGS = Path(__file__).parents[2] / 'configs/_base_'
SIZE = (96, 64)
PARTS = {'pipelines/frames16.py': ('train', 'val', 'views'),
         'pipelines/frames32.py': ('train', 'val', 'views'),
         'datasets/mini.py': ('train', 'val', 'test')}


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp('clips')
    return dict(
        long=write_mp4(folder / 'long.mp4', 70, SIZE),
        short=write_mp4(folder / 'short.mp4', 5, SIZE),
        noise=write_mp4(folder / 'noise.mp4', 8, SIZE, index_coded=False),
        # key frames every 12, B frames, and uneven steps of time
        vfr=write(folder / 'vfr.mp4', count=40, size=SIZE,
                  times=[80 * i + 40 * (i % 5 == 0) for i in range(40)],
                  **{'x264-params': 'keyint=12:bframes=3:b-adapt=0'}))


def steps_of(name, part) -> list:
    return Config.fromfile(CONFIGS / name)[f'{part}_pipeline']


def build(steps) -> Compose:
    """ColorJitter draws its order when it is built."""
    with sample_rng(5):
        return Compose(steps)


def plain(steps) -> Compose:
    """The same pipeline of MMAction2's own readers."""
    own = dict(VideoReader=dict(type='DecordInit'),
               VideoDecode=dict(type='DecordDecode'), RepeatFrames=None)
    steps = [own.get(step['type'],
                     dict(step, type=step['type'].removesuffix('Once')))
             for step in steps]
    return build([step for step in steps if step])


def run(pipeline, path, seed=3) -> torch.Tensor:
    with sample_rng(seed):
        sample = dict(filename=path, label=1, start_index=0, modality='RGB')
        return pipeline(sample)['inputs']


@pytest.fixture
def work(monkeypatch) -> Callable:
    """Returns the indices that the reader was asked for, in one call, and how
    many pictures were resized."""
    frames = create_autospec(VideoFile.frames, side_effect=VideoFile.frames)
    resize = Mock(side_effect=mmcv.imresize)
    monkeypatch.setattr(VideoFile, 'frames', frames)
    monkeypatch.setattr(mmcv, 'imresize', resize)

    def counts() -> tuple:
        frames.assert_called_once()
        return frames.call_args.args[1].tolist(), resize.call_count

    return counts


@pytest.mark.parametrize('name, part', [
    (name, part) for name, parts in PARTS.items() for part in parts])
@pytest.mark.parametrize('kind', ['long', 'short', 'vfr'])
def test_base_pipelines_give_the_same_bytes(clips, name, part, kind):
    steps = steps_of(name, part)
    assert 'VideoDecode' in [step.type for step in steps]
    ours = run(build(steps), clips[kind])
    theirs = run(plain(steps), clips[kind])
    # pixels travel as bytes; the data preprocessor normalises on the device
    assert ours.dtype == theirs.dtype == torch.uint8
    assert ours.shape == theirs.shape and torch.equal(ours, theirs)


def test_jitter_stays_in_bytes(clips):
    """Of the train pipeline's branches each comes up among a few draws; frames
    that a short video repeats are changed apart in four of five clips."""
    steps = steps_of('pipelines/frames16.py', 'train')
    once, old, grey, unlike = build(steps), plain(steps), set(), []
    for seed in range(12):
        frames = run(once, clips['noise'], seed)
        assert frames.dtype == torch.uint8
        assert torch.equal(frames, run(old, clips['noise'], seed))
        grey.add(torch.equal(frames[:, 0], frames[:, 1]))
        unlike.append(len({frame.numpy().tobytes() for frame in frames}))
    assert grey == {True, False}
    assert 6 <= unlike.count(16) < 12


@pytest.mark.parametrize('kind, part, resizes', [
    ('short', 'train', 2), ('short', 'val', 1), ('short', 'views', 1),
    ('long', 'views', 1)])
def test_each_frame_is_decoded_once(clips, work, kind, part, resizes):
    inputs = run(build(steps_of('pipelines/frames16.py', part)), clips[kind])
    asked, resized = work()
    assert asked == sorted(set(asked)) and resized == resizes * len(asked)
    if kind == 'short':
        assert len(asked) <= 5
        return
    assert len(asked) == 64 and inputs.shape == (3 * 4 * 16, 3, 224, 224)
    # view by view, each in order of time, over the whole video
    index = np.array([read_index(frame) for frame in
                      inputs.permute(0, 2, 3, 1).numpy()]).reshape(3, 4, 16)
    assert (index == index[0]).all() and (np.diff(index) > 0).all()
    assert sorted(index[0].ravel()) == asked


@pytest.mark.parametrize('init, reader', [
    ('DecordInit', 'DecordDecodeOnce'), ('PyAVInit', 'PyAVDecodeOnce'),
    ('OpenCVInit', 'OpenCVDecodeOnce')])
@pytest.mark.parametrize('kind', ['short', 'long'])
def test_readers_agree_with_mmaction(clips, init, reader, kind):
    steps = [
        dict(type=init),
        dict(type='SparseSampleViews', num_frames=4, num_views=3),
        dict(type=reader),
        dict(type='Resize', scale=(-1, 48)),
        dict(type='ThreeCrop', crop_size=48),
        dict(type='RepeatFrames'),
        dict(type='FormatShape', input_format='NCHW'),
        dict(type='PackActionInputs', meta_keys=('crop_bbox', ))
    ]
    samples = [
        pipeline(dict(filename=clips[kind], label=1, start_index=0))
        for pipeline in (Compose(steps), plain(steps))
    ]
    assert torch.equal(*(sample['inputs'] for sample in samples))
    boxes = [sample['data_samples'].crop_bbox for sample in samples]
    assert (boxes[0] == boxes[1]).all() and len(boxes[0]) == 36


def test_repeating_copies_nothing_and_refuses_other_counts():
    imgs = [np.full((2, 2, 3), i, np.uint8) for i in range(2)]
    places = np.array([1, 0, 0])
    out = RepeatFrames()(dict(imgs=imgs, frame_repeats=places))['imgs']
    assert [o is imgs[i] for o, i in zip(out, places)] == [True] * 3
    assert RepeatFrames()(dict(imgs=imgs))['imgs'] is imgs
    with pytest.raises(ValueError, match='RepeatFrames'):
        RepeatFrames()(dict(imgs=imgs[:1], frame_repeats=places))
