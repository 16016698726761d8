"""Sampling, colours and captions; decoding once, with fewer calls of the
decoder and the same pixels."""
import json
import pickle
from pathlib import Path
from typing import Callable
from unittest.mock import Mock, create_autospec

import mmcv
import numpy as np
import open_clip
import pytest
import torch
from helpers import read_index, write_mp4, write_video
from mmaction.datasets.transforms import SampleFrames
from mmaction.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from tiny import tiny_arch
from torchvision.transforms import ColorJitter, RandomGrayscale
from torchvision.transforms import functional as F

from projects.vifi_clip.datasets import (FrameColorJitter, RandomGreyClip,
                                         RepeatFrames, SparseSampleViews,
                                         transforms)
from projects.vifi_clip.datasets.contained_video import ContainedVideo

SETTINGS = dict(brightness=.4, contrast=.4, saturation=.2, hue=.1)
# What views of 'v.mp4' with 300 frames must be, 2 x 8.
PINNED = [20, 39, 102, 132, 177, 195, 252, 277,
          34, 56, 88, 115, 165, 218, 224, 283]
START, END = 49406, 49407  # CLIP's vocabulary ends with these


def sample(total_frames, num_frames, num_views=1, start=0, **kwargs):
    transform = SparseSampleViews(num_frames, num_views, **kwargs)
    results = transform(
        dict(filename='a/v.mp4', total_frames=total_frames, start_index=start))
    inds = results['frame_inds']
    assert inds.dtype == np.int32 and inds.shape == (num_frames * num_views, )
    assert results['clip_len'] == num_frames
    assert results['num_clips'] == num_views
    assert results['frame_interval'] is None
    return inds.reshape(num_views, num_frames)


def test_uniform_views_interleave():
    # 8 segments of 5.125 frames have their middles at 2.56, 7.69, 12.81, ...
    assert sample(41, 4, 2).tolist() == [[2, 12, 23, 33], [7, 17, 28, 38]]
    assert sample(41, 4, start=1).tolist() == [[6, 16, 26, 36]]
    assert sorted(sample(401, 16, 4).ravel()) == sample(401, 64)[0].tolist()


@pytest.mark.parametrize('frames', [8, 16, 32])
def test_one_view_is_the_midpoints_for_every_length(frames):
    """The formula of the paper's release, and MMAction2's SampleFrames."""
    theirs = SampleFrames(clip_len=1, num_clips=frames, test_mode=True)
    for total in range(1, 401):
        expected = [int((i + .5) * total / frames) for i in range(frames)]
        assert sample(total, frames)[0].tolist() == expected
        assert theirs(dict(total_frames=total, start_index=0))[
            'frame_inds'].tolist() == expected


def _release_draw(total, frames, rng):
    """A view as the release draws it: as in training."""
    segment = total // frames
    if segment:
        return [i * segment + int(rng.integers(segment))
                for i in range(frames)]
    # fewer frames than segments; a number past the end goes round
    return [round(i * total / frames) % total for i in range(frames)]


@pytest.mark.parametrize('total, frames', [(80, 8), (50, 8), (300, 32)])
def test_random_views_are_drawn_as_the_release_does(total, frames):
    """How often each frame comes, over 3,000 views, beside as many draws
    written down here; the last frames, N mod T of them, never do."""
    views = sample(total, frames, 3000, mode='random')
    moved = sample(total, frames, 3000, mode='random', start=5)
    assert (moved == views + 5).all()
    rng = np.random.default_rng(0)
    theirs = [_release_draw(total, frames, rng) for _ in range(3000)]
    segment = total // frames
    share = 3000 / segment
    spread = np.sqrt(share * (1 - 1 / segment))
    for drawn in views, np.array(theirs):
        counts = np.bincount(drawn.ravel(), minlength=total)
        assert not counts[frames * segment:].any()
        assert (np.abs(counts[:frames * segment] - share)
                <= 4.5 * spread).all()


def test_random_views_depend_on_seed_and_name_alone():

    def draw(filename, seed=0):
        np.random.seed(len(filename))
        state = np.random.get_state()[1].copy()
        inds = SparseSampleViews(8, 2, mode='random', seed=seed)(dict(
            filename=filename, total_frames=300, start_index=0))['frame_inds']
        assert (np.random.get_state()[1] == state).all()
        return inds.tolist()

    # also in another process, so the numbers stand here
    assert draw('v.mp4') == draw('/elsewhere/v.mp4') == PINNED
    assert draw('v.mp4') != draw('w.mp4')
    assert draw('v.mp4') != draw('v.mp4', seed=1)


@pytest.mark.parametrize('total', [1, 2, 3, 5])
def test_short_videos_repeat_frames(total):
    inds = sample(total, 8, 3)
    assert (inds >= 0).all() and (inds < total).all()
    assert (np.diff(inds, axis=1) >= 0).all()  # in order of time
    for view in sample(total, 8, 3, mode='random'):  # nothing to draw
        assert view.tolist() == _release_draw(total, 8, None)
    with pytest.raises(ValueError, match='a/v.mp4'):
        sample(0, 8)


def test_bad_arguments():
    for name, value in (('num_frames', 0), ('num_frames', 2.5),
                        ('num_views', 0), ('mode', 'middle'), ('seed', 'x')):
        with pytest.raises(ValueError, match=name):
            SparseSampleViews(**{'num_frames': 8, name: value})


# Colours change as in torchvision, in each frame on its own


def _pictures():
    """Noise, greys, and soft colours as of a photograph."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 48, 3), dtype=np.uint8)
    grey = np.repeat(rng.integers(0, 256, (64, 48, 1), dtype=np.uint8), 3, 2)
    ramp = np.stack(np.meshgrid(np.linspace(0, 255, 48),
                                np.linspace(255, 30, 64)), -1)
    soft = np.concatenate([ramp, ramp.mean(-1, keepdims=True)], -1)
    return [noise, grey, soft.astype(np.uint8)]


def _torchvision(operation, picture, *args):
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    return operation(tensor, *args).permute(1, 2, 0).numpy().astype(int)


@pytest.mark.parametrize('name, strengths', [
    ('brightness', (.6, .83, 1., 1.4)), ('contrast', (.6, .83, 1., 1.4)),
    ('saturation', (.8, .93, 1., 1.2)), ('hue', (-.1, -.033, 0., .01, .1))])
def test_each_operation_is_torchvisions_to_one_level(name, strengths):
    for picture in _pictures():
        for strength in strengths:
            found = getattr(transforms, f'adjust_{name}')(picture, strength)
            expected = _torchvision(getattr(F, f'adjust_{name}'), picture,
                                    strength)
            apart = np.abs(found - expected)
            assert found.dtype == np.uint8
            assert apart.max() <= 1 and (apart > 0).mean() < .01


def test_the_same_draws_give_the_same_pixels():
    """Strengths and order are drawn by torchvision itself. A level from one
    operation may become two or more in the next."""
    ours, theirs, apart = FrameColorJitter(**SETTINGS), ColorJitter(
        **SETTINGS), []
    for seed in range(60):
        picture = _pictures()[seed % 3]
        torch.manual_seed(seed)
        expected = [_torchvision(theirs, picture) for _ in range(2)]
        torch.manual_seed(seed)
        # draws of its own for each frame of a clip
        found = np.array(ours(dict(imgs=[picture] * 2))['imgs'])
        apart.append(np.abs(found - expected).ravel())
    apart = np.concatenate(apart)
    assert (apart <= 1).mean() > .999 and apart.max() <= 12
    picture, = FrameColorJitter()(dict(imgs=[_pictures()[0]]))['imgs']
    assert (picture == _pictures()[0]).all()  # no strength, no change


def test_clips_turn_grey_as_in_torchvision():
    ours, theirs = RandomGreyClip(p=.5), RandomGrayscale(p=.5)
    clip = torch.from_numpy(np.stack([_pictures()[0], _pictures()[2]]))
    seen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        expected = theirs(clip.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        torch.manual_seed(seed)
        found = np.stack(ours(dict(imgs=list(clip.numpy())))['imgs'])
        assert (found == expected.numpy()).all()
        seen.add(bool((found == clip.numpy()).all()))
    assert seen == {False, True}


def test_strengths_and_frames_that_are_refused():
    for setting in dict(hue=.6), dict(brightness=-1):
        with pytest.raises(ValueError):
            FrameColorJitter(**setting)
    for shape, kind in ((4, 4, 4), 'u1'), ((4, 4), 'u1'), ((4, 4, 3), 'f4'):
        with pytest.raises(ValueError, match='FrameColorJitter'):
            FrameColorJitter(**SETTINGS)(dict(imgs=[np.zeros(shape, kind)]))


# Captions to token ids, as OpenCLIP's own tokenizer gives them


def tokenize(text, **kwargs) -> torch.Tensor:
    cfg = dict(dict(type='OpenCLIPTokenize', arch=tiny_arch()), **kwargs)
    # workers may be spawned
    transform = pickle.loads(pickle.dumps(TRANSFORMS.build(cfg)))
    results = transform(dict(text=text, filename='a.mp4'))
    assert results['filename'] == 'a.mp4'
    return results['text']


def test_tokens_are_openclips():
    text = 'A man is cooking, slowly'
    tokens = tokenize(text)
    assert tokens.shape == (24, ) and tokens.dtype == torch.int64
    expected = open_clip.tokenize([text], context_length=24)[0]
    assert torch.equal(tokens, expected)
    assert tokens[0] == START and tokens[7] == END and not tokens[8:].any()
    # one that is too long keeps the end
    tokens = tokenize('a red dog ' * 30)
    assert tokens[0] == START and tokens[-1] == END
    whole = open_clip.tokenize(['a red dog ' * 30], context_length=100)[0]
    assert torch.equal(tokens[:-1], whole[:23])


def test_context_is_the_architectures(tmp_path):
    path = tmp_path / 'arch.json'
    path.write_text(json.dumps(tiny_arch(text_cfg=dict(context_length=11))))
    for arch, length in (('ViT-B-16-quickgelu', 77), (tiny_arch(), 24),
                         (str(path), 11)):
        assert tokenize('a dog', arch=arch).shape == (length, )
        assert tokenize('a dog', arch=arch, context_length=9).shape == (9, )


@pytest.mark.parametrize('text, settings, name', [
    *((text, {}, 'a.mp4') for text in ('', ' \n', None, ['a dog'])),
    *(('a dog', dict(context_length=length), 'context_length')
      for length in (2, 0, 7.5, '24')),
    ('a dog', dict(arch='ViT-B-17'), 'ViT-B-17')])
def test_captions_that_are_refused(text, settings, name):
    with pytest.raises(ValueError, match=name):
        tokenize(text, **settings)


CONFIGS = Path(__file__).parents[2] / 'configs/_base_'
SIZE = (96, 64)
PARTS = {'pipelines/frames16.py': ('train', 'val', 'views'),
         'datasets/mini.py': ('train', 'val', 'test')}


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp('clips')
    return dict(
        long=write_mp4(folder / 'long.mp4', 70, SIZE),
        short=write_mp4(folder / 'short.mp4', 5, SIZE),
        noise=write_mp4(folder / 'noise.mp4', frames=np.random.default_rng(
            0).integers(0, 256, (8, *SIZE[::-1], 3), dtype=np.uint8)),
        # key frames every 12, B frames, and uneven steps of time
        vfr=write_video(folder / 'vfr.mp4', count=40, size=SIZE,
                        times=[80 * i + 40 * (i % 5 == 0) for i in range(40)],
                        **{'x264-params': 'keyint=12:bframes=3:b-adapt=0'}))


def steps_of(name, part) -> list:
    return Config.fromfile(CONFIGS / name)[f'{part}_pipeline']


def build(steps) -> Compose:
    """ColorJitter draws its order when it is built."""
    with transforms.sample_rng(5):
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
    with transforms.sample_rng(seed):
        sample = dict(filename=path, label=1, start_index=0, modality='RGB')
        return pipeline(sample)['inputs']


@pytest.fixture
def work(monkeypatch) -> Callable:
    """Returns the indices that the reader was asked for, in one call, and how
    many pictures were resized."""
    frames = create_autospec(ContainedVideo.frames,
                             side_effect=ContainedVideo.frames)
    resize = Mock(side_effect=mmcv.imresize)
    monkeypatch.setattr(ContainedVideo, 'frames', frames)
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


def test_repeating_refuses_other_counts():
    picture, places = np.zeros((2, 2, 3), np.uint8), np.array([1, 0, 0])
    with pytest.raises(ValueError, match='RepeatFrames'):
        RepeatFrames()(dict(imgs=[picture], frame_repeats=places))
    assert RepeatFrames()(dict(imgs=[picture]))['imgs'] == [picture]
