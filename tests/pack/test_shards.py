"""vifi-clip pack --shards: the same frames in the same order, whenever a run
is killed, and whatever happens to the shards."""
import errno
import json
import multiprocessing
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from commands import refused, vifi
from helpers import write_mp4
from mmengine.dataset import DefaultSampler
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from projects.vifi_clip.apis.inputs import expand_inputs
from projects.vifi_clip.datasets import CheckedVideoDataset
from projects.vifi_clip.datasets.contained_video import open_video
from projects.vifi_clip.datasets.kept_frames import KeptVideoReader
from projects.vifi_clip.datasets.shards import INDEX, place_of, source_of
from projects.vifi_clip.datasets.video_reader import VideoReader
from projects.vifi_clip.errors import UnreadableVideo, UserError
from projects.vifi_clip_tools.pack import job
from projects.vifi_clip_tools.pack import shards as shards_module

NAMES = ['a/x 1.mp4', 'a/long ' + 120 * 'n' + '.mp4', 'a/b/y.avi', 'ü.mp4',
         'z.mp4', 'w.mkv']
PACKED = [name if name.endswith('.mp4') else f'{name}.mp4' for name in NAMES]
GB = '0.000012'  # 12 kB: two videos


@pytest.fixture(scope='module')
def originals(tmp_path_factory):
    """Videos of different lengths, in a list, packed into single files."""
    world = tmp_path_factory.mktemp('originals')
    (world / 'videos/a/b').mkdir(parents=True)
    for i, name in enumerate(NAMES):
        write_mp4(world / 'clip.mp4', 12 + i, (64, 48))
        os.replace(world / 'clip.mp4', world / 'videos' / name)
    (world / 'list.txt').write_text(''.join(
        f'{name} {i}\n' for i, name in enumerate(NAMES)))
    assert vifi(*pack(world)) == 0
    return world


@pytest.fixture
def world(originals, tmp_path):
    return shutil.copytree(originals, tmp_path / 'world',
                           copy_function=shutil.copy2)


def pack(world, *argv):
    # the folder of the originals is in the record
    return ('pack', world / 'list.txt', '--root', world / 'videos', '--out',
            world / 'packed', *argv)


def moved(world):
    """Let a copy of a world know that it was moved."""
    path = world / 'packed/pack.json'
    path.write_text(json.dumps(dict(json.loads(path.read_text()),
                                    root=str(world / 'videos'))))
    return world


def data_set(world, **settings):
    init_default_scope('mmaction')
    return CheckedVideoDataset(
        ann_file=str(world / 'list.txt'), pipeline=[
            dict(type='VideoReader'),
            dict(type='SparseSampleViews', num_frames=4),
            dict(type='VideoDecode')],
        data_prefix=dict(video=str(world / 'packed')), **settings)


def frames(world):
    dataset = data_set(world, seed=5, max_bad_ratio=0)
    return [np.stack(dataset[i]['imgs']) for i in range(len(dataset))]


def equal(first, second):
    return all(map(np.array_equal, first, second))


def contents(world):
    return {name: read(world / 'packed' / name) for name in PACKED}


def read(path):
    source = source_of(str(path))
    return source if isinstance(source, bytes) else path.read_bytes()


def shards(world):
    return sorted((world / 'packed').glob('*.tar'))


def members(path):
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read()
                for info in tar.getmembers()}


def test_frames_order_and_tar_files(originals, world, capsys):
    assert vifi(*pack(moved(world), '--shards', GB)) == 0
    assert '6 there already' in capsys.readouterr().out
    # nothing else is left of the single files, folders neither
    assert len(shards(world)) == 3
    assert {path.name for path in (world / 'packed').iterdir()} == {
        'pack.json', 'pack.lock', 'list.txt', INDEX,
        *(path.name for path in shards(world))}
    held = {name: data for path in shards(world)
            for name, data in members(path).items()}
    assert held == contents(originals) == contents(world)
    assert list(held) != PACKED  # drawn at random
    assert equal(frames(world), frames(originals))
    record = [json.loads((folder / 'packed/pack.json').read_text())
              for folder in (originals, world)]
    assert record[0]['megabytes'] == record[1]['megabytes']
    assert record[0]['psnr'] == record[1]['psnr']


def labels_and_pixels(samples):
    return [(sample['label'], np.stack(sample['imgs']).tobytes())
            for sample in samples]


def test_every_epoch_is_the_permutation_of_single_files(originals, world):
    assert vifi(*pack(moved(world), '--shards', GB)) == 0
    orders = []
    for folder in (originals, world):
        dataset = data_set(folder, seed=1)
        sampler = DefaultSampler(dataset, shuffle=True, seed=7)
        for epoch in range(3):
            sampler.set_epoch(epoch)
            orders.append(sum(DataLoader(
                dataset, 2, sampler=sampler, num_workers=2,
                collate_fn=labels_and_pixels), []))
    assert orders[:3] == orders[3:]
    labels = [[label for label, _ in order] for order in orders[:3]]
    assert all(sorted(order) == list(range(6)) for order in labels)
    assert labels[0] != labels[1] != labels[2]


def _killed(out, steps):
    """Move what is in a folder, in a process that dies in place of a step on
    files; exit code 9, or 0 if there are not so many."""
    def counted(change):
        def changed(*args, **kwargs):
            nonlocal steps
            if not steps:
                os._exit(9)
            steps -= 1
            return change(*args, **kwargs)
        return changed

    for name in ('replace', 'unlink', 'rmdir', 'mkdir', 'fsync'):
        setattr(os, name, counted(getattr(os, name)))
    move(out)
    os._exit(0)


def move(out):
    shards_module.move_into_shards(
        out, PACKED, shards_module.open_index(out, float(GB)))


@pytest.mark.parametrize('changed', [False, True])
def test_killed_before_each_step(world, changed, tmp_path, monkeypatch):
    """Each video can be read then, and the next run completes the work."""
    older = contents(moved(world))
    if changed:  # a video that is in a shard with others
        assert vifi(*pack(world, '--shards', GB)) == 0
        write_mp4(world / 'videos/z.mp4', 30, (64, 48))
        with monkeypatch.context() as patch:
            patch.setattr(job, 'move_into_shards', lambda *_: None)
            patch.setattr(job, '_compare', lambda *_: {})
            assert vifi(*pack(world)) == 0
    newer = dict(older)
    if changed:
        newer['z.mp4'] = (world / 'packed/z.mp4').read_bytes()
    code = step = 0
    while not step or code == 9:
        here = shutil.copytree(world, tmp_path / 'here')
        process = multiprocessing.get_context('fork').Process(
            target=_killed, args=(here / 'packed', step))
        process.start()
        process.join()
        code, step = process.exitcode, step + 1
        for name, data in contents(here).items():
            assert data in (older[name], newer[name]), (step, name)
        move(here / 'packed')
        tars = {path: members(path) for path in shards(here)}
        assert sorted(name for held in tars.values() for name in held
                      ) == sorted(PACKED)
        for held in tars.values():
            assert held == {name: newer[name] for name in held}
        assert contents(here) == newer
        left = {path.name for path in (here / 'packed').iterdir()}
        assert left == {'pack.json', 'pack.lock', 'list.txt', INDEX,
                        *(path.name for path in tars)}, step
        shutil.rmtree(here)
    assert code == 0 and step > 10


def test_changed_added_and_unreadable_originals(world, capsys):
    assert vifi(*pack(moved(world), '--shards', GB)) == 0
    write_mp4(world / 'videos/z.mp4', 30, (64, 48))
    write_mp4(world / 'videos/new.mp4', 9, (64, 48))
    with open(world / 'list.txt', 'a') as file:
        file.write('new.mp4 6\n')
    before = contents(world)
    capsys.readouterr()
    assert vifi(*pack(world)) == 0  # in shards without being told again
    out, said = capsys.readouterr()
    assert {'1 packed', '1 packed again', '5 there already'} == set(
        out.splitlines()[0].split(': ')[1].split(', '))
    assert 'z.mp4 has changed' in said
    held = [name for path in shards(world) for name in members(path)]
    assert sorted(held) == sorted([*PACKED, 'new.mp4'])
    after = contents(world)
    assert {name for name in PACKED if after[name] != before[name]} == {
        'z.mp4'}
    assert [len(open_video(source_of(str(world / 'packed' / name))))
            for name in ('z.mp4', 'new.mp4')] == [30, 9]
    assert not list((world / 'packed').glob('*.mp4'))
    # as with single files, the copy of an original that is gone is kept
    (world / 'videos/w.mkv').unlink()
    assert vifi(*pack(world)) == 1
    assert 'w.mkv' not in (world / 'packed/list.txt').read_text()
    assert contents(world) == after


@pytest.mark.parametrize('harm', ['cut', 'gone', 'damaged'])
def test_harmed_shards_are_named_and_mended(originals, world, harm, capsys):
    assert vifi(*pack(moved(world), '--shards', GB)) == 0
    place = place_of(str(world / 'packed/z.mp4'))
    shard = Path(place.shard)
    data = shard.read_bytes()
    if harm == 'gone':
        shard.unlink()
    elif harm == 'cut':
        shard.write_bytes(data[:place.offset + place.size - 1])
    else:
        half = place.offset + place.size // 2
        shard.write_bytes(data[:half] + b'?' + data[half + 1:])
    command = f'vifi-clip pack {world}/list.txt --root {world}/videos'
    if harm == 'damaged':  # is seen when it is read
        dataset = data_set(world, test_mode=True)
        with pytest.raises(Exception, match='delete that file') as caught:
            dataset[NAMES.index('z.mp4')]
        shard.unlink()
    else:
        for test_mode in (False, True):
            with pytest.raises(Exception, match=command) as caught:
                data_set(world, test_mode=test_mode).full_init()
    assert 'z.mp4' in str(caught.value) and str(shard) in str(caught.value)
    capsys.readouterr()
    assert vifi(*pack(world)) == 0
    assert contents(world) == contents(originals)
    assert sorted(name for path in shards(world) for name in members(path)
                  ) == sorted(PACKED)
    assert equal(frames(world), frames(originals))


def test_videos_that_are_given_by_name_are_not_in_shards(world):
    assert vifi(*pack(moved(world), '--shards', GB)) == 0
    for name in '', 'z.mp4', 'a/b/y.avi':
        with pytest.raises(UserError, match='give the originals'):
            expand_inputs(str(world / 'packed' / name))


def test_a_data_set_reads_on_while_videos_move(originals, world):
    expected, dataset = frames(originals), data_set(moved(world), seed=5)
    assert np.array_equal(dataset[0]['imgs'], expected[0])
    # another process does it: this one is not told
    command = pack(world, '--shards', GB)
    for _ in range(2):
        process = multiprocessing.get_context('fork').Process(
            target=lambda: os._exit(vifi(*command)))
        process.start()
        process.join()
        assert process.exitcode == 0
        assert equal(expected, [dataset[i]['imgs'] for i in range(6)])
        # as if a part of each was lost: the next time, into other shards
        path = world / 'packed' / INDEX
        index = json.loads(path.read_text())
        index['counts'] = [count + 1 for count in index['counts']]
        path.write_text(json.dumps(index))


def test_full_disk(world, monkeypatch, capsys):
    command = pack(moved(world), '--shards', GB)

    def full(_):
        if list((world / 'packed').rglob('.vifi*/*.tar')):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', full)
        said = refused(capsys, *command, names='shard-000000.tar')
    assert 'No space left' in said and 'resumes' in said
    assert not list((world / 'packed').rglob('*.tar'))
    assert len(list((world / 'packed').rglob('*.mp4'))) == 6
    assert vifi(*command) == 0


def test_refused_before_work(world, capsys):
    assert vifi(*pack(moved(world), '--shards', GB)) == 0
    index = world / 'packed' / INDEX
    text = index.read_text()
    for harmed in (text[:50], '{}', '[]'):
        index.write_text(harmed)
        refused(capsys, *pack(world), names=[index])
        with pytest.raises(UserError, match=INDEX):
            data_set(world).full_init()
    index.unlink()
    refused(capsys, *pack(world), names=[INDEX, 'shard-000000.tar'])
    refused(capsys, *pack(world, '--shards', '0'), names='--shards')
    assert len(shards(world)) == 3


@pytest.mark.parametrize('harm', [
    dict(gigabytes=float('nan')), dict(gigabytes=0), dict(counts=['x']),
    dict(counts=[-1]), dict(videos={'z.mp4': [0, 1, '']}),
    *(dict(videos={'z.mp4': [*numbers, '']}) for numbers in (
        [-1, 512, 9, 0], [9, 512, 9, 0], ['../x', 512, 9, 0],
        [0, -512, 9, 0], [0, 512, -9, 0], [0, 512.5, 9, 0], [0, 512, 9, None]))
])
def test_an_index_that_pack_did_not_write(tmp_path, harm):
    index = dict(dict(gigabytes=1, counts=[1], videos={}), **harm)
    (tmp_path / INDEX).write_text(json.dumps(index))
    (tmp_path / 'shard-000000.tar').write_bytes(bytes(2000))
    with pytest.raises(UserError, match=INDEX):
        source_of(str(tmp_path / 'z.mp4'))


@pytest.mark.parametrize('numbers', [
    [0, 512, 10**15], [0, 10**30, 9], [0, 512, 10**30]])
def test_an_index_that_asks_for_more_than_a_shard_has(tmp_path, numbers):
    index = dict(gigabytes=1, counts=[1],
                 videos={'z.mp4': [*numbers, 0, '']})
    (tmp_path / INDEX).write_text(json.dumps(index))
    (tmp_path / 'shard-000000.tar').write_bytes(bytes(2000))
    with pytest.raises(UnreadableVideo, match='shard-000000.tar'):
        source_of(str(tmp_path / 'z.mp4'))


@pytest.mark.parametrize('name', ['../other/x.mp4', 'a/../../other/x.mp4',
                                  '{}/other/x.mp4'])
def test_an_index_of_files_elsewhere(world, name, capsys):
    """A folder of packed videos may come from a stranger."""
    assert vifi(*pack(moved(world), '--shards', GB)) == 0
    other = world / 'other/x.mp4'
    other.parent.mkdir()
    path = world / 'packed' / INDEX
    index = json.loads(path.read_text())
    index['counts'] = [count + 1 for count in index['counts']]
    index['videos'][name.format(world)] = index['videos']['z.mp4']
    path.write_text(json.dumps(index))
    for there in False, True:
        if there:
            shutil.copy(world / 'videos/z.mp4', other)
        refused(capsys, *pack(world), names=[INDEX, 'other/x.mp4'])
        assert other.parent.is_dir() and other.is_file() == there


@pytest.mark.parametrize('backend, package', [
    ('decord', 'decord'), ('torchcodec', 'torchcodec.decoders')])
def test_other_readers(originals, world, backend, package):
    pytest.importorskip(package)
    assert vifi(*pack(moved(world), '--shards', GB)) == 0
    videos = [VideoReader(backend).transform(
        dict(filename=str(folder / 'packed/z.mp4')))['video_reader']
        for folder in (originals, world)]
    first, second = ([np.asarray(frame) for frame in (
        video.get_batch([3, 9]).asnumpy() if backend == 'decord'
        else video.frames([3, 9]))] for video in videos)
    assert len(videos[1]) == 16 and equal(first, second)


def test_kept_frames_are_those_of_now(world):
    assert vifi(*pack(moved(world), '--shards', GB)) == 0
    path = str(world / 'packed/z.mp4')
    reader = KeptVideoReader(str(world / 'kept'))
    assert reader.transform(dict(filename=path))['total_frames'] == 16
    write_mp4(world / 'videos/z.mp4', 30, (64, 48))
    assert vifi(*pack(world)) == 0
    assert reader.transform(dict(filename=path))['total_frames'] == 30
