"""Transforms on a device: the pixels of a worker to a level or two, from the
same draws, whatever the file."""
import copy
import platform
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from av.video.reformatter import VideoReformatter
from helpers import coded_frame, write_mp4, write_video
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from torch.utils.data import DataLoader
from torchvision.transforms import functional as F

from projects.vifi_clip.datasets import CheckedVideoDataset
from projects.vifi_clip.datasets.contained_video import open_video
from projects.vifi_clip.datasets.deferred import in_worker, on_device
from projects.vifi_clip.datasets.planes import planes_of
from projects.vifi_clip.datasets.transforms import sample_rng
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.datasets.video_reader import run_pipeline
from projects.vifi_clip.models import device_transforms
from projects.vifi_clip.models.device_transforms import make_frames, to_rgb

CONFIGS = Path(__file__).parents[2] / 'configs/_base_'
PIPELINES = Config.fromfile(CONFIGS / 'pipelines/frames16.py')
PIXELS = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
              format_shape='NCHW')
# swscale has other instructions elsewhere, with other last bits.
BITS = 0 if platform.machine() in ('x86_64', 'AMD64') else 2


def scene(size, count) -> list:
    """Soft colours with sharp edges and noise, as in films, that move."""
    width, height = size
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    waves = np.stack([127 + 100 * np.sin((rows + 7) / height * 5),
                      127 + 100 * np.cos(columns / width * 7),
                      (rows + columns) % 97 + 60.], -1)
    pictures = []
    for number in range(count):
        frame = np.roll(waves, 3 * number, 1) + rng.normal(0, 4, waves.shape)
        picture = np.ascontiguousarray(frame.clip(0, 255).astype(np.uint8))
        cv2.circle(picture, (width // 2 + number, height // 2), height // 4,
                   (230, 30, 40), -1)
        pictures.append(picture)
    return pictures


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp('videos')
    return dict(
        packed=write_mp4(folder / 'a.mp4', frames=scene((340, 256), 20)),
        small=write_mp4(folder / 'b.mp4', frames=scene((160, 122), 9)),
        tall=write_mp4(folder / 'c.mp4', frames=scene((240, 320), 17)),
        large=write_mp4(folder / 'd.mp4', frames=scene((720, 480), 4)),
        mjpeg=write_video(folder / 'e.avi', codec='mjpeg',
                          pictures=scene((160, 120), 9)),
        turned=write_video(folder / 'f.mp4', rotation=(90, False),
                           pictures=scene((160, 120), 9)))


def read(steps, path, seed=0) -> dict:
    with sample_rng(seed):
        return run_pipeline(Compose(steps).transforms, dict(
            filename=path, label=1, start_index=0, modality='RGB'))


def made(sample) -> torch.Tensor:
    clip = sample['data_samples'].pop('deferred', None)
    return make_frames([sample['inputs']], [clip])[0]


def apart(steps, path, seed=0) -> torch.Tensor:
    """How far a device's pixels are from a worker's."""
    expected = read(steps, path, seed)['inputs']
    found = made(read(on_device(steps), path, seed))
    assert found.shape == expected.shape
    assert torch.equal(found, found.float().round())
    return (found.float() - expected.float()).abs()


@pytest.mark.parametrize('kind', ['packed', 'small', 'tall', 'mjpeg',
                                  'turned'])
@pytest.mark.parametrize('part', ['val', 'views'])
def test_a_test_has_a_workers_pixels_to_two_levels(videos, part, kind):
    levels = apart(PIPELINES[f'{part}_pipeline'], videos[kind])
    assert levels.max() <= 1 and levels.mean() < .2


@pytest.mark.parametrize('kind', ['packed', 'small', 'tall', 'turned'])
def test_training_has_a_workers_pixels_to_a_few_levels(videos, kind):
    """Two resizings may leave two levels, which colours then multiply; grey
    and plain clips are among the draws."""
    plain = [step for step in PIPELINES.train_pipeline
             if step.type not in ('RandomApply', 'RandomGreyClip')]
    for seed in range(6):
        levels = apart(plain, videos[kind], seed)
        assert levels.max() <= 2 and levels.mean() < .3
        levels = apart(PIPELINES.train_pipeline, videos[kind], seed)
        assert levels.max() <= 12 and levels.mean() < .4


@pytest.mark.parametrize('reader, shape', [
    (dict(backend='pyav'), (9, 183, 160)),
    (dict(type='KeptVideoReader'), (9, 122, 160, 3)),
    (dict(backend='decord'), (16, 3, 224, 224))])
def test_readers(videos, reader, shape, tmp_path):
    """Those that have no planes hand over RGB; decord's frames are finished
    in the worker."""
    if 'type' in reader:
        reader = dict(reader, folder=str(tmp_path))
    steps = [dict(PIPELINES.val_pipeline[0], **reader),
             *PIPELINES.val_pipeline[1:]]
    assert read(on_device(steps), videos['small'])['inputs'].shape == shape
    assert apart(steps, videos['small']).max() <= 1


@pytest.mark.parametrize('crop', [
    dict(type='RandomResizedCrop', area_range=(.3, .9)),
    dict(type='RandomCrop', size=100)])
def test_other_crops(videos, crop):
    steps = [dict(crop) if step.type == 'MultiScaleCrop' else step
             for step in PIPELINES.train_pipeline]
    assert apart(steps, videos['small']).mean() < .4


def test_large_frames_are_finished_in_the_worker(videos):
    for part in 'train', 'views':
        steps = PIPELINES[f'{part}_pipeline']
        sample = read(on_device(steps), videos['large'])
        assert 'deferred' not in sample['data_samples']
        assert torch.equal(sample['inputs'],
                           read(steps, videos['large'])['inputs'])


def test_what_travels(videos):
    """Planes have half the bytes of RGB, and each frame goes once: of a short
    video with 4 x 3 views 9 frames, not 192."""
    steps = on_device(PIPELINES.views_pipeline)
    assert read(steps, videos['small'])['inputs'].shape == (9, 183, 160)
    assert read(steps, videos['turned'])['inputs'].shape == (9, 160, 120, 3)
    for kind in 'small', 'turned':
        assert len(read(steps, videos[kind])[
            'data_samples'].deferred.frames) == 192


# Colours


def _formula(planes, size, red, blue, full) -> np.ndarray:
    """RGB as the standards define it, from the weights of red and blue."""
    width, height = size
    flat = planes.ravel().astype(float)
    y = flat[:width * height].reshape(height, width)
    u, v = (np.kron(part.reshape(height // 2, width // 2), np.ones((2, 2)))
            for part in np.split(flat[width * height:] - 128, 2))
    if not full:
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    rgb = [y + 2 * (1 - red) * v, None, y + 2 * (1 - blue) * u]
    rgb[1] = (y - red * rgb[0] - blue * rgb[2]) / (1 - red - blue)
    return np.stack(rgb).clip(0, 255)


@pytest.mark.parametrize('full', [False, True])
@pytest.mark.parametrize('space, red, blue', [
    (1, .2126, .0722), (2, .299, .114), (4, .3, .11), (5, .299, .114),
    (6, .299, .114), (7, .212, .087), (9, .2627, .0593)])
def test_colours_are_the_readers(space, red, blue, full):
    """Bit for bit those of FFmpeg, and those of the standards."""
    rng = np.random.default_rng(space)
    for size in (340, 256), (62, 46), (6, 10):
        width, height = size
        planes = rng.integers(0, 256, (height * 3 // 2, width), np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format='yuv420p')
        frame.colorspace, frame.color_range = space, 1 + full
        expected = VideoReformatter().reformat(
            frame, format='rgb24').to_ndarray().astype(int)
        taken, yuv = planes_of(frame)
        rgb = to_rgb(torch.from_numpy(taken)[None], yuv)[0].numpy()
        assert (taken == planes).all()
        assert np.abs(rgb - expected.transpose(2, 0, 1)).max() <= BITS
        assert np.abs(rgb - _formula(planes, size, red, blue, full)
                      ).max() <= 3 + BITS


@pytest.mark.parametrize('codec, options', [
    ('libx264', {}), ('mjpeg', {}),
    ('libx264', {'x264-params': 'colormatrix=bt709:fullrange=on'})])
def test_planes_of_files(tmp_path, codec, options):
    """As the reader turns them to RGB, in the child process too."""
    path = write_video(tmp_path / ('a.avi' if codec == 'mjpeg' else 'a.mp4'),
                       codec, pictures=scene((96, 64), 12), **options)
    for in_order, kind in (False, open_video), (True, open_video), (
            False, VideoFile):
        video = kind(path, in_order)
        planes, yuv = video.planes([3, 3, 7])
        rgb = to_rgb(torch.from_numpy(np.asarray(planes)), yuv)
        expected = np.stack(video.frames([3, 3, 7])).transpose(0, 3, 1, 2)
        assert np.abs(rgb.numpy() - expected).max() <= BITS
        assert yuv.black == (0 if options or codec == 'mjpeg' else 16)


@pytest.mark.parametrize('codec, pix_fmt, size', [
    ('libx264', 'yuv444p', (96, 64)), ('libx264', 'yuv422p', (96, 64)),
    ('libx264', 'yuv420p10le', (96, 64)), ('libx264', 'yuv444p', (95, 63))])
def test_files_without_such_planes_give_rgb(tmp_path, codec, pix_fmt, size):
    path = str(tmp_path / 'a.mp4')
    with av.open(path, 'w') as file:
        stream = file.add_stream(codec, rate=25)
        stream.pix_fmt, (stream.width, stream.height) = pix_fmt, size
        for picture in scene(size, 6):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        file.mux(stream.encode())
    video = open_video(path)
    frames, yuv = video.planes([1, 4])
    assert yuv is None
    assert np.array_equal(frames, np.stack(video.frames([1, 4])))
    assert apart(PIPELINES.val_pipeline, path).max() <= 1


@pytest.mark.parametrize('codec', ['libx264', 'mpeg2video'])
def test_interlaced_files_give_rgb(tmp_path, codec):
    """swscale turns each field by itself; lines of another colour show it."""
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[::2, :, 0], stripes[1::2, :, 2] = 255, 255
    options = ({'x264-params': 'interlaced=1:tff=1'} if codec == 'libx264'
               else dict(flags='+ildct+ilme'))
    path = write_video(tmp_path / 'a.mkv', codec, pictures=6 * [stripes],
                       **options)
    frames, yuv = open_video(path).planes([1, 4])
    assert yuv is None and frames.shape == (2, 64, 96, 3)
    for part in 'val', 'views':
        assert apart(PIPELINES[f'{part}_pipeline'], path).max() <= 1


@pytest.mark.parametrize('name, strengths', [
    ('brightness', (.6, .83, 1., 1.4)), ('contrast', (.6, .83, 1., 1.4)),
    ('saturation', (0., .8, .93, 1.2)), ('hue', (-.1, -.033, 0., .01, .5))])
def test_each_operation_is_torchvisions_to_one_level(name, strengths):
    pictures = torch.from_numpy(np.stack(scene((48, 64), 2) + [
        coded_frame(9, (48, 64))] + [np.random.default_rng(0).integers(
            0, 256, (64, 48, 3), np.uint8)])).permute(0, 3, 1, 2)
    number = ('brightness', 'contrast', 'saturation', 'hue').index(name)
    for strength in strengths:
        found = device_transforms._recolour(
            pictures.float(), [((number, strength), )] * len(pictures))
        levels = (found - getattr(F, f'adjust_{name}')(
            pictures, strength).float()).abs()
        assert levels.max() <= 1 and (levels > 0).float().mean() < .01


def test_each_frame_has_its_own_order_of_operations():
    x = torch.randint(256, (3, 3, 8, 8)).float()
    steps = [((3, .1), (0, 1.2)), (), ((0, .7), (2, 0.), (3, -.05))]
    together = device_transforms._recolour(x.clone(), steps)
    alone = [device_transforms._recolour(x[i:i + 1].clone(), [steps[i]])
             for i in range(3)]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(together[1], x[1])


# Batches


@pytest.mark.parametrize('blend', [False, True])
def test_a_batch_of_several_sizes(videos, blend):
    """Through the data preprocessors, with a finished sample among them and
    mixup, under autocast as well."""
    cfg = dict(PIXELS, blending=blend and dict(
        type='MixupBlending', alpha=.8, num_classes=3) or None)
    worker, device = (MODELS.build(dict(cfg, type=kind)) for kind in (
        'ActionDataPreprocessor', 'DeviceTransforms'))
    steps, outputs = PIPELINES.train_pipeline, []
    names = 'packed', 'small', 'large', 'turned'
    for preprocessor, own in (worker, steps), (device, on_device(steps)):
        batch = pseudo_collate([read(own, videos[name], 4) for name in names])
        for precision in torch.float32, torch.bfloat16:
            with sample_rng(0), torch.autocast(
                    'cpu', precision, enabled=precision is torch.bfloat16):
                outputs.append(preprocessor(copy.deepcopy(batch), blend))
    x, _, y, low = (output['inputs'] for output in outputs)
    assert x.shape == y.shape and x.dtype == y.dtype == torch.float32
    assert torch.equal(y, low)
    levels = (x - y).abs() * torch.tensor(PIXELS['std']).view(3, 1, 1)
    assert levels.mean() < .3 and levels.max() <= 12.01
    for mine, theirs in zip(outputs[2]['data_samples'],
                            outputs[0]['data_samples']):
        assert torch.equal(mine.gt_label, theirs.gt_label)
        assert 'deferred' not in mine


@pytest.mark.parametrize('part', ['val', 'train'])
def test_a_batch_whose_frames_differ_in_size(videos, part):
    """A crop leaves what is smaller as it is."""
    steps = on_device([step for step in PIPELINES[f'{part}_pipeline']
                       if step.type not in ('Resize', 'MultiScaleCrop')])
    batch = pseudo_collate([read(steps, videos[name], 4)
                            for name in ('small', 'turned')])
    model = MODELS.build(dict(PIXELS, type='DeviceTransforms'))
    with pytest.raises(ValueError, match=r'\(16, 3.*\(16, 3.*batch_size=1'):
        model(batch)


def test_two_workers_give_what_none_does(videos, tmp_path):
    """The samples of an epoch, and those of a worker's transforms."""
    (tmp_path / 'list.txt').write_text(''.join(
        f'{videos[kind]} 0\n' for kind in ('packed', 'small', 'tall')))

    def epoch(steps, workers) -> list:
        dataset = CheckedVideoDataset(
            str(tmp_path / 'list.txt'), steps, seed=3,
            data_prefix=dict(video=''))
        loader = DataLoader(dataset, 2, num_workers=workers,
                            collate_fn=pseudo_collate)
        model = MODELS.build(dict(PIXELS, type='DeviceTransforms'))
        return [model(batch)['inputs'] for batch in loader]

    steps = PIPELINES.train_pipeline
    none, two = (epoch(on_device(steps), workers) for workers in (0, 2))
    for x, y, z in zip(none, two, epoch(steps, 0)):
        assert torch.equal(x, y)
        assert (x - z).abs().mean() < .4 / 57


@pytest.mark.parametrize('samples', [None, [None]])
def test_other_inputs_pass_as_ever(samples):
    model = MODELS.build(dict(PIXELS, type='DeviceTransforms'))
    batch = dict(inputs=[torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)],
                 data_samples=samples)
    expected = ActionDataPreprocessor(**PIXELS)(dict(batch))
    assert torch.equal(model(dict(batch))['inputs'], expected['inputs'])


def test_pipelines_change_and_change_back():
    for part in 'train', 'val', 'views':
        steps = PIPELINES[f'{part}_pipeline']
        changed = on_device(steps)
        assert [step['type'] for step in changed] != [
            step['type'] for step in steps]
        assert in_worker(changed) == in_worker(steps) == [
            dict(step) for step in steps]


@pytest.mark.parametrize('step, named', [
    (dict(type='TenCrop', crop_size=8), 'TenCrop'),
    (dict(type='RandomApply', prob=1, transforms=[
        dict(type='ColorJitter')]), 'ColorJitter')])
def test_steps_that_cannot_be_put_off(step, named):
    with pytest.raises(ValueError, match=named):
        on_device([step])


@pytest.mark.parametrize('step, named', [
    (dict(type='Resize', scale=(-1, 32), interpolation='bicubic'), 'bicubic'),
    (dict(type='FormatShape', input_format='NCTHW'), 'NCTHW')])
def test_settings_that_cannot_be_put_off(videos, step, named):
    steps = [step if step['type'] == old['type'] else old
             for old in PIPELINES.val_pipeline]
    with pytest.raises(ValueError, match=named):
        read(on_device(steps), videos['small'])
