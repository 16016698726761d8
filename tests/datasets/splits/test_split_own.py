"""A user's own data set, from one CSV file."""
import hashlib
import json

import pytest
from split_files import rows_of, write

from projects.vifi_clip_tools.splits.cli import main

COUNTS = {'stir': 6, 'chop': 9, 'pour tea': 4}


def own_rows(split=False):
    rows = ['path,label' + (',split' if split else '')]
    for name, count in COUNTS.items():
        for i in range(count):
            part = ',val' if i == 0 else ',train'
            rows.append(f'{name}/{i}.mp4,{name}{part if split else ""}')
    return rows


def own_csv(tmp_path, rows):
    return write(tmp_path / 'own.csv', '\n'.join(rows) + '\n')


def make(tmp_path, csv, *options):
    return main(['kitchen', '--csv', str(csv), '--out',
                 str(tmp_path / 'lists'), '--shots', '2', '--base-shots', '3',
                 *options])


def test_given_split(tmp_path):
    assert make(tmp_path, own_csv(tmp_path, own_rows(split=True))) == 0
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


def test_golden_few_shot_list(tmp_path):
    """The list of an independent few lines."""
    assert make(tmp_path, own_csv(tmp_path, own_rows(split=True))) == 0
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
    csv = own_csv(tmp_path, own_rows())
    assert make(tmp_path, csv, '--val-ratio', '0.25') == 0
    out = tmp_path / 'lists'
    train, val = (rows_of(out / f'{part}.txt') for part in ('train', 'val'))
    assert [sum(k == label for _, k in val) for label in (0, 1, 2)] == [
        2, 1, 2]  # of 9, 4 and 6
    assert len(train) + len(val) == 19 == len({p for p, _ in train + val})
    first = (out / 'val.txt').read_bytes()

    rows = own_rows()
    csv = own_csv(tmp_path, rows[:1] + rows[:0:-1])
    assert main(['kitchen', '--csv', str(csv), '--out', str(tmp_path / 'b'),
                 '--shots', '--base-shots', '--val-ratio', '0.25']) == 0
    assert (tmp_path / 'b' / 'val.txt').read_bytes() == first
    assert not list((tmp_path / 'b').glob('*shot*'))


def test_class_list_fixes_the_label_order(tmp_path):
    classes = write(tmp_path / 'c.txt', 'stir\npour tea\nchop\n')
    csv = own_csv(tmp_path, own_rows(split=True))
    assert make(tmp_path, csv, '--classes', str(classes)) == 0
    assert rows_of(tmp_path / 'lists' / 'val.txt')[0] == ('stir/0.mp4', 0)


def test_byte_order_mark_and_windows_line_ends_are_fine(tmp_path):
    rows = own_rows(split=True)
    assert make(tmp_path, own_csv(tmp_path, rows)) == 0
    (tmp_path / 'own.csv').write_bytes(
        b'\xef\xbb\xbf' + '\r\n'.join(rows).encode())
    assert main(['kitchen', '--csv', str(tmp_path / 'own.csv'), '--shots',
                 '2', '--base-shots', '3', '--out', str(tmp_path / 'b')]) == 0
    for path in (tmp_path / 'lists').glob('*.txt'):
        assert (tmp_path / 'b' / path.name).read_bytes() == path.read_bytes()


def test_halves_of_ones_own(tmp_path):
    base = write(tmp_path / 'base.txt', 'pour tea\n')
    novel = write(tmp_path / 'novel.txt', 'stir\nchop\n')
    csv = own_csv(tmp_path, own_rows(split=True))
    assert make(tmp_path, csv, '--halves', str(base), str(novel)) == 0
    assert rows_of(tmp_path / 'lists' / 'novel_val.txt') == [
        ('stir/0.mp4', 0), ('chop/0.mp4', 1)]


def test_more_shots_join_the_manifest(tmp_path):
    csv = own_csv(tmp_path, own_rows(split=True))
    assert make(tmp_path, csv) == 0
    assert main(['kitchen', '--csv', str(csv), '--out',
                 str(tmp_path / 'lists'), '--shots', '1', '--base-shots',
                 '3']) == 0
    lists = json.loads((tmp_path / 'lists/manifest.json').read_text())['lists']
    assert {'few_shot_train_1shot_seed1.txt',
            'few_shot_train_2shot_seed1.txt'} < set(lists)
    assert main(['kitchen', '--check', '--out', str(tmp_path / 'lists')]) == 0


BAD_ROWS = {
    'columns': (['file,label', 'a.mp4,chop'], ['line 1', 'file,label',
                                               'path,label']),
    'short row': (['path,label', 'a.mp4'], ['line 2', '1 fields']),
    'comma': (['path,label', 'a,b.mp4,chop'], ['line 2', 'quotes']),
    'no row': (['path,label'], ['no row']),
    'no label': (['path,label', 'a.mp4,'], ['line 2', 'label']),
    'split': (['path,label,split', 'a.mp4,chop,dev'],
              ['line 2', "'dev'", 'train or val']),
    'outside': (['path,label', '../a.mp4,chop'], ['line 2', '../a.mp4']),
    'line end in a path': (['path,label', '"a', 'b.mp4",chop'],
                           ['line 3', 'a\\nb.mp4']),
    'absolute': (['path,label', '/a.mp4,chop'], ['line 2', 'relative']),
    'twice': (['path,label', 'a.mp4,chop', './a.mp4,chop'],
              ['line 3', 'line 2', 'a.mp4']),
    'both parts': (['path,label,split', 'a.mp4,chop,train',
                    'a.mp4,chop,val'], ['line 3', 'train', 'val', 'line 2']),
    'single': (['path,label', 'a.mp4,chop', 'b.mp4,stir', 'c.mp4,stir'],
               ['line 2', "'chop'", 'one video']),
    'few': (['path,label,split', 'a.mp4,chop,val', 'b.mp4,chop,train',
             'c.mp4,stir,val', 'd.mp4,stir,train'],
            ['line 3', "'chop' has 1", '--shots 2', 'at most 1']),
    'one class': (['path,label', 'a.mp4,chop', 'b.mp4,chop'],
                  ['one class', "'chop'"]),
    'no val': (['path,label,split', 'a.mp4,chop,train'], ['no val video']),
    'alike': (['path,label', 'a.mp4,pour tea', 'b.mp4,pour_tea'],
              ["'pour tea'", "'pour_tea'", 'rename']),
}


@pytest.mark.parametrize('case', BAD_ROWS)
def test_bad_rows(tmp_path, capsys, case):
    rows, told = BAD_ROWS[case]
    assert make(tmp_path, own_csv(tmp_path, rows)) == 2
    said = capsys.readouterr().err
    for part in ['own.csv', *told]:
        assert part in said
    assert said.count('\n') == 1  # no traceback
    assert not (tmp_path / 'lists').exists()


def test_bad_bytes(tmp_path, capsys):
    path = tmp_path / 'own.csv'
    for data, told in ((b'', 'empty'), (b'\n \n', 'empty'),
                       (b'path,label\na.mp4,chop\nb.mp4,\xff\n',
                        "own.csv, line 3: bytes b'\\xff' are not UTF-8")):
        path.write_bytes(data)
        assert make(tmp_path, path) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / 'lists').exists()


def test_bad_folder_and_bad_manifest(tmp_path, capsys):
    csv = own_csv(tmp_path, own_rows(split=True))
    out = write(tmp_path / 'lists', 'mine')
    assert make(tmp_path, csv) == 2
    assert 'give a folder' in capsys.readouterr().err
    assert out.read_text() == 'mine'
    out.unlink()
    for text in '{', '[]', '{"tool": "mini_world"}':
        manifest = write(out / 'manifest.json', text)
        assert make(tmp_path, csv) == 2
        assert '--force' in capsys.readouterr().err
        assert manifest.read_text() == text
        assert [path.name for path in out.iterdir()] == ['manifest.json']
    assert make(tmp_path, csv, '--force') == 0


def test_bad_halves_and_classes(tmp_path, capsys):
    csv = own_csv(tmp_path, own_rows(split=True))
    base = write(tmp_path / 'base.txt', 'stir\nchop\n')
    for names, told in (('chop\npour tea\n', "'chop' is a base and a novel"),
                        ('pour te\n', "'pour te' is in a half"),
                        ('stir\n', 'base and a novel')):
        novel = write(tmp_path / 'novel.txt', names)
        assert make(tmp_path, csv, '--halves', str(base), str(novel)) == 2
        assert told in capsys.readouterr().err
    write(base, 'stir\n')
    novel = write(tmp_path / 'novel.txt', 'chop\n')
    assert make(tmp_path, csv, '--halves', str(base), str(novel)) == 2
    assert "'pour tea' is neither" in capsys.readouterr().err
    classes = write(tmp_path / 'c.txt', 'stir\nchop\npour the tea\n')
    assert make(tmp_path, csv, '--classes', str(classes)) == 2
    said = capsys.readouterr().err
    assert 'own.csv, line 17' in said and "mean 'pour the tea'?" in said
    assert not (tmp_path / 'lists').exists()
