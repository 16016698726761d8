"""The small world: classes, splits and files; what is made, refused and
spared."""
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import decord
import pytest
from commands import refused, vifi
from open_clip import SimpleTokenizer

from projects.vifi_clip.files import sha256_of, temporary_folder
from projects.vifi_clip.models.class_sentences import (NAMED_TEMPLATES,
                                                       class_sentences)
from projects.vifi_clip_tools.mini_world.build import (build,
                                                       video_annotations)
from projects.vifi_clip_tools.mini_world.clips import (Job, caption_clip,
                                                       render_still)
from projects.vifi_clip_tools.mini_world.world import VideoClass, WorldParams

ROOT = Path(__file__).parents[2]
TINY = dict(train_per_class=2, test_per_class=1, num_stills=40, size=32)
LEAST = dict(train_per_class=1, test_per_class=1, target_train_per_class=0,
             num_stills=3, size=32)


def call(out, *flags, **changes):
    """Command line of the least world."""
    options = {**LEAST, 'workers': 1, **changes}
    return ['mini-world', '--out', out, *flags, *(
        word for key, value in options.items()
        for word in (f'--{key.replace("_", "-")}', value))]


def digests(folder):
    return {path.relative_to(folder).as_posix(): sha256_of(path)
            for path in folder.rglob('*') if path.is_file()}


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world') / 'mini'
    assert build(folder, WorldParams(**TINY), workers=2)
    return folder


@pytest.fixture(scope='module')
def least(tmp_path_factory):
    """A least world, which each test leaves as it was."""
    folder = tmp_path_factory.mktemp('least') / 'mini'
    build(folder, WorldParams(**LEAST), workers=1)
    return folder


def lines(folder, name):
    return (folder / f'annotations/{name}.txt').read_text().splitlines()


def pairs(folder, name):
    rows = (line.split(' ') for line in lines(folder, name))
    return [(path, int(label)) for path, label in rows]


LISTS = video_annotations(20, 10, target_train_per_class=24)


def objects(*groups):
    return {(colour, shape) for rows in groups for colour, shape, _ in rows}


def test_classes_of_the_sets():
    known, target, base, novel, zero_shot = (
        # colour, shape and motion of each class
        [tuple(name.split()[1:]) for name in LISTS[f'{group}classes.txt']]
        for group in ('', 'target_', 'base_', 'novel_', 'zero_shot_'))
    assert (len(known), len(target), len(zero_shot)) == (24, 24, 8)
    assert len({*known, *target, *zero_shot}) == 56  # none is in two
    assert base + novel == target and len(base) == len(novel) == 12
    assert not objects(base) & objects(novel)
    # The target set's objects are in no other clip; unseen are their
    # combinations, not the words.
    assert len(objects(target)) == 8
    assert not objects(target) & objects(known, zero_shot)
    for seen, asked in zip(zip(*known), zip(*target)):
        assert set(asked) <= set(seen)
    # In each half, knowing the object is right one time in three.
    for half in known[:12], known[12:], base, novel:
        assert set(Counter(row[:2] for row in half).values()) == {3}
        motions = Counter(row[2] for row in half)
        assert len(motions) == 6 and set(motions.values()) == {2}


def test_descriptions():
    """Of all classes, in words of the stills' captions behind the names, and
    with FROSTER's templates within the small CLIP's 32 tokens."""
    file = dict(line.split(': ') for line in LISTS['descriptions.txt'])
    assert list(file) == sum((LISTS[f'{group}classes.txt'] for group in (
        '', 'target_', 'zero_shot_')), [])
    words = {word for i in range(300) for word in re.findall(
        r'\w+', render_still(Job(f'stills/{i:04d}.jpg', 0, 32))[1])}
    tokens = SimpleTokenizer().encode
    for name, text in file.items():
        assert set(re.findall(r'\w+', text)) <= words
        assert {*name.split()[1:3]} < set(text.split())
        for sentence in class_sentences([name], NAMED_TEMPLATES['product'],
                                        [[f'{name}: {text}']]):
            assert len(tokens(sentence.text)) <= 30  # of 32 with both ends


def test_few_shot_draws():
    """As tests/splits has them: of the training clips, as many of each class,
    others for each seed."""
    draws = set()
    for name, classes, shots in (('few_shot_train', 24, 2),
                                 ('few_shot_train', 24, 16),
                                 ('base_train', 12, 16)):
        for seed in 1, 2, 3:
            rows = LISTS[f'{name}_{shots}shot_seed{seed}.txt']
            # The base half comes first: its labels are those of all.
            assert set(rows) <= set(LISTS['target_train.txt'])
            assert len(set(rows)) == len(rows)
            counts = Counter(int(row.split(' ')[1]) for row in rows)
            assert counts == {label: shots for label in range(classes)}
            draws.add(tuple(rows))
    assert len(draws) == 9
    # none of more than there is
    names = video_annotations(20, 1, target_train_per_class=5)
    assert {name.split('_')[-2] for name in names if 'shot_seed' in name} == {
        '2shot', '4shot'}


def test_files_decode_at_the_promised_size_and_length(world):
    lengths = set()
    for path in world.glob('videos/*/*.mp4'):
        video = decord.VideoReader(str(path))
        assert video[0].shape == (32, 32, 3)
        assert 24 <= len(video) <= 48
        lengths.add(len(video))
    assert len(lengths) > 5
    paths = sorted(world.glob('stills/*.jpg'))
    assert [path.stem for path in paths] == [f'{i:04d}' for i in range(40)]
    for path in paths:
        assert cv2.imread(str(path)).shape == (32, 32, 3)


@pytest.mark.parametrize('rows, classes, count', [
    ('train', 'classes', 48), ('target_val', 'target_classes', 24),
    ('base_val', 'base_classes', 12), ('novel_val', 'novel_classes', 12),
    ('zero_shot_val', 'zero_shot_classes', 8),
    ('few_shot_train_2shot_seed1', 'target_classes', 48)])
def test_labels_name_the_folder_of_their_file(world, rows, classes, count):
    names, listed = lines(world, classes), pairs(world, rows)
    assert len(listed) == count
    for path, label in listed:
        # 'a red ring bouncing' is in 'red-ring-bouncing'
        assert Path(path).parent.name.split('-') == names[label].split()[1:]
        assert (world / path).is_file()


def test_captions_of_stills(world):
    captions, rows = lines(world, 'captions'), pairs(world, 'stills')
    assert len(rows) == 40 and len(set(captions)) == len(captions)
    for path, index in rows[::8]:
        assert captions[index] == render_still(Job(path, 0, 32))[1]
    texts = ' '.join(render_still(Job(f'stills/{i:04d}.jpg', 0, 32))[1]
                     for i in range(500))
    for group in '', 'target_', 'zero_shot_':  # every object, no motion
        for name in lines(world, f'{group}classes'):
            _, colour, shape, motion = name.split(' ')
            assert f'{colour} {shape}' in texts and motion not in texts


def test_captions_of_clips(world):
    for part, split in ('train', 'train'), ('test', 'val'):
        texts = json.loads(
            (world / f'annotations/retrieval_{part}.json').read_text())
        assert list(texts) == [path for path, _ in pairs(world, split)]
    job = Job('videos/red-ring-sliding/val_000.mp4', 0, 32,
              VideoClass('red', 'ring', 'sliding'))
    assert texts[job.path] == [caption_clip(job)]


def test_bytes_depend_on_neither_workers_nor_number(world, tmp_path, least):
    # with x264's defaults no two runs agree, even in one thread
    build(tmp_path / 'again', WorldParams(**TINY), workers=1)
    assert digests(tmp_path / 'again') == digests(world)
    videos = {path: digest for path, digest in digests(least).items()
              if path.endswith('.mp4')}
    assert len(videos) == 24 * 2 + 8  # the target set is left out
    assert videos.items() <= digests(world).items()


def test_manifest_tells_what_was_made(world):
    manifest = json.loads((world / 'manifest.json').read_text())
    assert manifest['params'] == dict(
        TINY, seed=0, target_train_per_class=2)
    assert manifest['counts'].items() >= dict(
        train=48, target_train=48, retrieval_test=24).items()
    assert manifest['annotations'] == digests(world / 'annotations')


def test_command_makes_once_and_replaces_only_by_force(tmp_path, capsys):
    out = tmp_path / 'deep/mini'
    assert vifi(*call(out)) == 0
    before, times = digests(out), out.stat().st_mtime_ns
    assert vifi(*call(out)) == 0
    refused(capsys, *call(out, seed=3), names='--force')
    # as it was: the folder of a new world would be another
    assert digests(out) == before and out.stat().st_mtime_ns == times
    assert vifi(*call(out, '--force', seed=3)) == 0
    after = digests(out)
    assert after.keys() == before.keys()
    assert all(after[path] != before[path] for path in after
               if path.endswith('.mp4'))
    assert [path.name for path in out.parent.iterdir()] == ['mini']


@pytest.mark.parametrize('name', ['thesis.txt', 'manifest.json'])
def test_foreign_files_are_never_removed(tmp_path, capsys, name):
    (tmp_path / name).write_text('{"years": 5}')
    for flags in [], ['--force']:
        refused(capsys, *call(tmp_path, *flags), names=[name, '--out'])
    assert (tmp_path / name).read_text() == '{"years": 5}'
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_was_added_is_spared_and_damage_found(least, capsys):
    for added in least / 'mine.txt', least / 'annotations/mine.txt':
        added.write_text('x')
        refused(capsys, *call(least, '--force', seed=1), names='mine.txt')
        assert added.exists()
        # It is no reason to doubt what is there, though.
        assert vifi(*call(least)) == 0
        added.unlink()
    listing = least / 'annotations' / 'train.txt'
    kept = listing.read_text()
    listing.write_text(kept.replace(' 3', ' 4'))
    refused(capsys, *call(least), names='train.txt')
    listing.write_text(kept)
    (least / 'stills' / '0000.jpg').unlink()
    refused(capsys, *call(least), names='stills/0000.jpg')
    assert vifi(*call(least, '--force')) == 0


@pytest.mark.parametrize('name, value', [
    ('size', 33), ('size', 30), ('num_stills', 0), ('train_per_class', 0),
    ('test_per_class', -2), ('seed', -1), ('workers', 0)])
def test_wrong_options(tmp_path, capsys, name, value):
    refused(capsys, *call(tmp_path / 'mini', **{name: value}),
            names=f'--{name.replace("_", "-")}')
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    for out in tmp_path / 'file', tmp_path / 'file/mini':
        refused(capsys, *call(out), names=str(tmp_path / 'file'))


def test_workers_end_however_early():
    """Those that were just forked, too, while SIGTERM has a handler."""
    code = (
        'import signal\n'
        'from projects.vifi_clip_tools.cli.processes import ended_by_signals\n'
        'from projects.vifi_clip_tools.mini_world.build import worker_pool\n'
        'with ended_by_signals():\n'
        '    for _ in range(60):\n'
        '        with worker_pool(2):\n'
        '            pass\n')
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, timeout=240, text=True,
        capture_output=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.slow
@pytest.mark.parametrize('end, code, left', [
    (signal.SIGINT, 130, 0), (signal.SIGTERM, 143, 0),
    (signal.SIGKILL, -9, 1)])
def test_a_stopped_run_leaves_nothing_half_made(tmp_path, end, code, left):
    process = subprocess.Popen(
        [sys.executable, '-m', 'projects.vifi_clip_tools', 'mini-world',
         '--out', tmp_path / 'mini', '--workers', '2'], cwd=ROOT, text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob('.*/mini/videos/*/*.mp4')):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(end)
    _, stderr = process.communicate(timeout=60)  # the workers have ended, too
    assert process.returncode == code and 'Traceback' not in stderr
    assert len(list(tmp_path.iterdir())) == left
    with temporary_folder(tmp_path):  # as the next one's start
        assert len(list(tmp_path.iterdir())) == 1
