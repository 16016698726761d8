"""The files of the frame cache, without a model."""
import json
import pickle

import numpy as np
import pytest

from projects.vifi_clip.datasets import CachedVideoDataset
from projects.vifi_clip.datasets.frame_cache import (VERSION, FrameCache,
                                                     FrameCacheWriter,
                                                     cache_key,
                                                     pipeline_identity)
from projects.vifi_clip.errors import UserError

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
    ('data/videos/a/b.mp4', 'data/videos/', 'a/b.mp4'),
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
    with pytest.raises(UserError, match='embed_dim'):
        begin(tmp_path, ['d.mp4'], embed_dim=4)
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


def test_dataset_reads_rows_without_videos(tmp_path):
    write(tmp_path / 'cache', ['x/a b.mp4', 'x/c.mp4'])

    def dataset(lines):
        (tmp_path / 'train.txt').write_text(lines)
        return CachedVideoDataset(
            'train.txt', data_root=str(tmp_path), data_prefix=dict(video=''),
            cache=str(tmp_path / 'cache'))

    with pytest.raises(UserError, match='train.txt'):
        dataset('c.mp4 4\na b.mp4 1\n')
    data = dataset('x/c.mp4 4\nx/a b.mp4 1\n')
    assert np.array_equal(data[1]['inputs'].numpy(), rows(1)[0])
    assert data[1]['data_samples'].gt_label.tolist() == [1]
    assert data.get_subset([0])[0]['data_samples'].gt_label.tolist() == [4]


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
