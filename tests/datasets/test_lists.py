"""Lists of videos: their lines, their protocol, where they come from; class
lists and descriptions, in every format."""
import hashlib
import json
import os
import re
import unicodedata
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import pytest
from mmaction.registry import DATASETS

from projects.vifi_clip.datasets.class_descriptions import (
    read_class_descriptions)
from projects.vifi_clip.datasets.class_list import (check_class_names,
                                                    read_class_list)
from projects.vifi_clip.datasets.video_list import (check_protocol,
                                                    find_missing, list_origin,
                                                    read_video_list,
                                                    why_missing)

BASE, NOVEL = ['jump', 'run'], ['sit', 'stand', 'walk']


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_lines(tmp_path):
    path = write(tmp_path / 'l.txt',
                 'a.mp4 0\r\rmy  dir/b c.mp4  12\r\n d.mp4 -0 \n')
    assert read_video_list(path) == [('a.mp4', 0), ('my  dir/b c.mp4', 12),
                                     ('d.mp4', 0)]
    path = write(tmp_path / 'l.csv', 'a b,c.mp4, 3\n')
    assert read_video_list(path, ',') == [('a b,c.mp4', 3)]


@pytest.mark.parametrize('line', [
    'b.mp4', 'b.mp4\t1', 'b.mp4 cat', 'b.mp4 1.0', 'b.mp4 1_0', 'b.mp4 -1',
    'b.mp4 5', ' 3', 'b.mp4 1234567890', 'b.mp4 ²'])
def test_malformed_lines(tmp_path, line):
    path = write(tmp_path / 'l.txt', f'a.mp4 0\n\n{line}\nc.mp4 1\n')
    for allow in (False, True):
        with pytest.raises(ValueError) as error:
            read_video_list(path, num_classes=5, allow_unlabelled=allow)
        assert f'{path}:3: ' in str(error.value)
        assert repr(line) in str(error.value)


@pytest.mark.parametrize('text, problem', [
    ('a.mp4 3 5\n', 'l.txt:1: .*several labels.*multi-label'),
    ('a.mp4 0\nb.MKV 1 2 3\n', 'l.txt:2: .*multi-label'),
    ('"a.mp4" 3 5', 'multi-label'), ('a.mp4, 3 5', 'multi-label'),
    ('a.mp4 3,5', 'multi-label'), ('a.mp4 3;5', 'multi-label'),
    ('a.mp4 0\nb.mp4\t1 2', 'multi-label'),
    ('a\tb 1', 'tab or line break')])
def test_several_labels_and_other_separators(tmp_path, text, problem):
    path = write(tmp_path / 'l.txt', text)
    for allow in False, True:
        with pytest.raises(ValueError, match=problem):
            read_video_list(path, allow_unlabelled=allow)


@pytest.mark.parametrize('sign', [',', ';', '\t', ', ', '='])
def test_labels_behind_another_sign(tmp_path, sign):
    path = write(tmp_path / 'l.txt', f'a.mp4{sign}0\nb.mp4{sign}1\n')
    with pytest.raises(ValueError, match='l.txt:1: .*delimiter'):
        read_video_list(path, allow_unlabelled=True)
    sign = sign.strip(' ')
    assert read_video_list(path, sign) == [('a.mp4', 0), ('b.mp4', 1)]


def test_paths_with_numbers(tmp_path):
    lines = ['season 1 2.mp4 0', 'v1.0 2 1', 'my clip 3 2', 'a.mp4 1/b 3']
    path = write(tmp_path / 'l.txt', '\n'.join(lines))
    assert read_video_list(path) == [
        (line[:-2], i) for i, line in enumerate(lines)]


def test_a_video_with_two_labels_is_said(tmp_path):
    path = write(tmp_path / 'l.txt', 'a.mp4 0\nb.mp4 1\na.mp4 2\na.mp4 0\n')
    with pytest.warns(UserWarning, match="1 lines .*'a.mp4'.*multi-label"):
        assert read_video_list(path)[2] == ('a.mp4', 2)


def test_why_a_file_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in 'frames/v1', 'png':
        os.makedirs(folder)
    for name in ('b.mp4', unicodedata.normalize('NFC', 'caf\u00e9.mp4'),
                 unicodedata.normalize('NFD', 'n\u00e4he.mp4'),
                 'frames/v1/img_1.JPG', 'png/1.png'):
        Path(name).touch()
    for path, hint in (
            ('gone.mp4', 'no such file$'), ('x\0', 'no such file$'),
            ('clips\\b.mp4', r'write / where the path has \\$'),
            ('"b.mp4"', 'remove the quotes'), ("a/'b.mp4'", 'quotes'),
            (' b.mp4', 'without spaces'), ('b.mp4 7', 'a number after'),
            (unicodedata.normalize('NFD', 'caf\u00e9.mp4'), 'in NFC$'),
            (unicodedata.normalize('NFC', 'n\u00e4he.mp4'), 'in NFD$'),
            ('\u200bb\ufeff.mp4', 'without special spaces'),
            ('frames/v1 120', 'RawframeDataset'),
            ('frames/v1.mp4', r"ffmpeg .* -i 'frames/v1/\*.JPG' -c copy"),
            ('png', r"-i 'png/\*.png' -c ffv1 video.mkv"),
            ('frames', 'no such file$')):
        assert re.search(hint, why_missing(path)), (path, why_missing(path))


def test_a_draw_that_is_not_there_names_its_knobs(tmp_path):
    for seed in 1, 2:
        (tmp_path / f'few_shot_train_4shot_seed{seed}.txt').touch()
    with pytest.raises(FileNotFoundError) as error:
        read_video_list(str(tmp_path / 'few_shot_train_16shot_seed0.txt'))
    for words in 'SHOTS 4 with SEED 1, 2', 'SHOTS=16 SEED=0':
        assert words in str(error.value)


def test_unlabelled_and_empty_lists(tmp_path):
    path = write(tmp_path / 'l.txt', 'a.mp4\nb.mp4\n')
    assert read_video_list(path, num_classes=5, allow_unlabelled=True) == [
        ('a.mp4', -1), ('b.mp4', -1)]
    with pytest.raises(ValueError, match='l.txt'):
        read_video_list(write(tmp_path / 'l.txt', '\n \n'))


def test_find_missing_lists_each_folder_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('x').mkdir()
    for name in ('x/a.mp4', 'x/noext.mp4', 'b.mp4'):
        Path(name).touch()
    scandir = Mock(side_effect=os.scandir)
    monkeypatch.setattr(os, 'scandir', scandir)
    assert find_missing([
        'x/a.mp4', 'x/c.mp4', 'b.mp4', 'y/a.mp4', 'x/noext', 'x/other',
        f'{tmp_path}/b.mp4/a.mp4', 's3://bucket/a.mp4']) == [1, 3, 5, 6]
    assert scandir.call_count == 4
    # only files count as there
    Path('folder.mp4').mkdir()
    for name, target in dict(dangling='nowhere', loop='loop.mp4',
                             link='b.mp4').items():
        Path(f'{name}.mp4').symlink_to(target)
    assert find_missing(['b.mp4', 'folder.mp4', 'dangling.mp4', 'loop.mp4',
                         'link.mp4']) == [1, 2, 3]


# Lists of one protocol are not read with the classes of another


@pytest.fixture
def folder(tmp_path):
    for name, names in dict(classes=BASE + NOVEL, base_classes=BASE,
                            novel_classes=NOVEL).items():
        write(tmp_path / f'{name}.txt', '\n'.join(names) + '\n')
    return tmp_path


@pytest.mark.parametrize('ann, names, fits', [
    ('base_val', BASE, True), ('base_val', BASE + NOVEL, False),
    ('base_val', ['leaping', 'running'], True),  # other words for the same
    ('base_train_16shot_seed1', NOVEL, False),
    ('few_shot_train_4shot_seed2', BASE + NOVEL, True),
    ('few_shot_train_4shot_seed2', BASE, False),
    ('val_split1', BASE + NOVEL, True), ('val_split1', NOVEL, False),
    ('train', BASE + NOVEL, True), ('stills', NOVEL, True),
    ('alone/base_val', NOVEL, True)])
def test_lists_with_classes(folder, ann, names, fits):
    with nullcontext() if fits else pytest.raises(
            ValueError, match=f'{ann}.* mine.txt'):
        check_protocol(str(folder / f'{ann}.txt'), names, 'mine.txt')


def test_halves_of_one_size_and_their_sentences(folder):
    write(folder / 'base_classes_words.txt', 'to jump\nto run\n')
    ann_file = write(folder / 'base_val.txt', 'a.mp4 0\n')
    check_protocol(ann_file, ['to jump', 'to run'], 'x')
    write(folder / 'base_classes.txt', 'jump\nrun\nskip\n')
    with pytest.raises(ValueError, match='base_val'):
        check_protocol(ann_file, NOVEL, 'novel')
    # the dataset asks
    dataset = DATASETS.build(dict(
        type='CheckedVideoDataset', ann_file=ann_file,
        class_file=str(folder / 'classes.txt'), pipeline=[], lazy_init=True))
    with pytest.raises(ValueError, match='base_val.txt'):
        dataset.full_init()


# Where lists come from, by the manifests that `vifi-clip splits` writes


@pytest.mark.parametrize('options, origin', [
    (dict(made_from='release', fix_labels=False), 'release'),
    (dict(made_from='release', fix_labels=True), 'release, labels fixed'),
    (dict(made_from='annotations'), 'annotations')])
def test_lists_with_a_manifest(tmp_path, options, origin):
    list_file = write(tmp_path / 'val_split1.txt', 'a.avi 0\nb.avi 1\n')
    digest = hashlib.sha256(b'a.avi 0\nb.avi 1\n').hexdigest()
    write(tmp_path / 'manifest.json', json.dumps(dict(
        dataset='hmdb51', options=options,
        lists={'val_split1.txt': dict(sha256=digest)})))
    assert list_origin(list_file) == dict(
        file='val_split1.txt', sha256=digest, origin=origin, dataset='hmdb51')
    write(tmp_path / 'val_split1.txt', 'a.avi 1\n')
    changed = list_origin(list_file)
    assert changed['origin'] == 'changed' and changed['sha256'] != digest


@pytest.mark.parametrize('manifest', [
    None, '', '[]', '{"lists": {}}', '{"mini_world": "3", "annotations": {}}',
    '{"options": {}, "lists": {"val_split1.txt": {"sha256": ""}}}',
    '{"dataset": "hmdb51", "options": {"made_from": 5}, '
    '"lists": {"val_split1.txt": {"sha256": ""}}}', '[' * 100000])
def test_lists_of_unknown_origin(tmp_path, manifest):
    list_file = write(tmp_path / 'val_split1.txt', 'a.avi 0\nb.avi 1\n')
    if manifest is not None:
        write(tmp_path / 'manifest.json', manifest)
    assert list_origin(list_file)['origin'] == 'unknown'
    assert list_origin('s3://bucket/list.txt')['origin'] == 'unknown'


NAMES = ['abseiling', 'air drumming', 'tai chi, slow']
SENTENCES = {'a': ['one.', 'two'], 'b b': ['three']}


@pytest.mark.parametrize('name, text', [
    ('c.txt', 'abseiling\n air drumming \ntai chi, slow\n\n'),
    ('c.txt', '\ufeffabseiling\r\nair drumming\r\ntai chi, slow'),
    ('c.csv', 'id,name\n2,"tai chi, slow"\n0,abseiling\n1,air drumming\n'),
    ('c.csv', 'name,id\nabseiling,0\nair drumming,1\n"tai chi, slow",2\n\n'),
    ('c.json', json.dumps(NAMES)),
    ('c.YML', '[abseiling, air drumming, "tai chi, slow"]'),
    ('d.json', '{"a": ["one.", " two "], "b b": ["three"]}'),
    ('d.yaml', 'a:\n- one.\n- two\nb b: [three]\n'),
])
def test_every_format(tmp_path, name, text):
    path = write(tmp_path / name, text)
    read = read_class_descriptions if name[0] == 'd' else read_class_list
    assert read(Path(path)) == read(path) == (
        SENTENCES if name[0] == 'd' else NAMES)


@pytest.mark.parametrize('name, text, place', [
    ('c.txt', '', ''),
    ('c.txt', 'a\n\nb\n', 'line 2'),
    ('c.txt', 'a\nb\na \n', 'line 1 and at line 3'),
    ('c.txt', 'chop\rit\r\nstir\n', 'line 1'),
    ('c.csv', '0,a\n1,b\n', 'line 1'),
    ('c.csv', 'id,name\n', ''),
    ('c.csv', 'id,name\n0,a\n1,b, c\n', 'line 3'),
    ('c.csv', 'id,name\n0,a\n-1,b\n', 'line 3'),
    ('c.csv', 'id,name\n0,a\n0,b\n', 'line 2 and at line 3'),
    ('c.csv', 'id,name\n0,a\n2,b\n', 'id 1'),
    ('c.csv', 'id,name\n1,a\n0,a\n', 'line 3 and at line 2'),
    ('c.csv', 'id,name\n0,a\n1, \n', 'line 3'),
    ('c.csv', 'id,name\n0,"chop\n1,stir"\n', 'line 3'),
    ('c.csv', 'id,name\n0,chop\n1,"stir\n2,boil\n', 'line 3'),
    ('c.csv', 'id,name\n0,"chop"s\n', 'line 2'),
    ('c.json', '["a",\n"b" "c"]', 'line 2'),
    ('c.json', '{"a": ["x"]}', "'a' has ['x']"),
    ('c.json', '["a", 3]', 'item 1'),
    ('c.json', '[' * 3000, ''),
    ('c.yaml', '[' * 3000, ''),
    ('c.yaml', '- a\n- yes\n', 'item 1'),
    ('c.yaml', '- a\n- [b\n', 'line 3'),
    ('c.yaml', '- !!python/object:os.system {}\n', 'line 1'),
    # what YAML's own reader and constructors raise
    *(('c.yaml', text, place) for text, place in (
        ('- a\n- b\1c\n', 'line 2'), ('- a\n- \uffff\n', 'line 2'),
        ('? [a, b]\n: c\n', 'line 1'), ('<<: 3\n', 'line 1'),
        ('- 2001-99-99\n', ''), ('- !!int x\n', ''), ('- !!bool x\n', ''),
        ('- !!omap [a]\n', 'line 1'), (f'- {"9" * 5000}\n', ''))),
    ('c.json', f'[{"9" * 5000}]', ''),
    ('c.tsv', 'a\n', '.csv'),
    ('c.txt', b'\xff\xfe\x00a', ''),
    ('d.json', '["a"]', ''),
    ('d.json', '{}', ''),
    ('d.json', '{"a": 1}', "'a'"),
    ('d.json', '{"0": "Chop: he chops", "1": "stir"}', "item 1: 'stir'"),
    ('d.json', '{"0": "Chop: he chops", "2": "Stir: she stirs"}', 'id 1'),
    ('d.json', '{"0": ["knife"], "1": ["spoon"]}', 'ids'),
    ('d.csv', 'id,name\n0,Chop: a\n1,chop: \n', "line 3: 'chop:'"),
    ('d.csv', 'id,name\n0,Chop: a\n1,Chop: b\n', 'line 2 and at line 3'),
    ('d.json', '{"a": ["x", " "]}', "'a'"),
    ('d.json', '{"a": ["x"], "a": ["y"]}', "'a'"),
    ('d.yaml', 'b: [x]\na: [x]\na: [y]\n', "'a'"),
    ('d.yaml', 'no: [x]\n', 'False'),
    ('d.txt', 'a', "line 1: 'a'"),
    ('d.tsv', 'a: b', '.csv'),
])
def test_bad_lists_and_descriptions_are_refused(tmp_path, name, text, place):
    path = write(tmp_path / name, text)
    read = read_class_descriptions if name[0] == 'd' else read_class_list
    with pytest.raises(ValueError) as error:
        read(path)
    assert str(path) in str(error.value) and place in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('end', ['\x85', '\u2028', '\x0c', '\x0b', '\0'])
@pytest.mark.parametrize('kind', ['txt', 'csv', 'json'])
def test_line_breaks_in_names_are_refused(tmp_path, end, kind):
    name = f'chop{end}it'
    text = {'txt': f'stir\n{name}\r\n', 'csv': f'id,name\n1,{name}\n0,stir\n',
            'json': json.dumps(['stir', name])}[kind]
    place = 'item 1' if kind == 'json' else 'line 2'
    with pytest.raises(ValueError, match=place):
        read_class_list(write(tmp_path / f'c.{kind}', text))


def test_only_exact_repetitions_are_refused():
    """These are different classes in some data sets."""
    assert check_class_names(['Turn', 'turn'], 'config') == ['Turn', 'turn']
