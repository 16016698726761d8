"""What the names of lists say; leakage, labels, coverage and counts, on facts
without files; what is left of lists when cleaned."""
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Optional

import numpy as np
import pytest
from doctor_world import write_files

from projects.vifi_clip.datasets.video_list import role_of
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_tools.doctor.checks import (all_findings,
                                                    compare_counts)
from projects.vifi_clip_tools.doctor.findings import CHECKS
from projects.vifi_clip_tools.doctor.lists import (class_files_of, find_lists,
                                                   load_lists, may_not_share)
from projects.vifi_clip_tools.doctor.published import PUBLISHED, dataset_name
from projects.vifi_clip_tools.doctor.report import make_report
from projects.vifi_clip_tools.doctor.video import Facts

BETWEEN = ('train_test', 'base_novel', 'group_leak', 'shared_class',
           'two_labels', 'train_test_look_alike', 'look_alike')


def lists_of(folder: Path, **texts: str) -> list:
    """Write lists, and class lists, and load the lists."""
    write_files(folder, **texts)
    return load_lists({folder / f'{name}.txt': None for name in texts
                       if not name.endswith('classes')})


def facts(content: str, status: str = 'ok', frames: int = 24,
          prints: Optional[bytes] = None) -> Facts:
    """What would be known of a video with this content."""
    return Facts(
        status, sha256=hashlib.sha256(content.encode()).hexdigest(),
        size=len(content), frames=frames, width=96, height=64, fps=24.0,
        prints=prints)


def facts_of(lists, **changes) -> dict:
    """Facts on all videos of lists, each with a content of its own."""
    keys = {entry.key for item in lists for entry in item.entries}
    return {**{key: facts(key) for key in sorted(keys)}, **changes}


def between(lists, videos=None):
    return sorted((item.check, item.subject, item.places) for item in
                  all_findings(lists, videos or facts_of(lists), 0)
                  if item.check in BETWEEN)


def of_list(item, videos=None):
    return [(found.check, found.subject)
            for found in all_findings([item], videos or facts_of([item]), 0)]


def test_same_path_and_same_bytes_leak(tmp_path):
    lists = lists_of(tmp_path, train='a.mp4 0; b.mp4 0; c.mp4 1',
                     val='d.mp4 0; ./b.mp4 0')
    videos = facts_of(lists)
    same_path = ('train_test', 'b.mp4', ('train.txt:2', 'val.txt:2'))
    assert between(lists, videos) == [same_path]
    videos['d.mp4'] = videos['c.mp4']
    assert between(lists, videos) == [
        same_path, ('train_test', 'c.mp4', ('train.txt:3', 'val.txt:1'))]
    # Missing videos are told apart by their paths.
    gone = replace(facts(''), status='missing', sha256=None)
    assert between(lists, dict.fromkeys(videos, gone)) == [same_path]


@pytest.mark.parametrize('texts, expected', [
    (dict(base_classes='run; jump', novel_classes='swim; jump',
          base_val='a.mp4 0; b.mp4 1', novel_val='c.mp4 0; b.mp4 1'),
     [('base_novel', 'b.mp4', ('base_val.txt:2', 'novel_val.txt:2')),
      ('shared_class', 'jump', ('base_classes.txt', 'novel_classes.txt'))]),
    # labels are compared by the names of their classes,
    (dict(classes='run; swim; jump', base_classes='swim; jump',
          train='a.mp4 1; b.mp4 2; c.mp4 0',
          base_train_1shot_seed1='a.mp4 0; b.mp4 0'),
     [('two_labels', 'b.mp4', ('base_train_1shot_seed1.txt:2',
                               'train.txt:2'))]),
    # without class lists within one part alone
    (dict(train='a.mp4 1; a.mp4 2; b.mp4 0', base_train='a.mp4 0; b.mp4 3'),
     [('two_labels', 'a.mp4', ('train.txt:1', 'train.txt:2'))]),
    (dict(train_split1='Dive/v_Dive_g01_c01.avi 0; Run/v_Run_g02_c01.avi 1',
          val_split1='Dive/v_Dive_g02_c01.avi 0; Run/v_Run_g02_c04.avi 1',
          train_split2='Dive/v_Dive_g02_c01.avi 0'),
     [('group_leak', 'v_Run_g02', ('train_split1.txt:2',
                                   'val_split1.txt:2'))])])
def test_between_lists(tmp_path, texts, expected):
    assert between(lists_of(tmp_path, **texts)) == expected


def test_look_alikes(tmp_path):
    lists = lists_of(tmp_path, train='a.mp4 0; b.mp4 0; c.mp4 0',
                     val='d.mp4 0; e.mp4 0')
    rng = np.random.default_rng(0)
    one, other = (rng.integers(20, 200, 768).astype(np.uint8).tobytes()
                  for _ in range(2))
    videos = facts_of(lists)
    for key, prints in zip('abde', (one, other, one, other)):
        videos[f'{key}.mp4'] = facts(key, prints=prints)
    assert between(lists, videos) == [
        ('train_test_look_alike', 'a.mp4', ('train.txt:1', 'val.txt:1')),
        ('train_test_look_alike', 'b.mp4', ('train.txt:2', 'val.txt:2')),
    ]
    # A copy is reported as such, not as a look-alike of itself.
    videos['d.mp4'] = videos['a.mp4']
    videos['b.mp4'] = replace(videos['b.mp4'], prints=None)
    assert between(lists, videos) == [
        ('train_test', 'a.mp4', ('train.txt:1', 'val.txt:1'))]
    videos['b.mp4'] = facts('b', prints=one)
    videos['d.mp4'] = facts('d')
    assert between(lists, videos) == [
        ('look_alike', 'a.mp4', ('train.txt:1', 'train.txt:2'))]


def test_coverage_and_labels(tmp_path):
    item, = lists_of(tmp_path, classes='run; swim; jump; dive',
                     train='a.mp4 0; b.mp4 1; c.mp4 4; d.mp4 3')
    videos = facts_of([item])
    videos['b.mp4'] = facts('b', status='crashed')
    assert of_list(item, videos) == [
        ('crashed', 'b.mp4'), ('label_range', 'c.mp4'),
        ('no_video', 'swim (label 1)'), ('no_video', 'jump (label 2)')]
    item, = lists_of(
        tmp_path, classes='run; swim; jump', few_shot_train_2shot_seed1='a.mp4'
        ' 0; b.mp4 0; c.mp4 1; d.mp4 2; e.mp4 2; f.mp4 2')
    assert of_list(item) == [('shots', 'swim (label 1)'),
                             ('shots', 'jump (label 2)')]
    file = tmp_path / 'train_9k.json'
    file.write_text(json.dumps({
        'a.mp4': ['fine'], 'b.mp4': [], 'c.mp4': 'bare', 'd.mp4': ['x', ' ']}))
    item, = load_lists({file: None})
    assert of_list(item) == [('captions', f'{c}.mp4') for c in 'bcd']


@pytest.mark.parametrize('name, most, checks', [
    ('train', 11, ['imbalance']), ('train', 10, []), ('val', 11, [])])
def test_imbalance(tmp_path, name, most, checks):
    lines = ['x.mp4 0'] + [f'{i}.mp4 1' for i in range(most)]
    item, = lists_of(tmp_path, **{name: '; '.join(lines)})
    assert [check for check, _ in of_list(item)] == checks


def test_states_of_videos(tmp_path):
    names = *list(CHECKS)[:6], 'short', 'fine', 'spoilt'
    lists = lists_of(tmp_path, train='; '.join(f'{n}.mp4 0' for n in names))
    videos = {f'{n}.mp4': facts(n, status=n) for n in names}
    videos['short.mp4'] = facts('s', frames=15)
    videos['fine.mp4'] = facts('f', frames=16)
    videos['spoilt.mp4'] = replace(facts('x'), damage='1 of 24 frames')
    checks = {item.subject: item.check for item in all_findings(
        lists, videos, min_frames=16) if item.check != 'imbalance'}
    assert checks == {
        **{f'{n}.mp4': n for n in names[:-3]},
        'short.mp4': 'too_short', 'spoilt.mp4': 'damaged'}


@pytest.mark.parametrize('dataset, name, videos, classes, checks', [
    ('ucf101', 'train_split1', 9537, 101, ''),
    ('ucf101', 'mine_train', 5, 101, ''),
    ('hmdb51', 'val_split2', 1529, 51, 'counts val_split2.txt'),
    ('k400', 'val', 19000, 400, 'shortfall val.txt'),
    ('k400', 'val', 20001, 400, 'counts val.txt'),
    ('k600', 'val', 27910, 600, ''),
    ('k600', 'val', 27910, 400, 'counts classes.txt'),
    ('k600', 'zero_shot_2_val', 1, 160, ''),
    ('k600', 'zero_shot_2_val', 1, 161, 'counts zero_shot_2_classes.txt')])
def test_published_counts(tmp_path, dataset, name, videos, classes, checks):
    part = 'zero_shot_2_' if 'zero' in name else ''
    lists = lists_of(tmp_path, **{
        name: '; '.join(f'{i}.mp4 0' for i in range(videos)),
        f'{part}classes': '; '.join(f'class {i}' for i in range(classes))})
    assert ', '.join(f'{item.check} {item.subject}' for item in
                     compare_counts(dataset, lists)) == checks


def test_known_data_sets():
    assert [dataset_name(name) for name in ('UCF101', 'kinetics400', 'mine')
            ] == ['ucf101', 'k400', None]
    # UCF-101 has 13320 clips, and every split holds them all.
    videos = PUBLISHED['ucf101'].videos
    for n in '123':
        assert videos[f'train_split{n}'] + videos[f'val_split{n}'] == 13320


# Lists


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


@pytest.mark.parametrize('text', [
    '["video0.mp4"]', '{"a.mp4": ["x"], "b.mp4": ["\\ud800"]}'])
def test_bad_lists(tmp_path, text):
    path = tmp_path / 'train.json'
    path.write_text(text)
    with pytest.raises(ValueError, match='train.json'):
        load_lists({path: None})


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
