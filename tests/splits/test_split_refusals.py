"""Wrong files and options are refused: exit code 2, the place, no lists."""
import json

import pytest
from commands import refused, vifi
from split_files import (SMALL, WRITERS, copy, edit, make_own, official_call,
                         own_call, write, write_kinetics)


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
    ('k600', lambda d: write_kinetics(d, 'k400'), ['train.csv, line', '600']),
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
    ('ucf101', edit('testlist03.txt', 'YoYo_g03_c00', 'YoYo_g13_c00'),
     ['testlist03.txt, line 201', 'trainlist03.txt, line 301']),
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
    ('ssv2', edit('train.json', 'Closing [something]', 'Closing [everything]'),
     ['train.json, item', "'Closing everything'"]),
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
    (['a.mp4,chop', 'b.mp4,"stir\nb"'], ['line 4', "'stir\\nb'"]),
    (['a.mp4,chop\u2028it'], ['line 2']),
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
    '', ' ', '{name[x]}', '{name', '{name:40}', '{{name}}', '{id}', ' {name}',
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
    (['hmdb51', '--annotations', 'nowhere'], 'nowhere'),
    (['k600', '--annotations', '.', '--shots', '3'], '--shots'),
    (['ucf101', '--annotations', '.', '--videos', 'x'], '--videos'),
    (['ucf101', '--annotations', '.', '--shots', '0'], '--shots'),
    (['kitchen', '--csv', 'x', '--val-ratio', '1'], '--val-ratio'),
    (['kitchen', '--csv', 'x', '--partition', 'published'], '--halves'),
    (['ucf101', '--annotations', '.', '--partition', 'frequency',
      '--halves', 'a', 'b'], '--halves'),
    (['ucf101', '--check'], 'no manifest'),
    (['msrvtt', '--import', '.'], '--import'),
    (['k400', '--import', '.'], 'datasets_splits/'),
    (['ucf101', '--anotations', '.'], '--annotations')])
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
