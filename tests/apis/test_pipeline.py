"""Views of a config's pipeline, and the frames that come of them."""
import copy

import numpy as np
import pytest
from helpers import read_crop, read_index, write_mp4
from mmengine.config import Config
from tools_world import PIPELINES

from projects.vifi_clip.apis.config import read_config
from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.apis.pipeline import (VideoSampler, build_steps,
                                              count_views, parse_views,
                                              pipeline_cfg)
from projects.vifi_clip.errors import UserError

CONFIG = Config(dict(val_pipeline=PIPELINES['val'],
                     test_pipeline=PIPELINES['test']))


def test_views_as_text():
    for text, views in {'1': 1, '4': 4, '4x3': (4, 3), '2X1': (2, 1),
                        'config': None}.items():
        assert parse_views(text) == views
    for text in ('', '0', '4x2', '4x', 'x', '-1', '1.5', '1x1x1', 'all', '²',
                 '10000000'):
        with pytest.raises(ValueError, match=f'--num-views {text}:'):
            parse_views(text)


@pytest.mark.parametrize('views, count', [
    (1, 1), (4, 4), ((4, 3), 12), ((2, 1), 2), (None, 12)])
def test_count_is_what_the_model_gets(views, count, tmp_path):
    path = write_mp4(tmp_path / 'a.mp4', 40, (96, 64))
    before = copy.deepcopy(CONFIG._cfg_dict)
    sample = VideoSampler(CONFIG).reader(views)(VideoInput('a', path))
    assert CONFIG._cfg_dict == before
    assert count_views(pipeline_cfg(CONFIG, views), 4) == (count, 4)
    assert sample['inputs'].shape == (count * 4, 3, 32, 32)
    frames = sample['inputs'].permute(0, 2, 3, 1).numpy()
    numbers = [read_index(frame) for frame in frames]
    # a frame from each quarter of the video, in each view
    assert [4 * number // 40 for number in numbers] == count * [0, 1, 2, 3]
    if count == 12:  # left, right, middle: 4 views of 4 frames each
        assert [read_crop(f) for f in frames] == 16 * [0] + 16 * [2] + 16 * [1]
        assert numbers[:16] == numbers[16:32] == numbers[32:]
        assert len(set(numbers)) == 16


@pytest.mark.parametrize('name, views, frames', [
    ('vifi_k400', 12, 16), ('vifi_zero_shot', 1, 32), ('small_world', 12, 8)])
def test_entry_configs(name, views, frames):
    cfg = read_config(name)
    for given, count in (None, views), (1, 1), ((4, 3), 12):
        assert count_views(pipeline_cfg(cfg, given), frames) == (count, frames)
    assert cfg.model.cls_head.num_frames == frames


@pytest.mark.parametrize('crop, clip_len, num_clips, num_frames, counts', [
    (None, 1, 16, 16, (1, 16)), (None, 1, 16, None, (1, 16)),
    (None, 1, 16, 8, (2, 8)), ('ThreeCrop', 32, 10, 4, (30, 32)),
    ('TenCrop', 8, 4, 8, (40, 8))])
def test_other_samplings_are_counted(crop, clip_len, num_clips, num_frames,
                                     counts):
    sampler = dict(type='SampleFrames', clip_len=clip_len,
                   num_clips=num_clips)
    assert count_views([sampler, dict(type=crop)], num_frames) == counts


def test_what_a_config_lacks():
    other = copy.deepcopy(CONFIG)
    other.val_pipeline[1] = dict(type='SampleFrames', clip_len=1)
    with pytest.raises(UserError, match='does not sample with SparseSample'):
        pipeline_cfg(other, 4)
    assert pipeline_cfg(other, 1)[1]['type'] == 'SampleFrames'
    with pytest.raises(UserError, match='no pipeline of three crops'):
        pipeline_cfg(Config(dict(val_pipeline=PIPELINES['val'])), (4, 3))
    with pytest.raises(UserError, match='no pipeline of one view'):
        pipeline_cfg(Config(dict(model={})), 1)


def test_frames_before_the_model(tmp_path):
    """times, fps and other numbers of frames."""
    path = write_mp4(tmp_path / 'a.mp4', 40, (32, 36), fps=10)
    sampler = VideoSampler(CONFIG)
    for count in None, 1, 7:
        sample = sampler.sample(VideoInput('a', path), count)
        assert sample.images.shape == (count or 4, 32, 32, 3)
        assert sample.images.dtype == np.uint8 and sample.fps == 10
        np.testing.assert_allclose(sample.times, sample.indices / 10)
    full = VideoInput('x', frames=np.broadcast_to(
        np.arange(50, dtype=np.uint8)[:, None, None, None],
        (50, 36, 40, 3)), fps=5.)
    sample = sampler.sample(full, 5)
    assert (sample.images == sample.indices[:, None, None, None]).all()
    assert sample.fps == 5 and sample.times[-1] == sample.indices[-1] / 5


def test_small_pictures_are_one_bad_video(tmp_path):
    """A crop leaves them small, and the batch would fail in the model."""
    config = copy.deepcopy(CONFIG)
    del config.val_pipeline[3]  # Resize
    path = write_mp4(tmp_path / 'a.mp4', 8, (96, 20))
    sampler = VideoSampler(config)
    for read in (sampler.reader(1), sampler.sample,
                 lambda v: sampler.windows(v, 1, 1, 4).read(np.array([0]))):
        with pytest.raises(UserError, match='a.mp4 cannot be read: its '
                           'pictures have 96 x 20 pixels.* 32 x 32'):
            read(VideoInput('a.mp4', path))


def test_other_readers_and_windows(tmp_path):
    """A reader that cannot be asked twice is opened anew."""
    config = copy.deepcopy(CONFIG)
    config.val_pipeline[0] = dict(type='PyAVInit')
    config.val_pipeline[2] = dict(type='PyAVDecodeOnce')
    config.val_pipeline.insert(5, dict(type='RepeatFrames'))
    path = write_mp4(tmp_path / 'a.mp4', 40, (36, 36))
    for cfg in CONFIG, config:
        grid = VideoSampler(cfg).windows(VideoInput('a', path), .4, .4, 4)
        for part in grid.unique[:3], grid.unique[3:], grid.unique[:1]:
            assert [read_index(f) for f in grid.read(part)] == part.tolist()
    assert type(build_steps(config.val_pipeline)[0]).__name__ == 'PyAVInit'
