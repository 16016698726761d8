"""Wrong official files: what the message says, and that nothing is made."""
import json
import os

import pytest
import split_files as files
from split_files import write

from projects.vifi_clip_tools.splits.cli import main

WRITERS = {
    'k400': lambda d: files.write_kinetics(d, 'k400'),
    'k600': lambda d: files.write_kinetics(d, 'k600'),
    'hmdb51': files.write_hmdb51,
    'ucf101': files.write_ucf101,
    'ssv2': files.write_ssv2,
    'msrvtt': files.write_msrvtt,
}


def edit(path, old, new):
    """Replace the first occurrence of a text, line ends as they are."""
    data = path.read_bytes()
    assert old.encode() in data
    path.write_bytes(data.replace(old.encode(), new.encode(), 1))


def edit_json(path, change):
    data = json.loads(path.read_text())
    change(data)
    write(path, json.dumps(data))


def copy(folder, one, other):
    (folder / other).write_bytes((folder / one).read_bytes())


CASES = {
    'k400 columns': ('k400', lambda d: edit(d / 'train.csv', 'youtube_id',
                                            'id'),
                     ['train.csv, line 1', 'youtube_id', 'is_cc']),
    'k400 unknown class': ('k400', lambda d: edit(
        d / 'train.csv', 'air drumming', 'air druming'),
        ['train.csv, line 5', "'air druming'", "mean 'air drumming'?"]),
    'k400 time': ('k400', lambda d: edit(d / 'train.csv', ',0,10,train',
                                         ',x,10,train'),
                  ['train.csv, line 2', "time_start is 'x'"]),
    'k400 test list for training': (
        'k400', lambda d: copy(d, 'validate.csv', 'train.csv'),
        ['train.csv, line 2', "'validate'", 'train part']),
    'k400 repeated': ('k400', lambda d: edit(d / 'train.csv', '0000_001,1,11',
                                             '0000_000,0,10'),
                      ['train.csv, line 3', 'train.csv, line 2']),
    'k400 class in the other data set': (
        'k600', lambda d: files.write_kinetics(d, 'k400'),
        ['train.csv, line', 'is not one of the 600 classes']),
    'k400 no file': ('k400', lambda d: (d / 'validate.csv').unlink(),
                     ['val part', 'val*.csv']),
    'k400 two files': ('k400', lambda d: copy(d, 'validate.csv', 'val.csv'),
                       ['val.csv, validate.csv', 'keep one']),
    'hmdb51 missing file': (
        'hmdb51', lambda d: (d / 'wave_test_split2.txt').unlink(),
        ['1 of the 153', 'wave_test_split2.txt']),
    'hmdb51 number': ('hmdb51', lambda d: edit(
        d / 'chew_test_split3.txt', '.avi 2', '.avi 3'),
        ['chew_test_split3.txt, line', '.avi 3', '2 (test)']),
    'hmdb51 foreign file': ('hmdb51', lambda d: copy(
        d, 'chew_test_split1.txt', 'chews_test_split1.txt'),
        ['chews_test_split1.txt', "mean 'chew'?"]),
    'hmdb51 empty': ('hmdb51', lambda d: write(
        d / 'chew_test_split1.txt', ''), ['chew_test_split1.txt', 'empty']),
    'ucf101 test list for training': (
        'ucf101', lambda d: copy(d, 'testlist02.txt', 'trainlist02.txt'),
        ['trainlist02.txt, line 1', 'looks like a test list']),
    'ucf101 training list for test': (
        'ucf101', lambda d: copy(d, 'trainlist01.txt', 'testlist01.txt'),
        ['testlist01.txt, line 1', 'looks like a training list']),
    'ucf101 number': ('ucf101', lambda d: edit(
        d / 'trainlist01.txt', '.avi 2\r', '.avi 3\r'),
        ['trainlist01.txt, line 4', "'3'", 'number 2']),
    'ucf101 leak': ('ucf101', lambda d: edit(
        d / 'testlist03.txt', 'YoYo_g03_c00', 'YoYo_g13_c00'),
        ['testlist03.txt, line 201', 'trainlist03.txt, line 301']),
    'ucf101 class order': ('ucf101', lambda d: edit(
        d / 'classInd.txt', '35 Hammering\n36 HammerThrow',
        '35 HammerThrow\n36 Hammering'),
        ['classInd.txt, line 35', '36 HammerThrow']),
    'ssv2 test file': ('ssv2', lambda d: edit_json(
        d / 'validation.json', lambda items: items[1].pop('template')),
        ['validation.json, item 1', 'test list']),
    'ssv2 label numbers': ('ssv2', lambda d: edit_json(
        d / 'labels.json', lambda c: c.update({'Closing something': '7'})),
        ['labels.json', "'Closing something'", "'7'", 'expected 5']),
    'ssv2 template': ('ssv2', lambda d: edit(
        d / 'train.json', 'Closing [something]', 'Closing [everything]'),
        ['train.json, item', "'Closing everything'"]),
    'ssv2 not json': ('ssv2', lambda d: write(d / 'train.json', '[{"id":'),
                      ['train.json, line 1', 'not valid JSON']),
    'msrvtt leak': ('msrvtt', lambda d: edit(
        d / 'MSRVTT_train.9k.csv', 'video9', 'video7'),
        ['MSRVTT_train.9k.csv, line 3', "'video7'", 'test list']),
    'msrvtt no caption': ('msrvtt', lambda d: edit(
        d / 'MSRVTT_train.9k.csv', 'video9', 'video3'),
        ['MSRVTT_train.9k.csv, line 3', "'video3' has no caption"]),
    'msrvtt two captions': ('msrvtt', lambda d: edit(
        d / 'MSRVTT_JSFUSION_test.csv', 'video8', 'video7'),
        ['MSRVTT_JSFUSION_test.csv, line 3', 'one caption']),
    'msrvtt id': ('msrvtt', lambda d: edit(
        d / 'MSRVTT_train.9k.csv', 'video9', 'clip9'),
        ['MSRVTT_train.9k.csv, line 3', "'clip9'"]),
}


@pytest.mark.parametrize('case', CASES)
def test_wrong_annotations(tmp_path, capsys, case):
    dataset, spoil, told = CASES[case]
    source = WRITERS[dataset](tmp_path / 'official')
    spoil(source)
    options = [] if dataset in ('k600', 'msrvtt') else [
        '--shots', '1', '--base-shots', '1']
    options += ['--tiny', '1'] if dataset == 'k400' else []
    code = main([dataset, '--annotations', str(source), '--out',
                 str(tmp_path / 'lists'), *options])
    said = capsys.readouterr().err
    assert code == 2
    for part in told:
        assert part in said
    assert said.count('\n') == 1  # one message, no traceback
    assert not (tmp_path / 'lists').exists()


def test_too_few_for_a_draw(tmp_path, capsys):
    source = files.write_kinetics(tmp_path / 'official', 'k400')
    call = ['k400', '--annotations', str(source), '--out',
            str(tmp_path / 'lists')]
    for options, told in ((['--shots', '4'], '--tiny 150'),
                          (['--tiny', '0', '--shots', '4'], '--shots 4'),
                          (['--tiny', '0', '--shots', '2'],
                           '--base-shots 16')):
        assert main(call + options) == 2
        said = capsys.readouterr().err
        assert f'but {told} needs' in said and 'at most 3' in said
    assert not (tmp_path / 'lists').exists()


OPTIONS = {
    'unknown data set': (['hmbd51', '--annotations', 'x'],
                         "did you mean 'hmdb51'?"),
    'published from csv': (['ucf101', '--csv', 'x', '--out', 'y'],
                           '--annotations'),
    'no out': (['kitchen', '--csv', 'x'], '--out'),
    'no folder': (['ucf101', '--annotations', 'nowhere'], 'nowhere'),
    'no such field': (['msrvtt', '--annotations', '.', '--pattern', '{id}'],
                      '{label_}'),
    'one path for all': (['msrvtt', '--annotations', '.', '--pattern', 'x'],
                         'same path'),
    'no effect': (['k600', '--annotations', '.', '--shots', '3'],
                  '--shots has no effect'),
    'videos': (['ucf101', '--annotations', '.', '--videos', 'x'], '--check'),
    'nothing to check': (['ucf101', '--check', '--out', '.'], 'no manifest'),
    'release of msrvtt': (['msrvtt', '--import', '.'], 'no lists'),
    'no release there': (['k400', '--import', '.'], 'datasets_splits/'),
}


@pytest.mark.parametrize('case', OPTIONS)
def test_wrong_options(tmp_path, capsys, monkeypatch, case):
    argv, told = OPTIONS[case]
    files.write_msrvtt(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir())
    if '--out' not in argv and case != 'no out':
        argv = [*argv, '--out', 'lists']
    assert main(argv) == 2
    assert told in capsys.readouterr().err
    assert sorted(os.listdir()) == before


def test_different_lists_are_spared(tmp_path, capsys):
    source = files.write_msrvtt(tmp_path / 'official')
    out = tmp_path / 'lists'
    call = ['msrvtt', '--annotations', str(source), '--out', str(out)]
    mine = write(out / 'train_9k.json', '{"mine": ["x"]}\n')
    assert main(call) == 2
    said = capsys.readouterr().err
    assert 'train_9k.json' in said and '--force' in said
    assert os.listdir(out) == ['train_9k.json'] and 'mine' in mine.read_text()
    assert main([*call, '--force']) == 0
    assert 'mine' not in mine.read_text()
    assert sorted(os.listdir(out)) == ['manifest.json', 'test_JSFUSION.json',
                                       'train_9k.json']


def test_lists_of_other_annotations_do_not_stay_in_the_manifest(
        tmp_path, capsys):
    source = files.write_ucf101(tmp_path / 'official')
    out = tmp_path / 'lists'
    call = ['ucf101', '--annotations', str(source), '--out', str(out),
            '--base-shots', '1']
    assert main([*call, '--shots', '2']) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    edit(source / 'testlist03.txt', 'YoYo_g03_c00', 'YoYo_g03_c07')
    assert main([*call, '--shots', '1']) == 2
    assert 'few_shot_train_2shot_seed1.txt' in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    assert main([*call, '--shots', '1', '--force']) == 0
    lists = json.loads((out / 'manifest.json').read_text())['lists']
    assert 'few_shot_train_2shot_seed1.txt' not in lists


def test_a_failed_write_leaves_nothing(tmp_path, capsys):
    source = files.write_msrvtt(tmp_path / 'official')
    out = tmp_path / 'lists'
    (out / 'train_9k.json').mkdir(parents=True)
    assert main(['msrvtt', '--annotations', str(source), '--out', str(out),
                 '--force']) == 2
    assert 'is a folder' in capsys.readouterr().err
    assert os.listdir(out) == ['train_9k.json']
