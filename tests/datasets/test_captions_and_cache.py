"""Data sets of captions, where every pair comes once and bad lists and videos
are told; the files of the frame cache, without a model."""
import json
import pickle

import numpy as np
import pytest
import torch
from helpers import write_mp4
from mmaction.datasets import VideoTextDataset
from mmaction.registry import DATASETS
from tiny import tiny_arch

from projects.vifi_clip.datasets.frame_cache import (VERSION, FrameCache,
                                                     FrameCacheWriter,
                                                     cache_key,
                                                     pipeline_identity)
from projects.vifi_clip.datasets.video_dataset import video_id
from projects.vifi_clip.errors import UserError

CAPTIONS = {
    'a.mp4': ['a man cooks', 'someone in a kitchen'],
    'sub/b.mp4': ['a dog'],
    'c d.mp4': ['two cars', 'cars', 'a race']
}
PIPELINE = [
    dict(type='VideoReader'),
    dict(type='SparseSampleViews', num_frames=2),
    dict(type='DecordDecode'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='OpenCLIPTokenize', arch=tiny_arch()),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text'))
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'videos' / 'sub').mkdir(parents=True)
    for name in CAPTIONS:
        write_mp4(tmp_path / 'videos' / name, 6, (64, 48))
    return tmp_path


def build(folder, content=CAPTIONS, **kwargs):
    (folder / 'list.json').write_text(
        content if isinstance(content, str) else json.dumps(content))
    return DATASETS.build(dict(dict(
        type='CheckedVideoTextDataset', ann_file='list.json',
        data_root=str(folder), data_prefix=dict(video='videos'),
        pipeline=PIPELINE), **kwargs))


def test_every_pair_is_a_sample(folder):
    dataset = build(folder)
    assert isinstance(dataset, VideoTextDataset)
    pairs = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [(p['filename'], p['text']) for p in pairs] == [
        (str(folder / 'videos' / name), text)
        for name, texts in CAPTIONS.items() for text in texts]
    theirs = VideoTextDataset(
        str(folder / 'list.json'), PIPELINE,
        data_prefix=dict(video=str(folder / 'videos')))
    for i, pair in enumerate(pairs):
        assert theirs.get_data_info(i).items() <= pair.items()
    samples = [dataset[i] for i in range(len(dataset))]
    # samples tell videos apart, by the same numbers in every process:
    # printf a.mp4 | sha256sum | cut -c1-16, halved
    assert video_id('a.mp4') == 8316538096228261424
    assert [int(sample['data_samples'].gt_label) for sample in samples] == [
        video_id(pair['filename']) for pair in pairs]
    inputs = samples[2]['inputs']
    assert inputs['imgs'].shape == (2, 3, 48, 64)
    assert inputs['text'].shape == (24, )
    assert not torch.equal(inputs['text'], samples[0]['inputs']['text'])


ONE = {name: texts[:1] for name, texts in CAPTIONS.items()}


@pytest.mark.parametrize('content', [
    '{"a.mp4": ["a man"],}', '{"a.mp4": ["a"], "a.mp4": ["b"]}', {},
    ['a.mp4'], {'a.mp4': 'a man'}, {'a.mp4': []}, {'a.mp4': ['a man', ' ']},
    {'a.mp4': [3]}])
def test_malformed_list(folder, content):
    with pytest.raises(ValueError, match='list.json'):
        build(folder, content)


def test_a_test_list_has_one_caption_per_video(folder):
    assert len(build(folder, ONE, test_mode=True)) == 3
    with pytest.raises(ValueError, match='a.mp4'):
        build(folder, test_mode=True)
    with pytest.raises(ValueError, match='on_bad_video'):
        build(folder, ONE, test_mode=True, on_bad_video='count_as_wrong')


@pytest.mark.parametrize('absent', [True, False])
def test_bad_video(folder, absent):
    bad = folder / 'videos' / 'a.mp4'
    bad.unlink() if absent else bad.write_bytes(b'')
    for kwargs in dict(test_mode=True), {}:
        with pytest.raises((FileNotFoundError, RuntimeError), match='a.mp4'):
            build(folder, ONE, max_bad_ratio=0.1, **kwargs)[0]
    dataset = build(folder, ONE, max_bad_ratio=0.5)
    # another pair takes its place
    assert int(dataset[0]['data_samples'].gt_label) != video_id(str(bad))
    assert dataset.bad_videos == [str(bad)]


SETTINGS = dict(version=VERSION, dtype='float32', num_frames=2, embed_dim=3,
                weights='abc', made_with=dict(config='a.py'))


def rows(count, start=0) -> np.ndarray:
    return np.arange(start * 6, (start + count) * 6,
                     dtype=np.float32).reshape(count, 2, 3)


def begin(folder, keys, name='train.txt', sizes=None, **changes):
    return FrameCacheWriter(str(folder), dict(SETTINGS, **changes), name,
                            keys, sizes or [0] * len(keys))


def write(folder, keys, *args, start=0, **changes) -> None:
    writer = begin(folder, keys, *args, **changes)
    writer.append(rows(len(keys), start))
    writer.finish()


def read(folder) -> FrameCache:
    return FrameCache(str(folder))


@pytest.mark.parametrize('filename, root, key', [
    ('data/videos/a/b.mp4', 'data/videos', 'a/b.mp4'),
    ('data/videos/./a//b.mp4', 'data/videos', 'a/b.mp4'),
    ('a/b.mp4', '', 'a/b.mp4'), ('a/b.mp4', None, 'a/b.mp4'),
    ('/else/b.mp4', 'data/videos', '/else/b.mp4')])
def test_keys_do_not_depend_on_the_folder(filename, root, key):
    assert cache_key(filename, root) == key


def test_identity_of_pipelines():
    """Decoding once and threads change no pixel; sizes do."""

    def pipeline(decode, size=8, **init):
        return [dict(type='DecordInit', **init), dict(type=decode),
                dict(type='Resize', scale=(-1, size))]

    plain = pipeline_identity(pipeline('DecordDecode'))
    once = pipeline('DecordDecodeOnce', num_threads=4)
    once.append(dict(type='RepeatFrames'))
    assert pipeline_identity(once) == plain
    once[0]['type'] = 'VideoReader'
    assert pipeline_identity(once) != plain
    assert pipeline_identity(pipeline('DecordDecode', 9)) != plain
    assert pipeline_identity(pipeline('PyAVDecode')) != plain


def test_two_lists_in_one_folder(tmp_path):
    write(tmp_path, ['a.mp4', 'b.mp4'])
    write(tmp_path, ['c.mp4'], 'val.txt', made_with='not compared')
    cache = read(tmp_path)
    assert list(cache.places) == ['a.mp4', 'b.mp4', 'c.mp4']
    for key, row in dict(a=0, b=1, c=0).items():
        assert np.array_equal(cache[f'{key}.mp4'], rows(1, row)[0])
    cache['a.mp4'][:] = 7  # a copy
    assert np.array_equal(cache['a.mp4'], rows(1)[0])
    write(tmp_path, ['b.mp4', 'd.mp4'], 'more.txt', start=1)
    cache = read(tmp_path)  # a video of two lists is one
    cache.check_holds(['a.mp4', 'b.mp4', 'c.mp4', 'd.mp4'], 'all.txt')
    assert np.array_equal(cache['b.mp4'], rows(1, 1)[0])
    (tmp_path / 'cache.json').write_text(json.dumps(
        dict(SETTINGS, version=VERSION + 1)))
    with pytest.raises(UserError, match='version'):
        read(tmp_path)


def test_a_copy_for_another_process_holds_no_data(tmp_path):
    writer = begin(tmp_path, [f'{i}.mp4' for i in range(500)], embed_dim=512)
    writer.append(np.ones((500, 2, 512), np.float32))
    writer.finish()
    cache = read(tmp_path)
    assert cache['7.mp4'].shape == (2, 512)  # mapped now
    packed = pickle.dumps(cache)
    assert len(packed) < 500 * 2 * 512 * 4 / 50
    assert (pickle.loads(packed)['7.mp4'] == 1).all()


def test_unfinished_files_do_not_count(tmp_path):
    keys = [f'{i}.mp4' for i in range(600)]
    writer = begin(tmp_path, keys)
    for start in range(0, 500, 100):
        writer.append(rows(100, start))
    del writer  # as if killed: what was noted last is kept
    assert not read(tmp_path).places
    writer = begin(tmp_path, keys)
    assert writer.done == 300  # noted at 256 rows and more
    writer.append(rows(300, writer.done))
    writer.finish()
    cache = read(tmp_path)
    for i in 0, 299, 300, 599:
        assert np.array_equal(cache[f'{i}.mp4'], rows(1, i)[0])


def test_a_cut_part_is_made_anew(tmp_path):
    keys = ['a.mp4', 'b.mp4', 'c.mp4']
    writer = begin(tmp_path, keys)
    writer.append(rows(2))
    writer.note()
    del writer
    part, = tmp_path.glob('*.npy.part')
    with open(part, 'r+b') as file:
        file.truncate(part.stat().st_size - 30)
    again = begin(tmp_path, keys)
    assert again.done == 0
    again.append(rows(3))
    again.finish()
    assert np.array_equal(read(tmp_path)['b.mp4'], rows(3)[1])


@pytest.mark.parametrize('dtype, value', [('float32', np.nan),
                                          ('float16', 1e6)])
def test_values_that_are_no_numbers(tmp_path, dtype, value):
    bad = rows(2)
    bad[1, 0, 0] = value
    with pytest.raises(UserError, match=f'b.mp4.*{dtype}'):
        begin(tmp_path, ['a.mp4', 'b.mp4'], dtype=dtype).append(bad)


def test_one_name_in_two_folders_is_not_one_video(tmp_path):
    """Other files under the same relative paths were taken for the first."""
    write(tmp_path, ['a.mp4', 'b.mp4'], sizes=[10, 20])
    # from another folder
    write(tmp_path, ['a.mp4', 'b.mp4'], sizes=[10, 99], start=2)
    assert len(list(tmp_path.glob('*.npy'))) == 2
    cache = read(tmp_path)
    cache.check_holds(['a.mp4'], 'train.txt')
    with pytest.raises(UserError, match='b.mp4'):
        cache.check_holds(['a.mp4', 'b.mp4'], 'train.txt')


@pytest.mark.parametrize('name, content', [
    ('cache.json', b'[]'), ('notes.json', b'{}'), ('*.npy', None)])
def test_foreign_and_damaged_files_are_named(tmp_path, name, content):
    write(tmp_path, ['a.mp4', 'b.mp4'])
    path = next(tmp_path.glob(name), tmp_path / name)
    path.write_bytes(content or path.read_bytes()[:-8])
    with pytest.raises(UserError, match=path.name):
        read(tmp_path).check_holds(['a.mp4'], 'train.txt')
