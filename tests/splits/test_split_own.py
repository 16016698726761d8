"""A user's own data set, from one CSV file; what --force must not overwrite or
leave behind. Wrong files and options are refused: exit code 2, the place, no
lists."""
import hashlib
import json
import os
import re

import pytest
from commands import refused, vifi
from split_files import (OWN_ROWS, PUBLISHED, SMALL, WRITERS, contents, copy,
                         edit, lists_in, make_own, names_of, official_call,
                         own_call, rows_of, write, write_kinetics)

from projects.vifi_clip_tools.splits import classes

COUNTS = {'stir': 6, 'chop': 9, 'pour tea': 4}
ROWS = ['path,label,split'] + [
    f'{name}/{i}.mp4,{name},{"train" if i else "val"}'
    for name, count in COUNTS.items() for i in range(count)]


def make(tmp_path, *options, rows=ROWS):
    return vifi(*own_call(tmp_path, '--shots', '2', '--base-shots', '3',
                          *options, rows=rows))


def test_given_split(tmp_path):
    assert make(tmp_path) == 0
    out = tmp_path / 'lists'
    assert (out / 'classes.txt').read_text() == 'chop\npour tea\nstir\n'
    assert rows_of(out / 'val.txt') == [
        ('chop/0.mp4', 0), ('pour tea/0.mp4', 1), ('stir/0.mp4', 2)]
    # Training videos: chop 8, pour tea 3, stir 5; so base is chop and stir.
    assert (out / 'base_classes.txt').read_text() == 'chop\nstir\n'
    assert (out / 'novel_classes.txt').read_text() == 'pour tea\n'
    assert rows_of(out / 'base_val.txt') == [('chop/0.mp4', 0),
                                             ('stir/0.mp4', 1)]
    assert rows_of(out / 'novel_val.txt') == [('pour tea/0.mp4', 0)]
    # A byte order mark and line ends of Windows are fine.
    call = own_call(tmp_path, '--shots', '2', '--base-shots', '3', out='b')
    (tmp_path / 'own.csv').write_bytes(
        b'\xef\xbb\xbf' + '\r\n'.join(ROWS).encode())
    assert vifi(*call) == 0
    assert lists_in(tmp_path / 'b') == lists_in(out)


def test_golden_few_shot_list(tmp_path):
    """That of an independent few lines. It must never change: lists of
    others would no longer be made again."""
    assert make(tmp_path) == 0
    expected = ''
    for label, name in enumerate(sorted(COUNTS)):
        paths = [f'{name}/{i}.mp4' for i in range(1, COUNTS[name])]
        paths.sort(key=lambda p: hashlib.sha256(b'2 ' + p.encode()).digest())
        expected += ''.join(f'{p} {label}\n' for p in sorted(paths[:2]))
    made = tmp_path / 'lists' / 'few_shot_train_2shot_seed2.txt'
    assert made.read_text() == expected
    assert hashlib.sha256(made.read_bytes()).hexdigest() == (
        '33eb712b546d39ad8d6abc9ebbd054c0396e65dc9943ec857a00f69dd9b28e47')


def test_hash_split_holds_out_a_share_of_each_class(tmp_path):
    rows = [row.rpartition(',')[0] for row in ROWS]
    ratio = '--val-ratio', '0.25'
    assert make(tmp_path, *ratio, rows=rows) == 0
    out = tmp_path / 'lists'
    train, val = (rows_of(out / f'{part}.txt') for part in ('train', 'val'))
    assert [sum(k == label for _, k in val) for label in (0, 1, 2)] == [
        2, 1, 2]  # of 9, 4 and 6
    assert len(train) + len(val) == 19 == len({p for p, _ in train + val})
    assert vifi(*own_call(tmp_path, '--shots', '--base-shots', *ratio,
                          rows=rows[:1] + rows[:0:-1], out='b')) == 0
    # the same with the rows in another order, and no K-shot list
    few = {name for name in lists_in(out) if 'shot' in name}
    assert few and lists_in(tmp_path / 'b') == {
        name: data for name, data in lists_in(out).items() if name not in few}


def test_shots_of_the_base_lists_are_those_of_the_others(tmp_path):
    """16, as in the paper, would ask too much of small sets."""
    assert vifi(*own_call(tmp_path, '--shots', '2', '--seeds', '1')) == 0
    assert {name for name in lists_in(tmp_path / 'lists')
            if 'shot' in str(name) and str(name).endswith('.txt')} == {
        'few_shot_train_2shot_seed1.txt', 'base_train_2shot_seed1.txt'}


def test_class_list_and_halves_of_ones_own(tmp_path):
    """The class list fixes the label order; labels count within a half."""
    classes, base, novel = (
        write(tmp_path / f'{name}.txt', text) for name, text in dict(
            classes='stir\npour tea\nchop\n', base='pour tea\n',
            novel='stir\nchop\n').items())
    assert make(tmp_path, '--classes', classes,
                '--halves', base, novel) == 0
    assert rows_of(tmp_path / 'lists/val.txt') == [
        ('stir/0.mp4', 0), ('pour tea/0.mp4', 1), ('chop/0.mp4', 2)]
    assert rows_of(tmp_path / 'lists/novel_val.txt') == [
        ('stir/0.mp4', 0), ('chop/0.mp4', 1)]


def test_more_shots_join_the_manifest(tmp_path):
    assert make(tmp_path) == 0
    assert make(tmp_path, '--shots', '1') == 0
    lists = json.loads((tmp_path / 'lists/manifest.json').read_text())['lists']
    assert {'few_shot_train_1shot_seed1.txt',
            'few_shot_train_2shot_seed1.txt'} < set(lists)
    assert vifi('splits', 'kitchen', '--check', '--out',
                tmp_path / 'lists') == 0


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A copy of the committed class lists, in place of the true ones."""
    copy = tmp_path / 'data_splits'
    for dataset in 'ucf101', 'k600':
        for path in (PUBLISHED / dataset).glob('*classes*.txt'):
            write(copy / dataset / path.name, path.read_text())
    monkeypatch.setattr(classes, 'PUBLISHED', copy)
    return copy


def test_committed_class_lists_are_never_overwritten(tmp_path, capsys,
                                                     published):
    source = WRITERS['ucf101'](tmp_path / 'official')
    names = names_of('ucf101')
    halves = [write(tmp_path / name, '\n'.join(part) + '\n')
              for name, part in (('b.txt', names[60:]), ('n.txt', names[:60]))]
    folder = published / 'ucf101'
    before = contents(folder)
    options = ['--force', '--halves', *halves]
    refused(capsys, *official_call('ucf101', source, folder, *options),
            names=['base_classes.txt', '--out'])
    assert contents(folder) == before
    assert vifi(*official_call('ucf101', source, tmp_path / 'mine',
                               *options)) == 0


@pytest.mark.parametrize('dataset, name', [
    ('ucf101', 'novel_classes.txt'), ('ucf101', 'classes.txt'),
    ('k600', 'zero_shot_2_classes.txt')])
def test_a_missing_published_list(tmp_path, capsys, published, dataset, name):
    source = WRITERS[dataset](tmp_path / 'official')
    (published / dataset / name).unlink()
    refused(capsys, *official_call(dataset, source, tmp_path / 'lists'),
            names=[name, 'git checkout'])


def test_different_lists_are_spared(tmp_path, capsys):
    source = WRITERS['msrvtt'](tmp_path / 'official')
    out = tmp_path / 'lists'
    call = official_call('msrvtt', source, out)
    mine = write(out / 'train_9k.json', '{"mine": ["x"]}\n')
    refused(capsys, *call, names=['train_9k.json', '--force'])
    assert os.listdir(out) == ['train_9k.json'] and 'mine' in mine.read_text()
    assert vifi(*call, '--force') == 0
    assert 'mine' not in mine.read_text()
    assert sorted(os.listdir(out)) == ['manifest.json', 'test_JSFUSION.json',
                                       'train_9k.json']
    # Captions are checked as well.
    check = ['splits', 'msrvtt', '--check', '--out', out, '--videos', tmp_path]
    refused(capsys, *check, names='video10.mp4')
    write(mine, '5')
    refused(capsys, *check, names='train_9k.json')
    # A failed write leaves nothing.
    (tmp_path / 'other/train_9k.json').mkdir(parents=True)
    refused(capsys, *official_call('msrvtt', source, tmp_path / 'other',
                                   '--force'), names='train_9k.json')
    assert os.listdir(tmp_path / 'other') == ['train_9k.json']


def test_force_deletes_the_lists_of_other_annotations(tmp_path, capsys):
    out = tmp_path / 'lists'
    old = out / 'few_shot_train_2shot_seed1.txt'
    assert make_own(tmp_path, '--shots', '2') == 0
    mine = write(out / 'few_shot_train_9shot_seed9.txt', 'mine.mp4 0\n')
    before = contents(out)
    # What was trained on is tested on now.
    rows = [re.sub('/([01]).mp4', lambda m: f'/{1 - int(m[1])}.mp4', row)
            for row in OWN_ROWS]
    refused(capsys, *own_call(tmp_path, rows=rows), names=[old.name,
                                                           '--force'])
    assert contents(out) == before
    # One that was changed since is spared.
    kept = old.read_text()
    write(old, 'mine.mp4 0\n')
    refused(capsys, *own_call(tmp_path, *SMALL, '--force', rows=rows),
            names=old.name)
    assert old.read_text() == 'mine.mp4 0\n'
    write(old, kept)
    assert contents(out) == before
    assert make_own(tmp_path, '--force', rows=rows) == 0
    assert old.name in capsys.readouterr().out and not old.exists()
    manifest = json.loads((out / 'manifest.json').read_text())
    assert old.name not in manifest['lists']
    assert mine.exists()  # no manifest vouches for it
    val = {path for path, _ in rows_of(out / 'val.txt')}
    for path in set(out.glob('*train*.txt')) - {mine}:
        assert not val & {path for path, _ in rows_of(path)}


def test_force_deletes_nothing_outside(tmp_path, capsys):
    assert make_own(tmp_path) == 0
    other = write(tmp_path / 'precious.txt', 'x')
    path = tmp_path / 'lists/manifest.json'
    manifest = json.loads(path.read_text())
    manifest['lists']['../precious.txt'] = dict(
        sha256=hashlib.sha256(b'x').hexdigest())
    write(path, json.dumps(manifest))
    rows = [*OWN_ROWS, 'stir/9.mp4,stir,val']
    refused(capsys, *own_call(tmp_path, rows=rows), names=[path, '--force'])
    assert make_own(tmp_path, '--force', rows=rows) == 0
    assert other.read_text() == 'x'


def test_force_spares_the_sources(tmp_path, capsys):
    out = tmp_path / 'lists'
    source = write(out / 'classes.txt', 'stir\n chop\n')
    link = tmp_path / 'linked.txt'
    link.symlink_to(source)
    for path in source, link:
        refused(capsys, *own_call(tmp_path, *SMALL, '--force', '--classes',
                                  path), names='classes.txt')
    assert os.listdir(out) == ['classes.txt']
    write(source, 'stir\nchop\n')  # as it would be written
    assert make_own(tmp_path, '--force', '--classes', source) == 0


def edit_json(name, change):
    def edit(folder):
        data = json.loads((folder / name).read_text())
        change(data)
        write(folder / name, json.dumps(data))
    return edit


OFFICIAL = [
    ('k400', edit('train.csv', 'air drumming', 'air druming'),
     ['train.csv, line 5', "'air druming'"]),
    ('k400', edit('train.csv', ',0,10,train', ',x,10,train'),
     ['train.csv, line 2', 'time_start', "'x'"]),
    ('k400', edit('train.csv', 'tr-0000_000', '#NAME?'),
     ['train.csv, line 2', '#NAME?']),
    ('k400', copy('validate.csv', 'train.csv'),
     ['train.csv, line 2', "'validate'"]),
    ('k400', edit('train.csv', '0000_001,1,11', '0000_000,0,10'),
     ['train.csv, line 3', 'train.csv, line 2']),
    ('k400', lambda d: (d / 'validate.csv').unlink(), ['val*.csv']),
    ('k400', copy('validate.csv', 'val.csv'), ['val.csv, validate.csv']),
    ('hmdb51', lambda d: (d / 'wave_test_split2.txt').unlink(),
     ['wave_test_split2.txt']),
    ('hmdb51', edit('chew_test_split3.txt', '.avi 2', '.avi 3'),
     ['chew_test_split3.txt, line', '.avi 3']),
    ('hmdb51', copy('chew_test_split1.txt', 'chews_test_split1.txt'),
     ['chews_test_split1.txt', "'chews'"]),
    ('hmdb51', copy('wave_test_split1.txt', 'chew_test_split1.txt'),
     ['chew_test_split1.txt, line 1', "'chew'"]),
    ('ucf101', copy('trainlist01.txt', 'testlist01.txt'),
     ['testlist01.txt, line 1']),
    ('ucf101', edit('trainlist01.txt', '.avi 2\r', '.avi 3\r'),
     ['trainlist01.txt, line 4', "'3'"]),
    ('ucf101', edit('classInd.txt', '35 Hammering\n36 HammerThrow',
                    '35 HammerThrow\n36 Hammering'),
     ['classInd.txt, line 35', '35 HammerThrow']),
    ('ucf101', edit('trainlist01.txt', '/v_', '/v_X', -1),
     ['trainlist01.txt, line 1', '303 of 303']),
    ('ssv2', edit_json('validation.json', lambda d: d[1].pop('template')),
     ['validation.json, item 1']),
    ('ssv2', edit_json('something-something-v2-labels.json',
                       lambda c: c.update({'Closing something': '7'})),
     ['labels.json', "'Closing something'", "'7'"]),
    ('msrvtt', edit('MSRVTT_train.9k.csv', 'video9', 'video7'),
     ['MSRVTT_train.9k.csv, line 3', "'video7'"]),
    ('msrvtt', edit('MSRVTT_train.9k.csv', 'video9', 'video3'),
     ['MSRVTT_train.9k.csv, line 3', "'video3'"]),
    ('msrvtt', edit('MSRVTT_train.9k.csv', 'video9', 'clip9'),
     ['MSRVTT_train.9k.csv, line 3', "'clip9'"]),
    ('msrvtt', edit('MSRVTT_data.json', '"first"', '" "'),
     ['MSRVTT_data.json', 'sentence 2', "'video9'"])]


@pytest.mark.parametrize('dataset, spoil, names', OFFICIAL)
def test_wrong_annotations(tmp_path, capsys, dataset, spoil, names):
    source = WRITERS[dataset](tmp_path / 'official')
    spoil(source)
    refused(capsys, *official_call(dataset, source, tmp_path / 'lists'),
            names=names)
    assert not (tmp_path / 'lists').exists()


OWN = [  # a header of two columns stands before those without
    (['file,label', 'a.mp4,chop'], ['line 1', 'file,label']),
    (['a.mp4'], ['line 2']),
    (['a,b.mp4,chop'], ['line 2', 'quotes']),
    ([], ['no row']),
    (['a.mp4,'], ['line 2']),
    (['path,label,split', 'a.mp4,chop,dev'], ['line 2', "'dev'"]),
    (['../a.mp4,chop'], ['line 2', '../a.mp4']),
    (['"a', 'b.mp4",chop'], ['line 3', 'a\\nb.mp4']),
    (['a.mp4,chop', 'b.mp4,"stir', 'c.mp4,chop'], ['line 3']),
    (['a.mp4,chop', 'b.mp4,stir', 'c.mp4,Chop'], ["'chop'", "'Chop'"]),
    (['a.mp4,pour tea', 'b.mp4,pour_tea'], ["'pour tea'", "'pour_tea'"]),
    (['a.mp4,chop', './a.mp4,chop'], ['line 3', 'line 2', 'a.mp4']),
    (['path,label,split', 'a.mp4,chop,train', 'a.mp4,chop,val'],
     ['line 3', 'line 2']),
    (['a.mp4,chop', 'b.mp4,stir', 'c.mp4,stir'], ['line 2', "'chop'"]),
    (['path,label,split', 'b.mp4,chop,train', 'c.mp4,chop,val',
      'd.mp4,stir,train', 'e.mp4,stir,train', 'f.mp4,boil,val'],
     ["'boil'", '--shots 1']),
    (['a.mp4,chop', 'b.mp4,chop'], ["'chop'"]),
    (['path,label,split', 'a.mp4,chop,train'], ['no val video'])]


@pytest.mark.parametrize('rows, names', OWN)
def test_wrong_rows(tmp_path, capsys, rows, names):
    if not rows or not rows[0].startswith(('path,', 'file,')):
        rows = ['path,label', *rows]
    refused(capsys, *own_call(tmp_path, rows=rows), names=['own.csv', *names])
    assert not (tmp_path / 'lists').exists()


@pytest.mark.parametrize('lists, names', [
    (('stir\nchop\n', 'chop\n'), "'chop'"), (('stir\n', 'pour\n'), "'pour'"),
    (('stir\n', 'stir\n'), "'stir'"), (('stir\n', ''), '1.txt'),
    (('stir\nchop it\n', ), ['own.csv, line 2', "'chop'", '0.txt']),
    (('chop\nstir\nboil\n', ), ["'boil' has 0", '0.txt'])])
def test_wrong_halves_or_classes(tmp_path, capsys, lists, names):
    files = [write(tmp_path / f'{i}.txt', text)
             for i, text in enumerate(lists)]
    option = '--halves' if len(files) == 2 else '--classes'
    refused(capsys, *own_call(tmp_path, *SMALL, option, *files), names=names)
    assert not (tmp_path / 'lists').exists()


@pytest.mark.parametrize('options, name', [
    (['--shots', 4], '--tiny 150'),
    (['--tiny', 0, '--shots', 4], '--shots 4'),
    (['--tiny', 0, '--shots', 2], '--base-shots 16')])
def test_too_few_for_a_draw(tmp_path, capsys, options, name):
    source = write_kinetics(tmp_path / 'official', 'k400')
    refused(capsys, 'splits', 'k400', '--annotations', source, '--out',
            tmp_path / 'lists', *options, names=[name, 'at most 3'])
    assert not (tmp_path / 'lists').exists()


@pytest.mark.parametrize('pattern', [
    '', '{name[x]}', '{name', '{name:40}', '{{name}}', '{id}', ' {name}',
    'a\n{name}', '/videos/{name}', '../{name}'])
def test_patterns(tmp_path, capsys, pattern):
    source = WRITERS['msrvtt'](tmp_path / 'official')
    refused(capsys, *official_call('msrvtt', source, tmp_path / 'lists'),
            f'--pattern={pattern}')
    assert not (tmp_path / 'lists').exists()


def test_one_path_of_two_videos(tmp_path, capsys):
    source = WRITERS['ucf101'](tmp_path / 'official')
    path = source / 'testlist01.txt'
    text = path.read_text()
    path.write_text(text + text.split('\n')[0].replace('.avi', '.mp4') + '\n')
    call = official_call('ucf101', source, tmp_path / 'lists')
    refused(capsys, *call, '--pattern', '{stem}.mkv',
            names=['testlist01.txt, line 203', 'line 1)', '--pattern'])
    # a few names of other classes are the official ones
    edit('trainlist01.txt', '/v_', '/v_X', 20)(source)
    assert vifi(*call, '--pattern', '{name}') == 0


@pytest.mark.parametrize('argv, name', [
    (['hmbd51', '--annotations', 'x'], "'hmbd51'"),
    (['ucf101', '--csv', 'x'], '--annotations'),
    (['ucf101', '--annotations', 'nowhere'], 'nowhere'),
    (['k600', '--annotations', '.', '--shots', '3'], '--shots'),
    (['ucf101', '--annotations', '.', '--videos', 'x'], '--videos'),
    (['kitchen', '--csv', 'x', '--val-ratio', '1'], '--val-ratio'),
    (['kitchen', '--csv', 'x', '--partition', 'published'], '--halves'),
    (['ucf101', '--annotations', '.', '--partition', 'frequency',
      '--halves', 'a', 'b'], '--halves'),
    (['ucf101', '--check'], 'no manifest'),
    (['msrvtt', '--import', '.'], '--import'),
    (['k400', '--import', '.'], 'datasets_splits/')])
def test_wrong_options(tmp_path, capsys, monkeypatch, argv, name):
    monkeypatch.chdir(tmp_path)
    refused(capsys, 'splits', *argv, '--out', 'lists', names=name)
    assert not list(tmp_path.iterdir())


def test_own_data_set_needs_a_folder(tmp_path, capsys):
    refused(capsys, 'splits', 'kitchen', '--csv', 'x', names='--out')
    out = write(tmp_path / 'lists', 'mine')
    refused(capsys, *own_call(tmp_path), names=str(out))
    assert out.read_text() == 'mine'
    out.unlink()
    assert make_own(tmp_path) == 0
