"""The small world: files and labels."""
import hashlib
import json
from pathlib import Path

import cv2
import decord
import pytest

from projects.vifi_clip_tools.mini_world.build import WorldParams
from projects.vifi_clip_tools.mini_world import build

TINY = dict(train_per_class=2, test_per_class=1, num_stills=40, size=32)


def digests(folder):
    return {
        path.relative_to(folder).as_posix():
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob('*') if path.is_file()
    }


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world') / 'mini'
    assert build(folder, WorldParams(**TINY), workers=2)
    return folder


def lines(folder, name):
    return (folder / 'annotations' / name).read_text().splitlines()


def pairs(rows):
    return [(row.split(' ')[0], int(row.split(' ')[1])) for row in rows]


def slug_of(name):
    """'a red ring bouncing' to 'red-ring-bouncing'."""
    return '-'.join(name.split(' ')[1:])


def test_clips_decode_at_the_promised_size_and_length(world):
    lengths = set()
    for path in world.glob('videos/*/*.mp4'):
        video = decord.VideoReader(str(path))
        assert video[0].shape == (32, 32, 3)
        assert 24 <= len(video) <= 48
        lengths.add(len(video))
    assert len(lengths) > 5


def test_stills_decode(world):
    paths = sorted(world.glob('stills/*.jpg'))
    assert [path.stem for path in paths] == [f'{i:04d}' for i in range(40)]
    for path in paths:
        assert cv2.imread(str(path)).shape == (32, 32, 3)


@pytest.mark.parametrize('rows, classes, count', [
    ('train', 'classes', 48),
    ('val', 'classes', 24),
    ('target_train', 'target_classes', 48),
    ('target_val', 'target_classes', 24),
    ('base_val', 'base_classes', 12),
    ('novel_val', 'novel_classes', 12),
    ('zero_shot_val', 'zero_shot_classes', 8),
    ('few_shot_train_2shot_seed1', 'target_classes', 48),
])
def test_labels_name_the_folder_of_their_file(world, rows, classes, count):
    names = lines(world, f'{classes}.txt')
    found = pairs(lines(world, f'{rows}.txt'))
    assert len(found) == count
    for path, label in found:
        assert Path(path).parent.name == slug_of(names[label])
        assert (world / path).is_file()


def test_captions_belong_to_their_still_and_tell_no_motion(world):
    captions = lines(world, 'captions.txt')
    rows = pairs(lines(world, 'stills.txt'))
    assert len(rows) == 40 and len(set(captions)) == len(captions)
    assert {index for _, index in rows} == set(range(len(captions)))
    motions = {name.split()[-1] for name in lines(world, 'classes.txt')}
    assert len(motions) == 6
    for caption in captions:
        assert not motions & set(caption.split())


def test_every_object_has_captions(tmp_path):
    params = dict(TINY, train_per_class=1, num_stills=700)
    build(tmp_path / 'mini', WorldParams(**params), workers=2)
    captions = ' '.join(lines(tmp_path / 'mini', 'captions.txt'))
    for names in ('classes.txt', 'target_classes.txt',
                  'zero_shot_classes.txt'):
        for name in lines(tmp_path / 'mini', names):
            _, colour, shape, _ = name.split(' ')
            assert f'{colour} {shape}' in captions


def test_workers_do_not_change_a_byte(world, tmp_path):
    build(tmp_path / 'mini', WorldParams(**TINY), workers=1)
    assert digests(tmp_path / 'mini') == digests(world)


def test_clips_do_not_depend_on_how_many_there_are(world, tmp_path):
    params = dict(
        TINY, train_per_class=1, target_train_per_class=0, num_stills=3)
    build(tmp_path / 'mini', WorldParams(**params), workers=2)
    videos = {
        path: digest
        for path, digest in digests(tmp_path / 'mini').items()
        if path.endswith('.mp4')
    }
    assert len(videos) == 24 * 2 + 8  # the target set is left out
    assert videos.items() <= digests(world).items()


@pytest.mark.parametrize('asked, count', [
    (dict(), 24),
    (dict(train_per_class=3), 3),
    (dict(train_per_class=3, target_train_per_class=5), 5),
    (dict(target_train_per_class=16), 16),
    (dict(target_train_per_class=0), 0),
])
def test_target_set_is_small_where_the_training_set_is(asked, count):
    assert WorldParams(**asked).target_train_per_class == count


def test_seed_changes_every_clip(world, tmp_path):
    build(tmp_path / 'mini', WorldParams(**TINY, seed=1), workers=2)
    one, other = digests(world), digests(tmp_path / 'mini')
    assert one.keys() == other.keys()
    videos = [path for path in one if path.endswith('.mp4')]
    assert all(one[path] != other[path] for path in videos)


def test_manifest_tells_what_was_made(world):
    manifest = json.loads((world / 'manifest.json').read_text())
    assert manifest['params'] == dict(
        TINY, seed=0, target_train_per_class=2)
    assert manifest['counts']['train'] == 48
    assert manifest['counts']['target_train'] == 48
    assert manifest['counts']['retrieval_test'] == 24
    written = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (world / 'annotations').iterdir()
    }
    assert manifest['annotations'] == written
