"""``--import``: the layout of the paper's release, in miniature."""
import json
import shutil

import pytest
from commands import refused, vifi
from split_files import (KINDS, copy, edit, hmdb_name, names_of, rows_of,
                         write, write_labels, write_release)


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
    'halves overlap': (edit('labels/hmdb_51_base_labels.csv', '"wave"',
                            '"chew"'), ["'chew'"]),
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


def test_import_of_another_data_set(shared_release, tmp_path, capsys):
    refused(capsys, *call(shared_release, tmp_path / 'lists',
                          dataset='ssv2'), names='ssv2')
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
