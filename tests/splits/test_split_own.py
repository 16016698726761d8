"""A user's own data set, from one CSV file."""
import hashlib
import json

from commands import vifi
from split_files import lists_in, own_call, rows_of, write

COUNTS = {'stir': 6, 'chop': 9, 'pour tea': 4}


def own_rows(split=True):
    rows = ['path,label' + (',split' if split else '')]
    for name, count in COUNTS.items():
        for i in range(count):
            part = ',val' if i == 0 else ',train'
            rows.append(f'{name}/{i}.mp4,{name}{part if split else ""}')
    return rows


def make(tmp_path, rows, *options, out='lists'):
    return vifi(*own_call(tmp_path, '--shots', '2', '--base-shots', '3',
                          *options, rows=rows, out=out))


def test_given_split(tmp_path):
    assert make(tmp_path, own_rows()) == 0
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
        b'\xef\xbb\xbf' + '\r\n'.join(own_rows()).encode())
    assert vifi(*call) == 0
    assert lists_in(tmp_path / 'b') == lists_in(out)


def test_golden_few_shot_list(tmp_path):
    """That of an independent few lines. It must never change: lists of
    others would no longer be made again."""
    assert make(tmp_path, own_rows()) == 0
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
    rows, ratio = own_rows(split=False), ('--val-ratio', '0.25')
    assert make(tmp_path, rows, *ratio) == 0
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


def test_class_list_and_halves_of_ones_own(tmp_path):
    """The class list fixes the label order; labels count within a half."""
    classes, base, novel = (
        write(tmp_path / f'{name}.txt', text) for name, text in dict(
            classes='stir\npour tea\nchop\n', base='pour tea\n',
            novel='stir\nchop\n').items())
    assert make(tmp_path, own_rows(), '--classes', classes,
                '--halves', base, novel) == 0
    assert rows_of(tmp_path / 'lists/val.txt') == [
        ('stir/0.mp4', 0), ('pour tea/0.mp4', 1), ('chop/0.mp4', 2)]
    assert rows_of(tmp_path / 'lists/novel_val.txt') == [
        ('stir/0.mp4', 0), ('chop/0.mp4', 1)]


def test_more_shots_join_the_manifest(tmp_path):
    assert make(tmp_path, own_rows()) == 0
    assert make(tmp_path, own_rows(), '--shots', '1') == 0
    lists = json.loads((tmp_path / 'lists/manifest.json').read_text())['lists']
    assert {'few_shot_train_1shot_seed1.txt',
            'few_shot_train_2shot_seed1.txt'} < set(lists)
    assert vifi('splits', 'kitchen', '--check', '--out',
                tmp_path / 'lists') == 0
