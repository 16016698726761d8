import subprocess
import sys

import cv2
import numpy as np
import pytest
from helpers import LEFT, MIDDLE, RIGHT, read_crop, read_index, write_mp4
from mmaction.datasets.transforms import SampleFrames, TorchVisionWrapper
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from projects.vifi_clip.datasets import SparseSampleViews


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmaction')


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
    # One view takes the middle of each segment of 10.25.
    assert sample(41, 4).tolist() == [[5, 15, 25, 35]]
    assert sample(41, 4, start=1).tolist() == [[6, 16, 26, 36]]


@pytest.mark.parametrize('frames', [8, 16, 32])
def test_one_view_is_the_midpoints_for_every_length(frames):
    """The formula of the paper's release, and MMAction2's SampleFrames."""
    theirs = SampleFrames(clip_len=1, num_clips=frames, test_mode=True)
    for total in range(1, 401):
        found = sample(total, frames)[0].tolist()
        assert found == [int((i + .5) * total / frames)
                         for i in range(frames)], total
        assert found == theirs(dict(total_frames=total, start_index=0))[
            'frame_inds'].tolist(), total


@pytest.mark.parametrize('total', [7, 64, 300, 401])
def test_views_share_out_the_midpoints_of_finer_segments(total):
    """So they lie around those of one view, at both sides."""
    views = sample(total, 16, 4)
    assert sorted(views.ravel()) == sample(total, 64)[0].tolist()
    middle = sample(total, 16)[0]
    assert (views[1] <= middle).all() and (middle <= views[2]).all()


def _release_draw(total, frames, rng):
    """A view as the release draws it: as in training."""
    segment = total // frames
    if segment:
        return [i * segment + int(rng.integers(segment))
                for i in range(frames)]
    # fewer frames than segments; a number past the end goes round
    return [round(i * total / frames) % total for i in range(frames)]


@pytest.mark.parametrize('total, frames', [
    (80, 8), (50, 8), (17, 16), (300, 32)])
def test_random_views_are_drawn_as_the_release_does(total, frames):
    """How often each frame comes, over 3,000 views, beside as many draws
    written down here; the last frames, N mod T of them, never do."""
    ours = np.bincount(sample(total, frames, 3000, mode='random').ravel(),
                       minlength=total)
    rng = np.random.default_rng(0)
    theirs = np.bincount(
        [i for _ in range(3000) for i in _release_draw(total, frames, rng)],
        minlength=total)
    segment = total // frames
    assert ours[frames * segment:].sum() == 0 == theirs[
        frames * segment:].sum()
    share = 3000 / segment
    spread = np.sqrt(share * (1 - 1 / segment))
    for counts in ours, theirs:
        assert (np.abs(counts[:frames * segment] - share)
                <= 4.5 * spread).all()


@pytest.mark.parametrize('total', [1, 2, 3, 5, 7])
def test_random_views_of_short_videos(total):
    """There is nothing to draw then."""
    for view in sample(total, 8, 3, mode='random'):
        assert view.tolist() == _release_draw(total, 8, None)


def test_random_views_draw_views_apart():
    inds = sample(80, 8, 50, mode='random')  # segments of 10
    assert (inds // 10 == np.arange(8)).all()
    assert len({tuple(view) for view in inds}) == 50
    one = sample(80, 8, 3, mode='random')
    assert (sample(80, 8, 3, mode='random', start=5) == one + 5).all()


def test_random_views_depend_on_seed_and_name_alone():

    def draw(filename, seed=0):
        np.random.seed(len(filename))
        transform = SparseSampleViews(8, 2, mode='random', seed=seed)
        return transform(
            dict(filename=filename, total_frames=300,
                 start_index=0))['frame_inds'].tolist()

    state = np.random.get_state()[1].copy()
    SparseSampleViews(8, 2, mode='random')(
        dict(filename='v.mp4', total_frames=300, start_index=0))
    assert (np.random.get_state()[1] == state).all()
    assert draw('v.mp4') == draw('/elsewhere/v.mp4')
    assert draw('v.mp4') != draw('w.mp4')
    assert draw('v.mp4') != draw('v.mp4', seed=1)


def test_random_views_are_the_same_in_another_process():
    code = ('from projects.vifi_clip.datasets import SparseSampleViews as S;'
            'print(S(8, 2, mode="random")(dict(filename="v.mp4", '
            'total_frames=300, start_index=0))["frame_inds"].tolist())')
    out = subprocess.run([sys.executable, '-W', 'ignore', '-c', code],
                         capture_output=True,
                         text=True,
                         check=True).stdout
    here = SparseSampleViews(
        8, 2, mode='random')(
            dict(filename='v.mp4', total_frames=300, start_index=0))
    assert out.splitlines()[-1] == str(here['frame_inds'].tolist())


@pytest.mark.parametrize('total', [1, 2, 3, 5])
def test_short_videos_repeat_frames(total):
    inds = sample(total, 8, 3)
    assert (inds >= 0).all() and (inds < total).all()
    assert (np.diff(inds, axis=1) >= 0).all()  # in order of time


def test_video_without_frames_is_an_error():
    with pytest.raises(ValueError, match='a/v.mp4.*no frames'):
        sample(0, 8)


@pytest.mark.parametrize('kwargs, name', [
    (dict(num_frames=0), 'num_frames'),
    (dict(num_frames=2.5), 'num_frames'),
    (dict(num_frames=8, num_views=0), 'num_views'),
    (dict(num_frames=8, mode='middle'), 'mode'),
    (dict(num_frames=8, mode='random', seed='x'), 'seed'),
])
def test_bad_arguments(kwargs, name):
    with pytest.raises(ValueError, match=name):
        SparseSampleViews(**kwargs)


def test_order_of_the_test_pipeline_on_a_real_video(tmp_path):
    path = write_mp4(tmp_path / 'v.mp4', num_frames=60, size=(96, 64))
    pipeline = Compose([
        dict(type='DecordInit'),
        dict(type='SparseSampleViews', num_frames=4, num_views=4),
        dict(type='DecordDecode'),
        dict(type='Resize', scale=(-1, 48)),
        dict(type='ThreeCrop', crop_size=48),
        dict(type='FormatShape', input_format='NCHW'),
        dict(type='PackActionInputs'),
    ])
    data = pipeline(dict(filename=path, label=3, start_index=0))
    imgs = data['inputs'].numpy().transpose(0, 2, 3, 1)
    assert imgs.shape == (3 * 4 * 4, 48, 48, 3)
    found = np.array([read_index(img) for img in imgs]).reshape(3, 4, 4)
    # 16 segments of 3.75 frames have their middles at 1.875 + 3.75 i
    expected = [[1, 16, 31, 46], [5, 20, 35, 50], [9, 24, 39, 54],
                [13, 28, 43, 58]]
    for crop in range(3):
        assert (found[crop] == expected).all()
    # ThreeCrop's own order of crops, each for all frames of all views.
    crops = np.array([read_crop(img) for img in imgs]).reshape(3, 16)
    assert (crops == np.array([[LEFT], [RIGHT], [MIDDLE]])).all()


def test_torchvision_wrapper_greys_whole_clips():
    """Why there is no greyscale transform of ours."""
    rng = np.random.default_rng(0)
    clip = [rng.integers(0, 256, (8, 6, 3), dtype=np.uint8) for _ in range(4)]
    transform = TorchVisionWrapper('RandomGrayscale', p=0.5)
    num_grey = 0
    for _ in range(40):
        imgs = transform(dict(imgs=[img.copy() for img in clip]))['imgs']
        if (imgs[0] == clip[0]).all():
            expected, slack = clip, 0
        else:
            num_grey += 1
            expected = [
                cv2.cvtColor(
                    cv2.cvtColor(img, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
                for img in clip
            ]
            slack = 1  # torchvision rounds down
        for img, want in zip(imgs, expected):
            assert np.abs(img.astype(int) - want).max() <= slack
    assert 10 < num_grey < 30
