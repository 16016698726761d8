"""The small world: files, labels and splits."""
import hashlib
import json
from collections import Counter
from pathlib import Path

import cv2
import decord
import pytest

from projects.vifi_clip.datasets.mini_world import WorldParams, build
from projects.vifi_clip.datasets.mini_world.splits import video_annotations

TINY = dict(train_per_class=2, test_per_class=1, num_stills=40, size=32)
HALVES = dict(base=12, novel=12, zero_shot=8)


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


@pytest.fixture(scope='module')
def full_lists():
    return video_annotations(train_per_class=20, test_per_class=10)


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
    ('base_val', 'base_classes', 12),
    ('novel_val', 'novel_classes', 12),
    ('zero_shot_val', 'zero_shot_classes', 8),
    ('few_shot_train_2shot_seed1', 'classes', 48),
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
    for names in ('classes.txt', 'zero_shot_classes.txt'):
        for name in lines(tmp_path / 'mini', names):
            _, colour, shape, _ = name.split(' ')
            assert f'{colour} {shape}' in captions


def test_class_lists(full_lists):
    names = {group: full_lists[f'{group}_classes.txt'] for group in HALVES}
    assert {group: len(rows) for group, rows in names.items()} == HALVES
    assert names['base'] + names['novel'] == full_lists['classes.txt']
    assert len(set(sum(names.values(), []))) == 32
    known = {tuple(name.split()[1:3]) for name in full_lists['classes.txt']}
    tested = {tuple(name.split()[1:3]) for name in names['zero_shot']}
    assert tested & known and tested - known


@pytest.mark.parametrize('half', ['base', 'novel'])
def test_knowing_the_object_is_right_one_time_in_three(full_lists, half):
    words = [name.split()[1:] for name in full_lists[f'{half}_classes.txt']]
    objects = Counter((colour, shape) for colour, shape, _ in words)
    motions = Counter(motion for _, _, motion in words)
    assert set(objects.values()) == {3}
    assert len(motions) == 6 and set(motions.values()) == {2}


def test_training_and_validation_share_no_clip(full_lists):
    seen, tested = set(), set()
    for name, rows in full_lists.items():
        if not name.endswith('classes.txt'):
            part = tested if name.endswith('val.txt') else seen
            part |= {path for path, _ in pairs(rows)}
    assert len(seen) == 24 * 20 and len(tested) == 32 * 10
    assert not seen & tested


@pytest.mark.parametrize('shots', [2, 4, 8, 16])
def test_few_shot_draws(full_lists, shots):
    draws = []
    for seed in (1, 2, 3):
        rows = full_lists[f'few_shot_train_{shots}shot_seed{seed}.txt']
        assert len(set(rows)) == len(rows)
        assert set(rows) <= set(full_lists['train.txt'])
        counts = Counter(label for _, label in pairs(rows))
        assert counts == {label: shots for label in range(24)}
        draws.append(tuple(rows))
    assert len(set(draws)) == 3


@pytest.mark.parametrize('seed', [1, 2, 3])
def test_base_draw_is_of_base_classes(full_lists, seed):
    rows = full_lists[f'base_train_16shot_seed{seed}.txt']
    counts = Counter(label for _, label in pairs(rows))
    assert counts == {label: 16 for label in range(12)}
    assert set(rows) <= set(full_lists['train.txt'])


def test_no_draw_of_more_than_there_is():
    names = video_annotations(train_per_class=5, test_per_class=1)
    shots = {name.split('_')[3] for name in names if name[:8] == 'few_shot'}
    assert shots == {'2shot', '4shot'}
    assert 'base_train_16shot_seed1.txt' not in names


def test_draws_never_change():
    """Published numbers hang on them: a change must be on purpose."""
    rows = video_annotations(20, 10)['few_shot_train_2shot_seed1.txt']
    pool = [f'videos/red-ring-bouncing/train_{i:03d}.mp4' for i in range(20)]
    pool.sort(key=lambda path: hashlib.sha256(f'1 {path}'.encode()).digest())
    assert rows[:2] == sorted(f'{path} 0' for path in pool[:2])


def test_workers_do_not_change_a_byte(world, tmp_path):
    build(tmp_path / 'mini', WorldParams(**TINY), workers=1)
    assert digests(tmp_path / 'mini') == digests(world)


def test_clips_do_not_depend_on_how_many_there_are(world, tmp_path):
    params = dict(TINY, train_per_class=1, num_stills=3)
    build(tmp_path / 'mini', WorldParams(**params), workers=2)
    videos = {
        path: digest
        for path, digest in digests(tmp_path / 'mini').items()
        if path.endswith('.mp4')
    }
    assert len(videos) == 24 * 2 + 8
    assert videos.items() <= digests(world).items()


def test_seed_changes_every_clip(world, tmp_path):
    build(tmp_path / 'mini', WorldParams(**TINY, seed=1), workers=2)
    one, other = digests(world), digests(tmp_path / 'mini')
    assert one.keys() == other.keys()
    videos = [path for path in one if path.endswith('.mp4')]
    assert all(one[path] != other[path] for path in videos)


def test_manifest_tells_what_was_made(world):
    manifest = json.loads((world / 'manifest.json').read_text())
    assert manifest['params'] == dict(TINY, seed=0)
    assert manifest['counts']['train'] == 48
    written = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (world / 'annotations').iterdir()
    }
    assert manifest['annotations'] == written
