"""Names in a table of one's own videos: spellings, numbers, several labels in
one field, paths of Windows; files and options that are not what is wanted."""
import json
import unicodedata

import pytest
from commands import refused
from split_files import SMALL, contents, make_own, own_call, rows_of, write

NFC = unicodedata.normalize('NFC', 'caf\u00e9')
NFD = unicodedata.normalize('NFD', NFC)


def _rows(*labels, count=4):
    return ['path,label', *(f'{i}_{k}.mp4,{label}' for i in range(count)
                            for k, label in enumerate(labels))]


def test_spellings_of_a_class_are_one(tmp_path):
    rows = [row.replace(f'0_0.mp4,{NFC}', f'0_0.mp4,{NFD} ')
            for row in _rows(NFC, 'stir\u00a0 tea')]
    assert f'0_0.mp4,{NFD} ' in rows
    assert make_own(tmp_path, rows=rows) == 0
    out = tmp_path / 'lists'
    assert (out / 'classes.txt').read_text() == f'{NFC}\nstir tea\n'
    assert {int(path[2]) == label for path, label in rows_of(
        out / 'train.txt')} == {True}
    # so with a class list, in either form
    classes = write(tmp_path / 'c.txt', f'1 stir tea\n2 {NFD}\n')
    with pytest.warns(UserWarning, match='taken for labels'):
        assert make_own(tmp_path, '--classes', classes, rows=rows,
                        out='other') == 0
    assert {int(path[2]) == 1 - label for path, label in rows_of(
        tmp_path / 'other/train.txt')} == {True}


def test_numbers_as_classes_are_in_their_order(tmp_path):
    """As text, 10 stands before 2, and label 10 would be class 1."""
    with pytest.warns(UserWarning, match='"a photo of a 0"; give words'):
        assert make_own(tmp_path, rows=_rows(*range(11))) == 0
    assert {path.partition('_')[2] == f'{label}.mp4' for path, label in
            rows_of(tmp_path / 'lists/train.txt')} == {True}


@pytest.mark.parametrize('rows, names', [
    (_rows('chop', 'lecture;indoor'), ['own.csv, line 3', 'lecture;indoor',
                                       'multi-label']),
    (_rows('chop', 'lecture|indoor'), ['line 3', 'multi-label']),
    (['path,label', 'a.mp4 3,chop', 'c.mp4,chop'], ['line 2', 'a.mp4 3']),
    (['path,label', 'a\\b.mp4,chop', 'c.mp4,chop'], ['line 2', 'Windows']),
    (['path,label', 'C:\\b.mp4,chop', 'c.mp4,chop'], ['line 2', 'write /'])])
def test_rows_that_are_refused(tmp_path, capsys, rows, names):
    classes = write(tmp_path / 'c.txt', 'chop\nb\n')
    for options in (), ('--classes', classes):
        refused(capsys, *own_call(tmp_path, *SMALL, *options, rows=rows),
                names=names)
    assert not (tmp_path / 'lists').exists()


def test_labels_that_are_several_others(tmp_path, capsys):
    refused(capsys, *own_call(tmp_path, *SMALL, rows=_rows(
        'chop', 'stir', '"chop, stir"')), names=['line 4', 'multi-label'])
    assert make_own(tmp_path, rows=_rows('chop', '"tai chi, stir"')) == 0


def test_folders_and_options(tmp_path, capsys):
    (tmp_path / 'folder').mkdir()
    call = ['splits', 'kitchen', '--out', tmp_path / 'lists', '--csv']
    refused(capsys, *call, tmp_path / 'folder', names='folder is a folder')
    for word in 'none', '0', 'None':
        refused(capsys, *own_call(tmp_path, '--shots', word),
                names=['--shots', 'without a number'])
    assert not (tmp_path / 'lists').exists()
    assert make_own(tmp_path, '--shots') == 0
    assert not list((tmp_path / 'lists').glob('few_shot*'))


def test_two_class_lists_of_one_name(tmp_path, capsys):
    """The manifest knows its sources by their names."""
    halves = [write(tmp_path / name / 'classes.txt', text) for name, text in (
        ('a', 'chop\n'), ('b', 'stir\n'))]
    whole = write(tmp_path / 'c' / 'classes.txt', 'chop\nstir\n')
    stir = write(tmp_path / 'b.txt', 'stir\n')
    for options in (['--halves', *halves],
                    ['--classes', whole, '--halves', halves[0], stir]):
        refused(capsys, *own_call(tmp_path, *SMALL, *options),
                names=[halves[0], 'classes.txt: two files', 'rename one'])
        assert not (tmp_path / 'lists').exists()
    again = write(tmp_path / 'd' / 'a.txt', 'chop\n')
    assert make_own(tmp_path, '--classes', whole, '--halves', again,
                    stir) == 0
    before = contents(tmp_path / 'lists')
    assert set(json.loads(before['manifest.json'])['sources']) == {
        'a.txt', 'b.txt', 'classes.txt', 'own.csv'}
