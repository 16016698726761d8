"""Colours change as in torchvision, in each frame on its own."""
import numpy as np
import pytest
import torch
from helpers import write_mp4
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from PIL import Image
from torchvision.transforms import ColorJitter
from torchvision.transforms import functional as F

from projects.vifi_clip.datasets import FrameColorJitter, transforms

SETTINGS = dict(brightness=.4, contrast=.4, saturation=.2, hue=.1)


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
        expected = _torchvision(theirs, picture)
        torch.manual_seed(seed)
        found, = ours(dict(imgs=[picture]))['imgs']
        apart.append(np.abs(found - expected).ravel())
    apart = np.concatenate(apart)
    assert (apart <= 1).mean() > .999 and apart.max() <= 12


def _frame_means(jitter):
    """[60 clips, 16 frames], of grey clips of one lightness."""
    torch.manual_seed(0)
    picture = np.full((8, 8, 3), (120, 130, 100), np.uint8)
    return np.array([[jitter(picture).mean() for _ in range(16)]
                     for _ in range(60)])


def test_spread_within_a_clip_is_torchvisions():
    """On PIL images, as the release has it."""
    ours, theirs = FrameColorJitter(**SETTINGS), ColorJitter(**SETTINGS)
    found = _frame_means(lambda p: ours(dict(imgs=[p]))['imgs'][0])
    expected = _frame_means(
        lambda p: np.asarray(theirs(Image.fromarray(p))))
    # 960 frames each
    assert found.std(1).mean() == pytest.approx(expected.std(1).mean(),
                                                rel=.1)
    assert found.mean() == pytest.approx(expected.mean(), abs=3)
    assert found.std(1).min() > 10  # no clip is changed as one


def test_no_strength_changes_nothing():
    picture = _pictures()[0]
    found, = FrameColorJitter()(dict(imgs=[picture]))['imgs']
    assert (found == picture).all()


@pytest.mark.parametrize('setting', [dict(hue=.6), dict(brightness=-1)])
def test_bad_strengths(setting):
    with pytest.raises(ValueError):
        FrameColorJitter(**setting)


def test_repeated_frames_are_changed_apart(tmp_path, monkeypatch):
    """In the shipped pipeline, a video of one frame: all its frames were one,
    and in four of five clips no two are alike."""
    monkeypatch.setenv('PRETRAINED', 'none')
    init_default_scope('mmaction')
    clip = write_mp4(tmp_path / 'clip.mp4', num_frames=1, index_coded=False)
    pipeline = Compose(Config.fromfile('configs/vifi_k400.py').train_pipeline)
    changed = 0
    for seed in range(30):
        np.random.seed(seed), torch.manual_seed(seed)
        frames = pipeline(dict(filename=clip, label=0, start_index=0,
                               modality='RGB'))['inputs']
        alike = len({frame.numpy().tobytes() for frame in frames})
        assert alike in (1, 16)
        changed += alike == 16
    assert 17 <= changed <= 29  # 24 expected, standard deviation 2.2


@pytest.mark.parametrize('frame', [
    np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.uint8),
    np.zeros((4, 4, 3), np.float32)], ids=['rgba', 'grey', 'float'])
def test_frames_that_are_no_rgb(frame):
    with pytest.raises(ValueError, match='FrameColorJitter'):
        FrameColorJitter(**SETTINGS)(dict(imgs=[frame]))
