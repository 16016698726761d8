"""Lists of every protocol, from files in the official formats, or from the
paper's release (``--import``) in miniature; how they are checked."""
import hashlib
import json
import random
import shutil

import pytest
from commands import refused, vifi
from mmaction.datasets import VideoTextDataset
from split_files import (KINDS, OWN_ROWS, PUBLISHED, WRITERS, copy, edit,
                         hmdb_name, lists_in, make_own, names_of, own_call,
                         rows_of, write, write_kinetics, write_labels,
                         write_release)

from projects.vifi_clip.files import sha256_of

FEW = ['--shots', '1', '2', '--base-shots', '2']
RECOGNITION = 'k400', 'hmdb51', 'ucf101', 'ssv2'


def make(dataset, source, out, *options):
    return vifi('splits', dataset, '--annotations', source, '--out', out,
                *(FEW if dataset in RECOGNITION else []),
                *(['--tiny', '2'] if dataset == 'k400' else []), *options)


@pytest.fixture(scope='module', params=RECOGNITION)
def made(request, tmp_path_factory):
    """Data set, its annotations, its lists, and the ending of the first."""
    root = tmp_path_factory.mktemp(request.param)
    source = WRITERS[request.param](root / 'official')
    assert make(request.param, source, root / 'lists') == 0
    end = '_split1' if request.param in ('hmdb51', 'ucf101') else ''
    return request.param, source, root / 'lists', end


def test_all_lists_are_there(made):
    dataset, source, out, end = made
    ends = [f'_split{n}' for n in (1, 2, 3)] if end else ['']
    expected = {'base_val.txt', 'novel_val.txt', 'manifest.json', *(
        f'{name}.txt' for name in KINDS), *(
        f'{part}{end}.txt' for part in ('train', 'val') for end in ends), *(
        f'{name}_seed{s}.txt' for s in (1, 2, 3) for name in (
            'few_shot_train_1shot', 'few_shot_train_2shot',
            'base_train_2shot'))}
    if dataset == 'ucf101':
        expected |= {f'{name}_words.txt' for name in KINDS}
    if dataset == 'k400':
        expected.add('train_tiny.txt')
        tiny = rows_of(out / 'train_tiny.txt')
        assert sorted(label for _, label in tiny) == [
            k // 2 for k in range(800)]
        assert set(tiny) < set(rows_of(out / 'train.txt'))
    assert {path.name for path in out.iterdir()} == expected
    for kind in KINDS:
        assert (out / f'{kind}.txt').read_text() == (
            PUBLISHED / dataset / f'{kind}.txt').read_text()
    # The manifest tells what is there.
    text = (out / 'manifest.json').read_text()
    manifest = json.loads(text)
    assert manifest['dataset'] == dataset and str(source) not in text
    assert {*manifest['lists'], 'manifest.json'} == expected
    for name, entry in manifest['lists'].items():
        rows = (out / name).read_text().splitlines()
        counts = dict(classes=len(rows)) if 'classes' in name else dict(
            videos=len(rows), classes=len({r.split()[-1] for r in rows}))
        assert entry == dict(sha256=sha256_of(out / name), **counts)
    assert manifest['sources'] == {path.name: sha256_of(path)
                                   for path in source.rglob('*.*')}


def test_rows_of_the_lists(made):
    dataset, _, out, end = made
    classes, base, novel = (len(names_of(dataset, kind)) for kind in KINDS)
    for name, count, times in (
            (f'train{end}', classes, 3), (f'val{end}', classes, 2),
            ('base_val', base, 2), ('novel_val', novel, 2),
            ('base_train_2shot_seed3', base, 2),
            ('few_shot_train_1shot_seed1', classes, 1)):
        assert sorted(label for _, label in rows_of(out / f'{name}.txt')) == [
            k for k in range(count) for _ in range(times)], name
    # Draws are of the training part, and nested.
    few, more, other, train = (set(rows_of(out / f'{name}.txt')) for name in (
        'few_shot_train_1shot_seed1', 'few_shot_train_2shot_seed1',
        'few_shot_train_1shot_seed2', f'train{end}'))
    assert few < more < train and few != other
    assert rows_of(out / f'val{end}.txt')[0] == ({
        'k400': 'val/va-0000_000_000000_000010.mp4',
        'hmdb51': 'brush_hair/Film!_3_brush_hair_f_cm_np1_fr_med_3.avi',
        'ucf101': 'ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c00.avi',
        'ssv2': '523.webm',
    }[dataset], 0)
    # Labels of a half count within it.
    classes = names_of(dataset)
    name_of = {path: classes[label] for part in ('train', 'val')
               for path, label in rows_of(out / f'{part}{end}.txt')}
    for name, half in (('base_val', 'base'), ('novel_val', 'novel'),
                       ('base_train_2shot_seed1', 'base')):
        names = names_of(dataset, f'{half}_classes')
        rows = rows_of(out / f'{name}.txt')
        assert [name_of[path] for path, _ in rows] == [
            names[label] for _, label in rows]


def test_neither_a_second_run_nor_the_order_of_lines_matters(
        made, tmp_path, capsys):
    dataset, source, out, _ = made
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert make(dataset, source, out) == 0
    assert 'up to date' in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}
    shuffler = random.Random(1)
    for path in source.rglob('*'):
        if path.name == 'classInd.txt' or path.name.endswith('labels.json'):
            text = path.read_text()
        elif path.suffix == '.json':
            items = json.loads(path.read_text())
            text = json.dumps(shuffler.sample(items, len(items)))
        else:
            lines = path.read_text().splitlines()
            head = lines[:1] if path.suffix == '.csv' else []
            rest = lines[len(head):]
            text = '\n'.join(head + shuffler.sample(rest, len(rest))) + '\n'
        write(tmp_path / 'official' / path.name, text)
    assert make(dataset, tmp_path / 'official', tmp_path / 'lists') == 0
    assert lists_in(tmp_path / 'lists') == lists_in(out)


def test_pattern_moves_paths_and_keeps_the_draw(tmp_path):
    source = WRITERS['ucf101'](tmp_path / 'official')
    assert make('ucf101', source, tmp_path / 'a') == 0
    assert make('ucf101', source, tmp_path / 'b', '--pattern',
                '{split}/{label_}-{stem}.mkv') == 0
    name = 'few_shot_train_1shot_seed2.txt'
    one, other = rows_of(tmp_path / 'a' / name), rows_of(tmp_path / 'b' / name)
    assert other == [('train/' + path.replace('/', '-')[:-4] + '.mkv', label)
                     for path, label in one]


def test_hmdb51_splits_follow_the_numbers(tmp_path):
    source = WRITERS['hmdb51'](tmp_path / 'official')
    assert make('hmdb51', source, tmp_path / 'lists') == 0
    # 1 1 1 2 2 0, rotated to the right by one place each split
    for name, numbers in (
            ('train_split1', [0, 1, 2]), ('val_split1', [3, 4]),
            ('train_split2', [1, 2, 3]), ('val_split2', [4, 5]),
            ('train_split3', [2, 3, 4]), ('val_split3', [0, 5])):
        rows = rows_of(tmp_path / 'lists' / f'{name}.txt')
        assert [int(path[-5]) for path, label in rows
                if label == 50] == numbers, name


@pytest.mark.parametrize('part,per_class', [('val', 2), ('test', 4)])
def test_k600_zero_shot_sets(tmp_path, part, per_class):
    source = write_kinetics(tmp_path / 'official', 'k600', test=4)
    out, classes = tmp_path / 'lists', names_of('k600')
    assert make('k600', source, out, '--zero-shot-from', part) == 0
    assert len(rows_of(out / 'train.txt')) == 1800
    for number in 1, 2, 3:
        names = names_of('k600', f'zero_shot_{number}_classes')
        rows = rows_of(out / f'zero_shot_{number}_val.txt')
        assert len(rows) == 160 * per_class
        for path, label in rows:
            # 'val/va-0012_000_...': the middle is the index of the class
            assert path.startswith(f'{part}/{part[:2]}-')
            assert classes[int(path[len(part) + 4:][:4])] == names[label]


def test_msrvtt_is_read_by_mmaction2(tmp_path):
    source = WRITERS['msrvtt'](tmp_path / 'official')
    out = tmp_path / 'lists'
    assert make('msrvtt', source, out) == 0
    assert json.loads((out / 'train_9k.json').read_text()) == {
        'video9.mp4': ['first', 'second'], 'video10.mp4': ['na\u00efve']}
    test = VideoTextDataset(ann_file=str(out / 'test_JSFUSION.json'),
                            pipeline=[], data_prefix=dict(video='videos'))
    assert [test.get_data_info(i)['text'] for i in range(len(test))] == [
        'a caf\u00e9', 'one, two']
    assert test.get_data_info(1)['filename'] == 'videos/video8.mp4'
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest['lists']['train_9k.json']['captions'] == 3


def test_published_lists_stay():
    """What checkpoints were trained with: names and their order."""
    digest = hashlib.sha256()
    for path in sorted(PUBLISHED.glob('*/*classes*.txt')):
        digest.update(path.parent.name.encode() + path.read_bytes())
    assert digest.hexdigest() == (
        'b3037572da1b7c152ac4d74c7126c911ccff85cc3a60164eb74885515bce581b')


BASE = 'datasets_splits/base2novel_splits/hmdb_splits'
LISTS = 'datasets_splits/hmdb_splits'


@pytest.fixture(scope='module')
def shared_release(tmp_path_factory):
    return write_release(tmp_path_factory.mktemp('release'))


@pytest.fixture
def release(shared_release, tmp_path):
    """A release of the test's own."""
    return shutil.copytree(shared_release, tmp_path / 'release')


def call(release, out, *options, dataset='hmdb51'):
    return ['splits', dataset, '--import', release, '--out', out, *options]


def take(release, out, *options, dataset='hmdb51'):
    return vifi(*call(release, out, *options, dataset=dataset))


def test_lists_under_our_names(shared_release, tmp_path, capsys):
    out = tmp_path / 'lists'
    assert take(shared_release, out) == 0
    assert {path.name for path in out.iterdir()} == {
        'base_val.txt', 'novel_val.txt', 'manifest.json',
        *(f'{name}.txt' for name in KINDS),
        *(f'few_shot_train_{k}shot_seed1.txt' for k in (2, 4, 8, 16)),
        *(f'base_train_16shot_seed{s}.txt' for s in (1, 2, 3)),
        *(f'val_split{n}.txt' for n in (1, 2, 3))}
    # As released, Windows line ends apart; the oddity is told.
    source = shared_release / 'datasets_splits/hmdb_splits'
    text = (source / 'train1_few_shot_4.txt').read_text()
    assert (out / 'few_shot_train_4shot_seed1.txt').read_bytes() == (
        text.encode())
    said = capsys.readouterr().err
    assert "'kick' as 'kick ball'" in said and "'sword exercise' as" in said
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest['options']['made_from'] == 'release'
    assert 'train1_few_shot_4.txt' in manifest['sources']
    assert take(shared_release, out) == 0
    assert 'up to date' in capsys.readouterr().out
    assert vifi('splits', 'hmdb51', '--check', '--out', out) == 0


def test_class_folders_and_fixed_labels(shared_release, tmp_path):
    options = '--pattern', '{label_}/{name}'
    assert take(shared_release, tmp_path / 'kept', *options) == 0
    rows = dict(rows_of(tmp_path / 'kept/val_split1.txt'))
    kick = names_of('hmdb51').index('kick')
    assert rows[f'kick_ball/{hmdb_name("kick ball", "val", 0)}'] == kick
    out = tmp_path / 'fixed'
    assert take(shared_release, out, '--fix-labels', *options) == 0
    for kind, name in zip(KINDS, ('few_shot_train_2shot_seed1', 'base_val',
                                  'novel_val')):
        names = names_of('hmdb51', kind)
        for path, label in rows_of(out / f'{name}.txt'):
            slug = names[label].replace(' ', '_')
            assert path.startswith(f'{slug}/') and f'_{slug}_u_' in path


def test_few_videos_and_missing_labels_are_told(release, tmp_path, capsys):
    (release / 'labels/hmdb_51_labels.csv').unlink()
    path = release / LISTS / 'train1_few_shot_8.txt'
    write(path, path.read_text().partition('\n')[2])
    assert take(release, tmp_path / 'lists') == 0
    said = capsys.readouterr().err
    assert 'hmdb_51_labels.csv is missing' in said
    assert "fewer than 8 videos, 'brush hair' (7)" in said


def put(name, text):
    return lambda folder: write(folder / name, text)


CHEW = hmdb_name('chew', 'val', 0)
CASES = {
    'other shots': (copy(f'{LISTS}/train1_few_shot_4.txt',
                         f'{LISTS}/train1_few_shot_2.txt'),
                    ['train1_few_shot_2.txt']),
    'test for training': (
        copy(f'{LISTS}/val1.txt', f'{LISTS}/train1_few_shot_2.txt'),
        ['train1_few_shot_2.txt, line', 'base_val.txt',
         'few_shot_train_2shot_seed1.txt']),
    'all classes for base': (
        copy(f'{LISTS}/val1.txt', f'{BASE}/base_val.txt'),
        ['base_val.txt, line 53', 'label 26']),
    'novel for base': (copy(f'{BASE}/novel_val.txt', f'{BASE}/base_val.txt'),
                       ['base_val.txt, line 1', "'pour'"]),
    'label names': (edit('labels/hmdb_51_labels.csv', '"chew"', '"chewing"'),
                    ['hmdb_51_labels.csv', 'id 3', "'chewing'"]),
    'other data set': (put(f'{LISTS}/val2.txt', 'v_YoYo_g01_c01.avi 0\n'),
                       ['val2.txt, line 1', 'v_YoYo_g01_c01.avi']),
    'no label': (put(f'{LISTS}/val2.txt', 'a.avi\n'),
                 ['val2.txt, line 1', "'a.avi'"]),
    'two labels': (put(f'{LISTS}/val2.txt', f'{CHEW} 3\n{CHEW} 4\n'),
                   ['val2.txt, line 2', 'val2.txt, line 1']),
    'missing list': (lambda folder: (folder / LISTS / 'val3.txt').unlink(),
                     ['val3.txt'])}


@pytest.mark.parametrize('spoil, names', CASES.values(), ids=CASES)
def test_wrong_release(release, tmp_path, capsys, spoil, names):
    spoil(release)
    refused(capsys, *call(release, tmp_path / 'lists'), names=names)
    assert not (tmp_path / 'lists').exists()


def test_k600_paths_hold_folders(tmp_path):
    root, text = tmp_path / 'release', ''.join(
        f'{("train", "val", "test")[k % 3]}/ab-_{k:07d}_000001_000011.mp4 '
        f'{k}\n' for k in range(160))
    for number in 1, 2, 3:
        write_labels(root / f'labels/ZS_split{number}_K600.csv',
                     names_of('k600', f'zero_shot_{number}_classes'))
        write(root / 'datasets_splits/k600_splits' /
              f'ZS_split{number}_K600_eval.txt', text)
    assert take(root, tmp_path / 'k600', dataset='k600') == 0
    rows = rows_of(tmp_path / 'k600/zero_shot_2_val.txt')
    assert rows[1] == ('val/ab-_0000001_000001_000011.mp4', 1)


def test_ucf101_file_names_spell_a_class_otherwise(tmp_path):
    root = write_release(tmp_path / 'release', 'ucf101', 'ucf', 'ucf_101')
    assert take(root, tmp_path / 'ucf', '--pattern', '{label}/{name}',
                dataset='ucf101') == 0
    assert ('HandstandPushups/v_HandStandPushups_g03_c00.avi', 36) in rows_of(
        tmp_path / 'ucf/val_split3.txt')


def test_check(tmp_path, capsys):
    out, videos = tmp_path / 'lists', tmp_path / 'videos'
    assert make_own(tmp_path) == 0
    for row in OWN_ROWS[1:]:
        write(videos / row.split(',')[0], '')
    check = ['splits', 'kitchen', '--check', '--out', out, '--videos', videos]
    assert vifi(*check) == 0
    refused(capsys, *check[:-1], tmp_path / 'x', names='--videos')
    refused(capsys, 'splits', 'ucf101', *check[2:], names="'kitchen'")
    (videos / 'stir/1.mp4').unlink()
    refused(capsys, *check, names=['1 of 8', 'stir/1.mp4'])
    before = (out / 'train.txt').read_text()
    for text in before.replace('chop/2.mp4 0', 'chop/2.mp4 1'), before + 'x 0':
        write(out / 'train.txt', text)
        refused(capsys, *check, names='train.txt')
    (out / 'train.txt').unlink()
    refused(capsys, *check, names='train.txt is missing')
    # A manifest that is not ours, or damaged, is none.
    manifest = out / 'manifest.json'
    for text in '{', '[]', '{"tool": "mini_world"}', *(
            json.dumps(dict(tool='make_splits', dataset='kitchen', lists=x))
            for x in ({'train.txt': 'abc'}, {'train.txt': {'sha256': 5}},
                      {'../x.txt': {'sha256': 'x'}}, {}, 5)):
        write(manifest, text)
        refused(capsys, *check, names=[manifest])
        refused(capsys, *own_call(tmp_path), names=[manifest, '--force'])
        assert manifest.read_text() == text
