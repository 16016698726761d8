"""Decoding once: fewer calls of the decoder, the same pixels."""
from pathlib import Path

import av
import decord
import mmcv
import numpy as np
import pytest
import torch
from helpers import coded_frame, read_index, write_mp4
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from projects.vifi_clip.datasets import RepeatFrames
from projects.vifi_clip.datasets.transforms import sample_rng

CONFIGS = Path(__file__).parents[2] / 'configs/_base_'
SIZE = (96, 64)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmaction')


def write_vfr(path, num_frames=40) -> str:
    """A clip with B-frames, key frames every 12, and uneven steps of time."""
    options = dict(crf='12', threads='1', g='12', bf='3', **{
        'x264-params': 'b-adapt=0:scenecut=0'})
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = 'yuv420p'
        for i in range(num_frames):
            frame = av.VideoFrame.from_ndarray(coded_frame(i, SIZE), 'rgb24')
            frame.pts = i * 2 + (i % 5 == 0)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        kinds = {frame.pict_type for frame in frames}
        steps = set(np.diff([frame.pts for frame in frames]))
    assert av.video.frame.PictureType.B in kinds and len(steps) > 1
    return str(path)


def build(steps) -> Compose:
    """ColorJitter draws its order when it is built."""
    with sample_rng(5):
        return Compose(steps)


def plain(steps) -> Compose:
    """The same pipeline of MMAction2's own readers."""
    return build([
        dict(step, type=step['type'].removesuffix('Once').replace(
            'VideoReader', 'DecordInit')) for step in steps
        if step['type'] != 'RepeatFrames'])


def run(pipeline, path, seed=3) -> torch.Tensor:
    with sample_rng(seed):
        sample = dict(filename=path, label=1, start_index=0, modality='RGB')
        return pipeline(sample)['inputs']


@pytest.fixture
def counted(monkeypatch):
    """Indices that decord was asked for, one list for each call."""
    calls, get_batch = [], decord.VideoReader.get_batch

    def counting(self, indices):
        calls.append(np.asarray(indices).tolist())
        return get_batch(self, indices)

    monkeypatch.setattr(decord.VideoReader, 'get_batch', counting)
    return calls


@pytest.fixture
def resized(monkeypatch):
    """Sizes of the pictures that were resized."""
    sizes, imresize = [], mmcv.imresize

    def counting(img, size, **kwargs):
        sizes.append(size)
        return imresize(img, size, **kwargs)

    monkeypatch.setattr(mmcv, 'imresize', counting)
    return sizes


PIPELINES = [(name, part) for name, parts in {
    'pipelines/frames16.py': ('train', 'val', 'views'),
    'pipelines/frames32.py': ('train', 'val', 'views'),
    'datasets/mini.py': ('train', 'val', 'test')}.items() for part in parts]


@pytest.mark.parametrize('name, part', PIPELINES)
@pytest.mark.parametrize('kind', ['long', 'short', 'vfr'])
def test_base_pipelines_give_the_same_bytes(tmp_path, name, part, kind):
    path = write_vfr(tmp_path / 'v.mp4') if kind == 'vfr' else write_mp4(
        tmp_path / 'v.mp4', 70 if kind == 'long' else 5, SIZE)
    steps = Config.fromfile(CONFIGS / name)[f'{part}_pipeline']
    assert 'DecordDecodeOnce' in [step.type for step in steps]
    found, expected = run(build(steps), path), run(plain(steps), path)
    # pixels travel as bytes; the data preprocessor normalises on the device
    assert found.dtype == expected.dtype == torch.uint8
    assert found.shape == expected.shape and torch.equal(found, expected)


def test_jitter_stays_in_bytes(tmp_path):
    """Of the train pipeline's branches each comes up among a few draws."""
    path = write_mp4(tmp_path / 'v.mp4', 8, SIZE, index_coded=False)
    steps = Config.fromfile(CONFIGS / 'pipelines/frames16.py').train_pipeline
    once, old, grey = build(steps), plain(steps), set()
    for seed in range(12):
        found = run(once, path, seed)
        assert found.dtype == torch.uint8
        assert torch.equal(found, run(old, path, seed))
        grey.add(torch.equal(found[:, 0], found[:, 1]))
    assert grey == {True, False}


def test_four_views_run_through_the_video_once(tmp_path, counted, resized):
    path = write_mp4(tmp_path / 'v.mp4', 100, SIZE)
    steps = Config.fromfile(CONFIGS / 'pipelines/frames16.py').views_pipeline
    inputs = run(build(steps), path)
    assert inputs.shape == (3 * 4 * 16, 3, 224, 224)
    asked, = counted
    assert len(asked) == 64 and asked == sorted(set(asked))
    assert len(resized) == 64
    # view by view, each in order of time, over the whole video
    index = np.array([read_index(frame) for frame in
                      inputs.permute(0, 2, 3, 1).numpy()]).reshape(3, 4, 16)
    assert (index == index[0]).all() and (np.diff(index) > 0).all()
    assert sorted(index[0].ravel()) == asked


@pytest.mark.parametrize('part, resizes', [
    ('train', 2), ('val', 1), ('views', 1)])
def test_short_videos_decode_each_frame_once(tmp_path, counted, resized, part,
                                             resizes):
    path = write_mp4(tmp_path / 'v.mp4', 5, SIZE)
    steps = Config.fromfile(CONFIGS / 'pipelines/frames16.py')[
        f'{part}_pipeline']
    run(build(steps), path)
    asked, = counted
    assert asked == sorted(set(asked)) and len(asked) <= 5
    assert len(resized) == resizes * len(asked)


@pytest.mark.parametrize('init, reader', [
    ('DecordInit', 'DecordDecodeOnce'), ('PyAVInit', 'PyAVDecodeOnce'),
    ('OpenCVInit', 'OpenCVDecodeOnce')])
@pytest.mark.parametrize('frames', [5, 60])
def test_readers_agree_with_mmaction(tmp_path, init, reader, frames):
    path = write_mp4(tmp_path / 'v.mp4', frames, SIZE)
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
        pipeline(dict(filename=path, label=1, start_index=0))
        for pipeline in (Compose(steps), plain(steps))
    ]
    assert torch.equal(*(sample['inputs'] for sample in samples))
    boxes = [sample['data_samples'].crop_bbox for sample in samples]
    assert (boxes[0] == boxes[1]).all() and len(boxes[0]) == 36


@pytest.mark.parametrize('threads', [1, 3])
def test_pyav_keeps_only_wanted_frames(tmp_path, threads):
    path = write_vfr(tmp_path / 'v.mp4')
    steps = [dict(type='PyAVInit'),
             dict(type='PyAVDecodeOnce', multi_thread=threads > 1)]
    results = dict(filename=path, frame_inds=np.array([30, 2, 30, 7]))
    results = Compose(steps)(results)
    assert [read_index(img) for img in results['imgs']] == [2, 7, 30]
    assert results['frame_inds'].tolist() == [30, 2, 30, 7]
    results = RepeatFrames()(results)
    assert [read_index(img) for img in results['imgs']] == [30, 2, 30, 7]
    # Fewer frames than announced: as MMAction2's, from the first one again.
    imgs = [Compose([dict(type='PyAVInit'), dict(type=reader),
                     dict(type='RepeatFrames')])(
        dict(filename=path, frame_inds=np.array([4, 41, 1])))['imgs']
        for reader in ('PyAVDecodeOnce', 'PyAVDecode')]
    assert [read_index(img) for img in imgs[0]] == [4, 1, 1]
    assert all((a == b).all() for a, b in zip(*imgs))


def test_repeating_copies_nothing_and_refuses_other_counts():
    imgs = [np.full((2, 2, 3), i, np.uint8) for i in range(2)]
    places = np.array([1, 0, 0])
    out = RepeatFrames()(dict(imgs=imgs, frame_repeats=places))['imgs']
    assert [o is imgs[i] for o, i in zip(out, places)] == [True] * 3
    assert RepeatFrames()(dict(imgs=imgs))['imgs'] is imgs
    with pytest.raises(ValueError, match='RepeatFrames'):
        RepeatFrames()(dict(imgs=imgs[:1], frame_repeats=places))


def test_batches_stay_bytes_on_their_way(tmp_path):
    """Through a worker and MMEngine's collation to the preprocessor, whose
    float32 equals the plain computation."""
    from mmaction.registry import MODELS
    from mmengine.runner import Runner
    names = [Path(write_mp4(tmp_path / f'{i}.mp4', 20, SIZE)).name
             for i in range(2)]
    (tmp_path / 'val.txt').write_text(''.join(f'{n} 0\n' for n in names))
    steps = Config.fromfile(CONFIGS / 'pipelines/frames16.py').val_pipeline
    loader = Runner.build_dataloader(dict(
        batch_size=2, num_workers=1, persistent_workers=False,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='CheckedVideoDataset', ann_file='val.txt',
                     data_root=str(tmp_path), data_prefix=dict(video=''),
                     pipeline=steps, test_mode=True)))
    batch, = list(loader)
    assert [x.dtype for x in batch['inputs']] == [torch.uint8] * 2
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    preprocessor = MODELS.build(dict(
        type='ActionDataPreprocessor', mean=mean, std=std))
    pixels = torch.stack([run(plain(steps), str(tmp_path / name))
                          for name in names])
    expected = (pixels.double() - torch.tensor(mean).double()[:, None, None]
                ) / torch.tensor(std).double()[:, None, None]
    found = preprocessor(batch)['inputs']
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)
