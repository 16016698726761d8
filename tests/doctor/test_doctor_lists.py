"""What the names of lists say, and what is left of them when cleaned."""
from pathlib import Path

import pytest
from doctor_world import facts, facts_of, lists_of, write_files

from projects.vifi_clip.datasets.video_list import role_of
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.doctor.lists import (class_files_of, find_lists,
                                                   load_lists, may_not_share)
from projects.vifi_clip_tools.doctor.report import make_report


@pytest.mark.parametrize('names, role', [
    ('train.txt train_split2.txt base_train_16shot_seed1.txt train_9k.json '
     'trainlist01.txt', 'train'),
    ('val.txt novel_val.txt zero_shot_1_val.txt test_JSFUSION.json '
     'testlist03.txt', 'test'),
    ('captions.txt latest.txt train_and_val.txt', None)])
def test_role_by_name(names, role):
    assert {role_of(Path(name)) for name in names.split()} == {role}


def test_list_folder(tmp_path):
    paths, others = find_lists(write_files(
        tmp_path, classes='a; b; c; d', base_classes='a; c',
        novel_classes='b; d', train_split1='x.avi 0', val_split1='y.avi 0',
        train_split2='y.avi 0', val_split2='x.avi 0',
        base_train_1shot_seed1='x.avi 0', base_val='y.avi 0',
        novel_val='z.avi 1', few_shot_train_2shot_seed1='x.avi 0',
        notes='hello'))
    assert others == ['notes.txt']
    lists = {item.path.stem: item for item in load_lists(dict.fromkeys(paths))}
    assert list(lists) == sorted(lists) and len(lists) == 8
    for name, *known in (('base_train_1shot_seed1', 'base', 1, 1, 'ac'),
                         ('few_shot_train_2shot_seed1', '', 2, 1, 'abcd'),
                         ('val_split2', '', None, 2, 'abcd')):
        item = lists[name]
        assert [item.part, item.shots, item.split,
                ''.join(item.classes)] == known
    assert lists['novel_val'].class_name(1) == 'd'
    pairs = {(a.path.stem, b.path.stem) for a in lists.values()
             for b in lists.values() if may_not_share(a, b)}
    # the splits share videos
    assert pairs == {
        (a, b) for b in ('base_val', 'novel_val', 'val_split1')
        for a in ('train_split1', 'base_train_1shot_seed1',
                  'few_shot_train_2shot_seed1')
    } | {('train_split2', 'val_split2')}


def test_class_list_of_the_small_world(tmp_path):
    lists = lists_of(
        tmp_path, classes='a', target_classes='t; u', target_val='x.mp4 1',
        few_shot_train_2shot_seed1='y.mp4 1', val='z.mp4 0')
    assert {item.name[:3]: (item.classes, item.part) for item in lists} == {
        'few': (['t', 'u'], 'target'), 'tar': (['t', 'u'], 'target'),
        'val': (['a'], '')}


@pytest.mark.parametrize('name, text', [
    ('train.txt', 'x.mp4 zero'), ('train.json', '["video0.mp4"]'),
    ('train.txt', 'x.mp4 0\ny.mp4 ' + '9' * 5000),
    ('train.json', '{"a.mp4": ["x"], "b.mp4": ["\\ud800"]}')])
def test_bad_lists(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        load_lists({tmp_path / name: None})


def test_no_lists_and_two_of_one_name(tmp_path):
    with pytest.raises(UserError):
        find_lists(tmp_path)
    paths = [write_files(tmp_path / folder, train='x.mp4 0') / 'train.txt'
             for folder in 'ab']
    with pytest.raises(UserError, match='a/train.txt and .*b/train.txt'):
        load_lists(dict.fromkeys(paths))


def test_two_class_lists_of_one_name(tmp_path):
    write_files(tmp_path / 'a', train='x.mp4 0', classes='run; jump')
    write_files(tmp_path / 'b', val='y.mp4 0', classes='jump; run')
    paths = dict.fromkeys([tmp_path / 'a/train.txt', tmp_path / 'b/val.txt'])
    with pytest.raises(UserError) as error:
        load_lists(paths)
    for folder in 'ab':
        assert str(tmp_path / folder / 'classes.txt') in str(error.value)
    write_files(tmp_path, names='run; jump')
    lists = load_lists(paths, tmp_path / 'names.txt')
    assert class_files_of(lists) == [tmp_path / 'names.txt']
    write_files(tmp_path / 'b', classes='run; jump')
    assert len(load_lists(paths)) == 2
    # One beside the lists is copied along with them, in use or not.
    for folder, names in ('a', 'run'), ('b', 'jump'):
        write_files(tmp_path / folder, base_classes=names)
    with pytest.raises(UserError, match='base_classes.txt'):
        load_lists(paths)


def test_the_given_class_list_wins(tmp_path):
    write_files(tmp_path, train='x.mp4 0', classes='run; jump', names='a; b',
                base_val='x.mp4 0')
    given, names = {tmp_path / 'train.txt': None}, tmp_path / 'names.txt'
    item, = load_lists(given, names)
    assert item.classes == ['a', 'b']
    with pytest.raises(UserError, match='train.txt and base_val.txt'):
        load_lists({**given, tmp_path / 'base_val.txt': None}, names)


def clean(lists, videos):
    return make_report({}, None, lists, videos, []).cleaned


def test_clean(tmp_path):
    lists = lists_of(
        tmp_path,
        train='good.mp4 0; gone.mp4 0; good.mp4 0; copy.mp4 0; leak.mp4 1; '
        'sneak.mp4 1; short.mp4 1; last.mp4 7',
        val='leak.mp4 1; hid.mp4 1; leak.mp4 1; gone.mp4 0; twin.mp4 0; '
        'twin2.mp4 0')
    videos = facts_of(lists)
    videos['gone.mp4'] = facts('', status='missing')
    videos['copy.mp4'] = videos['good.mp4']
    videos['sneak.mp4'] = videos['hid.mp4']
    videos['twin2.mp4'] = videos['twin.mp4']
    train, val = clean(lists, videos)
    assert train.content() == b'good.mp4 0\nshort.mp4 1\nlast.mp4 7\n'
    assert [(entry.number, why) for entry, why in train.removed] == [
        (2, 'missing'), (3, 'repeated_line'), (4, 'same_bytes'),
        (5, 'train_test'), (6, 'train_test')]
    # The test list decides what figures mean: it keeps leaks and copies.
    assert val.content() == (b'leak.mp4 1\nhid.mp4 1\ntwin.mp4 0\n'
                             b'twin2.mp4 0\n')


def test_nothing_to_clean_keeps_every_byte(tmp_path):
    content = b'\xef\xbb\xbfa.mp4 0\r\n\r\n./b/../c.mp4 1\r\nd 2'
    (tmp_path / 'val.txt').write_bytes(content)
    lists = load_lists({tmp_path / 'val.txt': None})
    # line numbers count blank lines
    assert [(e.number, e.key, e.label) for e in lists[0].entries] == [
        (1, 'a.mp4', 0), (3, 'c.mp4', 1), (4, 'd.mp4', 2)]
    assert clean(lists, facts_of(lists))[0].content() == content
