"""Lists of every protocol, from files in the official formats."""
import hashlib
import json
import random

import pytest
from commands import vifi
from mmaction.datasets import VideoTextDataset
from split_files import (KINDS, PUBLISHED, WRITERS, lists_in, names_of,
                         rows_of, write, write_kinetics)

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


def test_frequency_makes_the_common_half_base(tmp_path):
    source = WRITERS['ucf101'](tmp_path / 'official')
    # The last 50 classes get one training video more.
    path = source / 'trainlist01.txt'
    names = names_of('ucf101')
    more = ''.join(f'{name}/v_{name}_g25_c09.avi {k}\n'
                   for k, name in enumerate(names, start=1) if k > 51)
    write(path, path.read_text() + more)
    out = tmp_path / 'lists'
    assert make('ucf101', source, out, '--partition', 'frequency') == 0
    base = (out / 'base_classes.txt').read_text().splitlines()
    # 51 of 101: the fifty, and of the rest the one of lowest label.
    assert base == [names[0], *names[51:]]
    novel = (out / 'novel_classes_words.txt').read_text().splitlines()
    assert [text.replace(' ', '') for text in novel] == names[1:51]
    assert rows_of(out / 'base_val.txt')[0] == (
        'ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c00.avi', 0)


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
    # Halves part the classes; no K600 set holds a class of K400.
    for dataset in RECOGNITION:
        classes, base, novel = (names_of(dataset, kind) for kind in KINDS)
        assert len(base) == (len(classes) + 1) // 2
        assert sorted(base + novel) == sorted(classes)
    for number in 1, 2, 3:
        names = set(names_of('k600', f'zero_shot_{number}_classes'))
        assert len(names) == 160
        assert names <= set(names_of('k600')) - set(names_of('k400'))
