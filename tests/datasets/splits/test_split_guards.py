"""Bad names, patterns, paths, manifests and official files are refused."""
import json
import shutil

import pytest
import split_files as files
from split_files import OWN_ROWS as ROWS
from split_files import SMALL
from split_files import make_own as make
from split_files import refused, write

from projects.vifi_clip_tools.splits.cli import main

BAD_TABLES = {
    'line feed': (['"chop', 'it.mp4"', 'a.mp4,"chop', 'stir"'], ['line 3']),
    'line feed in a label': (['a.mp4,"chop', 'b.mp4,stir"'],
                             ['line 3', "'chop\\nb.mp4,stir'", 'quote']),
    'next line': (['a.mp4,chop\x85it'], ['line 2', 'quote is missing']),
    'separator': (['a.mp4,chop\u2028it'], ['line 2', 'quote is missing']),
    'form feed': (['a.mp4,chop\x0cit'], ['line 2', 'quote is missing']),
    'open quote': (['a.mp4,chop', 'b.mp4,"stir', 'c.mp4,chop'],
                   ['line 3', 'quote is not closed']),
    'text after a quote': (['a.mp4,"chop"s'], ['line 2', 'quote']),
    'nul': (['a\0.mp4,chop'], ['line 2', 'a\\x00.mp4']),
    'next line in a path': (['a\x85b.mp4,chop'], ['line 2', 'a\\x85b.mp4']),
    'case': (['a.mp4,chop', 'b.mp4,stir', 'c.mp4,Chop'],
             ['line 2', 'line 4', "'Chop'"]),
}


@pytest.mark.parametrize('case', BAD_TABLES)
def test_tables(tmp_path, capsys, case):
    rows, told = BAD_TABLES[case]
    code = make(tmp_path, rows=['path,label', *rows])
    refused(capsys, code, 'own.csv', *told)
    assert not (tmp_path / 'lists').exists()


def test_messages_say_what_to_do(tmp_path, capsys):
    rows = [*ROWS, 'boil/0.mp4,boil,val']
    refused(capsys, make(tmp_path, rows=rows), 'own.csv', "'boil' has 0",
            'take the class out of', 'add training videos')
    classes = write(tmp_path / 'c.txt', 'chop\nstir\nboil\n')
    refused(capsys, make(tmp_path, '--classes', str(classes)), "'boil' has 0",
            f'take the class out of {classes}')
    rows = [row.replace(',val', ',train') for row in ROWS]
    refused(capsys, make(tmp_path, rows=rows), 'own.csv', "'val'",
            'column "split"')
    rows = [row.replace('stir,val', 'stir,train') for row in ROWS]
    refused(capsys, make(tmp_path, rows=rows), 'own.csv', "('stir')",
            'no val video', 'column "split"')


PATTERNS = {
    '': 'empty pattern',
    ' ': 'empty pattern',
    '{name[x]}': "'name[x]'",
    '{name.x}': "'name.x'",
    '{name': '{stem}',
    '{name:40}': 'format',
    '{name!r}': 'format',
    '{{name}}': 'same path',
    ' {name}': 'blank',
    '{name} ': 'blank',
    'a\n{name}': 'line break',
    '/videos/{name}': 'relative',
    '../{name}': 'below',
}


@pytest.mark.parametrize('dataset', ['msrvtt', 'ucf101'])
@pytest.mark.parametrize('pattern', PATTERNS)
def test_patterns(tmp_path, capsys, pattern, dataset):
    source = getattr(files, f'write_{dataset}')(tmp_path / 'official')
    code = main([dataset, '--annotations', str(source), '--out',
                 str(tmp_path / 'lists'), '--pattern', pattern,
                 *(SMALL if dataset == 'ucf101' else ())])
    refused(capsys, code, PATTERNS[pattern])
    assert not (tmp_path / 'lists').exists()


def test_import_checks_paths_too(tmp_path, capsys):
    root = files.write_release(tmp_path / 'release')
    code = main(['hmdb51', '--import', str(root), '--pattern', '../{name}',
                 '--out', str(tmp_path / 'lists')])
    refused(capsys, code, 'train.txt, line 1: ', 'below')


def test_one_path_of_two_videos(tmp_path, capsys):
    source = files.write_ucf101(tmp_path / 'official')
    path = source / 'testlist01.txt'
    text = path.read_text()
    first = text.split('\n')[0]
    path.write_text(text + first.replace('.avi', '.mp4') + '\n')
    call = ['ucf101', '--annotations', str(source), *SMALL, '--out',
            str(tmp_path / 'lists'), '--pattern']
    refused(capsys, main([*call, '{stem}.mkv']), 'testlist01.txt, line 203',
            'line 1)', 'another video')
    assert main([*call, '{name}']) == 0


def spoil_lists(value):
    def spoil(out):
        manifest = json.loads((out / 'manifest.json').read_text())
        manifest['lists'] = value
        write(out / 'manifest.json', json.dumps(manifest))
    return spoil


DAMAGE = {
    'text': (spoil_lists({'train.txt': 'abc'}), ["'train.txt'", "'abc'"]),
    'null': (spoil_lists({'train.txt': None}), ["'train.txt'", 'None']),
    'number': (spoil_lists({'train.txt': {'sha256': 5}}), ["'train.txt'"]),
    'outside': (spoil_lists({'../x.txt': {'sha256': 'x'}}), ["'../x.txt'"]),
    'empty': (spoil_lists({}), ['lists nothing']),
    'nested': (lambda out: write(out / 'manifest.json', '[' * 200000),
               ['manifest.json', 'nested too deeply']),
    'list': (lambda out: write(out / 'train_9k.json', '5'),
             ['train_9k.json was changed']),
    'nested list': (lambda out: write(out / 'train_9k.json', '[' * 200000),
                    ['train_9k.json was changed']),
}


@pytest.mark.parametrize('case', DAMAGE)
def test_check_of_damaged_files(tmp_path, capsys, case):
    spoil, told = DAMAGE[case]
    out = tmp_path / 'lists'
    source = files.write_msrvtt(tmp_path / 'official')
    assert main(['msrvtt', '--annotations', str(source), '--out',
                 str(out)]) == 0
    spoil(out)
    capsys.readouterr()
    videos = tmp_path / 'videos'
    for number in 7, 8, 9, 10:
        write(videos / f'video{number}.mp4', '')
    for options in [], ['--videos', str(videos)]:
        refused(capsys, main(['msrvtt', '--check', '--out', str(out),
                              *options]), *told)


def official(tmp_path, dataset, spoil):
    writers = dict(k400=lambda d: files.write_kinetics(d, 'k400'),
                   hmdb51=files.write_hmdb51, ucf101=files.write_ucf101,
                   msrvtt=files.write_msrvtt)
    source = writers[dataset](tmp_path / 'official')
    spoil(source)
    tiny = ['--tiny', '1'] if dataset == 'k400' else []
    return main([dataset, '--annotations', str(source), '--out', str(
        tmp_path / 'lists'), *tiny, *(SMALL if dataset != 'msrvtt' else ())])


def edit(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


OFFICIAL = {
    'hmdb51 content of another class': (
        'hmdb51', lambda d: shutil.copy(d / 'wave_test_split1.txt',
                                        d / 'chew_test_split1.txt'),
        ['chew_test_split1.txt, line 1', "named after 'wave'", "'chew'"]),
    'ucf101 names of another class': (
        'ucf101', lambda d: edit(d / 'trainlist01.txt', '/v_', '/v_X', -1),
        ['trainlist01.txt, line 1', 'another class', '303 of 303']),
    'k400 id': ('k400', lambda d: edit(
        d / 'train.csv', 'tr-0000_000', '#NAME?'),
        ['train.csv, line 2', "'#NAME?'"]),
    'k400 id outside': ('k400', lambda d: edit(
        d / 'train.csv', 'tr-0000_000', '../x'), ['train.csv, line 2']),
    'k400 times': ('k400', lambda d: edit(
        d / 'train.csv', ',0,10,', ',10,0,'),
        ['train.csv, line 2', 'time_end 0', 'time_start 10']),
    'msrvtt empty caption': ('msrvtt', lambda d: edit(
        d / 'MSRVTT_data.json', '"first"', '" "'),
        ['MSRVTT_data.json', 'sentence 2', "'video9'", 'empty']),
}


@pytest.mark.parametrize('case', OFFICIAL)
def test_official_files(tmp_path, capsys, case):
    dataset, spoil, told = OFFICIAL[case]
    refused(capsys, official(tmp_path, dataset, spoil), *told)
    assert not (tmp_path / 'lists').exists()


def test_a_few_odd_names_are_the_official_ones(tmp_path):
    assert official(tmp_path, 'ucf101', lambda d: edit(
        d / 'trainlist01.txt', '/v_', '/v_X', 20)) == 0
