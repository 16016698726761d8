import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_bad, read_index, write_mp4
from mmengine.dataset import BaseDataset, pseudo_collate, worker_init_fn
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from projects.vifi_clip.datasets import CheckedVideoDataset


def pipeline(reader=None):
    """VideoReader with DecordDecode, as in configs before VideoDecode; or a
    reader of MMAction2."""
    return [
        dict(type=f'{reader}Init' if reader else 'VideoReader'),
        dict(type='SampleFrames', clip_len=1, num_clips=2),
        dict(type=f'{reader or "Decord"}Decode'),
        dict(type='FormatShape', input_format='NCHW'),
        dict(type='PackActionInputs', meta_keys=('filename', 'sample_idx')),
    ]


def indices(data):
    return [read_index(img) for img in data['inputs'].permute(0, 2, 3, 1)]


class Folder:
    """Ten good videos, some of which a test may spoil."""

    def __init__(self, path):
        self.path = path
        write_mp4(path / 'whole.mp4', 20)
        self.names = [f'v{i}.mp4' for i in range(10)]
        for name in self.names:
            (path / name).symlink_to(path / 'whole.mp4')
        self.write_list(f'{name} {i}' for i, name in enumerate(self.names))

    def write_list(self, lines):
        self.list = str(self.path / 'list.txt')
        (self.path / 'list.txt').write_text('\n'.join(lines) + '\n')

    def spoil(self, idx, content=b'not a video'):
        path = self.path / self.names[idx]
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        return str(path)

    def dataset(self, **kwargs):
        return CheckedVideoDataset(**dict(dict(
            ann_file=self.list, pipeline=pipeline(),
            data_prefix=dict(video=str(self.path))), **kwargs))


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def log(tmp_path):
    """Text of the log so far, of workers too."""
    path = tmp_path / 'log.txt'
    MMLogger.get_instance(str(tmp_path), log_file=str(path))
    return path.read_text


def load(dataset, num_workers=0, **kwargs):
    """Inputs of one pass, in order."""
    loader = DataLoader(dataset, 2, num_workers=num_workers,
                        collate_fn=pseudo_collate, **kwargs)
    return [x for batch in loader for x in batch['inputs']]


# The list and the class file


def test_good_list(folder):
    classes = folder.path / 'c.txt'
    classes.write_text('\n'.join('abcdefghij'))
    dataset = folder.dataset(class_file=str(classes))
    assert len(dataset) == 10
    assert dataset.metainfo['classes'] == list('abcdefghij')
    assert [dataset.get_data_info(i)['label'] for i in range(10)
            ] == list(range(10))
    assert dataset.bad_videos == []
    assert dataset[-7]['data_samples'].gt_label.tolist() == [3]
    first, second = indices(dataset[-7])  # one of each half of the video
    assert 0 <= first < 10 <= second < 20


@pytest.mark.parametrize('kwargs, name', [
    (dict(max_bad_ratio=1.1), 'max_bad_ratio'),
    (dict(on_bad_video='skip', test_mode=True), 'on_bad_video'),
    (dict(on_bad_video='count_as_wrong'), 'test_mode'),
    (dict(seed=-1), 'seed'),
    (dict(class_file='{}/c.txt'), 'list.txt:10'),
    (dict(class_file='{}/c.txt', num_classes=10), 'num_classes=10'),
    (dict(class_file='{}/no.txt'), 'no.txt'),
    (dict(ann_file='no.txt', num_classes=10), 'no.txt'),
    (dict(multi_class=True, num_classes=10), 'multi_class=True')])
def test_settings_that_are_refused(folder, kwargs, name):
    (folder.path / 'c.txt').write_text('\n'.join('abcdefghi'))
    if 'class_file' in kwargs:
        kwargs = dict(kwargs, class_file=kwargs['class_file'].format(
            folder.path))
    with pytest.raises((ValueError, FileNotFoundError), match=name):
        folder.dataset(**kwargs)


def test_names_with_spaces_and_without_ending(folder):
    (folder.path / 'my dir').mkdir()
    write_mp4(folder.path / 'my dir' / 'a b.mp4', 4)
    folder.write_list(['my dir/a b.mp4 1', 'my dir/a b 2'])
    dataset = folder.dataset(ann_file='list.txt', data_root=str(folder.path),
                             data_prefix=dict(video=''))
    labels = [dataset[i]['data_samples'].gt_label.tolist() for i in (0, 1)]
    assert labels == [[1], [2]] and dataset.bad_videos == []


def test_unlabelled(folder):
    folder.write_list(['v0.mp4', 'v1.mp4'])
    assert folder.dataset(test_mode=True).get_data_info(1)['label'] == -1
    with pytest.raises(ValueError):
        folder.dataset()


# Bad videos


# VideoReader's own kinds are in test_video_file.py; decord crashes the
# process on the cut AVI; PyAVDecode takes what is there of cut pictures.
@pytest.mark.parametrize('reader, kind', [
    (None, 'cut.mp4'),
    *(('Decord', kind) for kind in ('empty', 'text', 'end_lost.mp4',
                                    'cut.mp4', 'cut.avi')),
    *(('PyAV', kind) for kind in ('empty', 'text', 'end_lost.mp4', 'mkv'))])
def test_every_kind_of_bad_file(folder, log, reader, kind):
    # PyAVInit takes the frame count from the header; Matroska has none.
    path = (write_mp4(folder.path / 'v.mkv', 4) if kind == 'mkv' else
            make_bad(kind, folder.path))
    name = folder.spoil(4, Path(path).read_bytes())
    dataset = folder.dataset(
        max_bad_ratio=0.1, pipeline=pipeline(reader), seed=0)
    assert dataset[4]['data_samples'].filename != name  # another one
    assert dataset.bad_videos == [name]
    assert name in log() and '1 of 10' in log()
    test = folder.dataset(test_mode=True, pipeline=pipeline(reader))
    with pytest.raises(RuntimeError, match=r'v4.mp4: .*count_as_wrong'):
        test[4]


def test_cut_at_any_place_is_bad_or_a_clean_start(folder):
    """Frames that are lost at the end are as the last one."""
    path = folder.path / 'v0.mp4'
    path.unlink()
    whole = Path(write_mp4(path, 12, faststart=True)).read_bytes()
    every_frame = pipeline()
    every_frame[1] = dict(type='SampleFrames', clip_len=12)
    dataset = folder.dataset(test_mode=True, pipeline=every_frame)
    assert indices(dataset[0]) == list(range(12))
    sizes, bad = range(0, len(whole), 61), 0
    for size in sizes:
        path.write_bytes(whole[:size])
        try:
            frames = indices(dataset[0])
        except RuntimeError:
            bad += 1
            continue
        assert frames[:11] == list(range(11)) and frames[11] in (0, 10, 11)
    assert bad > len(sizes) // 2


def test_absent_videos(folder, log):
    names = [folder.spoil(idx, None) for idx in (2, 5)]
    with pytest.raises(RuntimeError, match=r'2 of the 10.*v2.mp4.*v5.mp4'):
        folder.dataset(max_bad_ratio=0.1)
    dataset = folder.dataset(max_bad_ratio=0.2)
    assert dataset.bad_videos == names and names[0] in log()
    assert dataset[2]['data_samples'].filename not in names
    with pytest.raises(FileNotFoundError, match=r'2 of the 10.*v2.mp4'):
        folder.dataset(test_mode=True)
    # Videos outside the chosen part do not matter.
    part = folder.dataset(test_mode=True, indices=[3, 4], lazy_init=True)
    assert part.bad_videos == [] and len(part) == 2
    assert part[-1]['data_samples'].gt_label.tolist() == [4]
    dataset = folder.dataset(test_mode=True, on_bad_video='count_as_wrong')
    assert dataset[5]['data_samples'].bad_video
    # Other storage is not looked for on this disk.
    steps = pipeline()
    steps[0]['io_backend'] = 'http'
    dataset = folder.dataset(
        pipeline=steps, data_prefix=dict(video='/not/on/this/machine'))
    assert len(dataset) == 10 and dataset.bad_videos == []


def test_too_many_bad_videos(folder):
    for idx in (2, 5):
        folder.spoil(idx)
    dataset = folder.dataset(max_bad_ratio=0.1)
    # dataset[2] would read another one instead, perhaps the other bad one
    assert dataset.prepare_data(2) is None
    assert dataset.prepare_data(2) is None  # it does not count twice
    with pytest.raises(RuntimeError,
                       match='2 of the 10.*v2.mp4.*v5.mp4'):
        dataset[5]
    # All are too many, whatever the bound.
    folder.write_list(['v1.mp4 0', 'v2.mp4 1'])
    folder.spoil(1)
    with pytest.raises(RuntimeError, match='2 of the 2'):
        folder.dataset(max_bad_ratio=1.0)[0]
    dataset = folder.dataset(test_mode=True, on_bad_video='count_as_wrong')
    with pytest.raises(RuntimeError, match='v1.mp4.*v2.mp4'):
        dataset[0]


def test_what_the_pipeline_does_is_not_the_videos_fault(folder):

    def fail(results):
        raise RuntimeError('our own mistake')

    def upper_half(data):
        return data if data['data_samples'].gt_label > 4 else None

    steps = pipeline()
    no_sampling = steps[:1] + steps[2:]
    for broken, error in (([*steps, fail], RuntimeError),
                          (no_sampling, KeyError)):
        dataset = folder.dataset(pipeline=broken, max_bad_ratio=1.0)
        with pytest.raises(error):
            dataset[0]
        assert dataset.bad_videos == []
    dataset = folder.dataset(pipeline=[*steps, upper_half])
    assert dataset[0]['data_samples'].gt_label > 4
    assert dataset.bad_videos == []


def test_count_as_wrong(folder, log):
    names = [folder.spoil(idx) for idx in (9, 0)]
    dataset = folder.dataset(test_mode=True, on_bad_video='count_as_wrong')
    sample = dataset[9]['data_samples']
    # Pixels of v1, the next that can be read; all else is its own.
    assert sample.bad_video
    assert sample.gt_label.tolist() == [9] and sample.sample_idx == 9
    assert sample.filename == names[0]
    assert sorted(dataset.bad_videos) == sorted(names)
    assert 'bad_video' not in dataset[1]['data_samples'].metainfo
    assert all(name in log() for name in names)


# Workers


@pytest.mark.parametrize('context', [
    'fork', pytest.param('spawn', marks=pytest.mark.slow)])
def test_workers_share_the_count(folder, log, context):
    bad = [folder.spoil(idx) for idx in (0, 3)]
    dataset = folder.dataset(max_bad_ratio=0.2)
    options = dict(num_workers=2 if context == 'fork' else 1,
                   multiprocessing_context=context)
    assert len(load(dataset, **options)) == 10
    assert dataset.bad_videos == bad
    if context == 'fork':
        assert all(log().count(name) == 1 for name in bad)
        folder.spoil(6)
        with pytest.raises(RuntimeError, match='3 of the 10.*max_bad_ratio'):
            load(dataset, **options)


# Reproducible augmentation


def same(left, right):
    return len(left) == len(right) and all(map(torch.equal, left, right))


def draw(results=None):
    """Draw from all three generators."""
    drawn = [random.random(), np.random.rand(), float(torch.rand(()))]
    return drawn if results is None else dict(results, imgs=np.array(drawn))


DRAWING = [*pipeline()[:3], draw, pipeline()[-1]]


def test_samples_do_not_depend_on_workers_or_past(folder):
    folder.spoil(5)  # its stand-in must be the same one too

    def dataset(epoch=0, seed=7):
        data = folder.dataset(pipeline=DRAWING, max_bad_ratio=0.1, seed=seed)
        data.set_epoch(epoch)
        return data

    first = load(dataset())
    assert len({tuple(x.tolist()) for x in first}) >= 9
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    init = partial(worker_init_fn, num_workers=2, rank=0, seed=1)
    assert same(first, load(dataset(), num_workers=2, worker_init_fn=init))
    second = load(dataset(epoch=1))
    assert not same(first, second)
    assert not same(first, load(dataset(seed=8)))
    # Going on from epoch 0 equals starting at epoch 1.
    data = dataset()
    load(data)
    data.set_epoch(1)
    assert same(second, load(data))


def test_persistent_workers_see_the_epoch(folder):
    dataset = folder.dataset(pipeline=DRAWING, seed=7)
    loader = DataLoader(
        dataset, 1, num_workers=1, persistent_workers=True,
        collate_fn=pseudo_collate)
    first, again = ([b['inputs'][0] for b in loader] for _ in range(2))
    dataset.set_epoch(1)
    second = [batch['inputs'][0] for batch in loader]
    assert same(first, again) and not same(first, second)


def test_generators_of_the_main_process_are_left_alone(folder):
    folder.spoil(3)
    dataset = folder.dataset(pipeline=DRAWING, max_bad_ratio=0.1, seed=7)

    def draws_around(between):
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        before = draw()
        between()
        return before + draw()

    undisturbed = draws_around(lambda: None)
    for idx in 3, 4:
        assert draws_around(lambda: dataset[idx]) == undisturbed
    free = folder.dataset(pipeline=DRAWING)  # follows the generators
    assert not torch.equal(free[4]['inputs'], free[4]['inputs'])


@pytest.mark.parametrize('serialize', [True, False])
def test_subsets_keep_their_bad_videos(folder, serialize):
    # With this MMEngine took an object for one that had been at its address.
    memo, = BaseDataset._copy_without_annotation.__defaults__
    before, name = len(memo), folder.spoil(4)
    dataset = folder.dataset(max_bad_ratio=0.5, serialize_data=serialize)
    dataset[4]
    tail = dataset.get_subset(-6)
    assert len(memo) == before
    assert len(tail) == 6 and tail.bad_videos == [name]
    assert tail[0]['data_samples'].filename != name
    assert dataset.get_subset(3).bad_videos == []
    folder.spoil(7)
    tail[3]
    assert len(tail.bad_videos) == 2 and dataset.bad_videos == [name]
    dataset.get_subset_([4, 1])
    assert len(dataset) == 2 and dataset.bad_videos == [name]
    assert dataset[1]['data_samples'].gt_label.tolist() == [1]
