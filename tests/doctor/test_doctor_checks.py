"""Leakage, labels, coverage and counts, on facts without files."""
import json
from dataclasses import replace

import numpy as np
import pytest
from doctor_world import facts, facts_of, lists_of

from projects.vifi_clip_tools.doctor.checks import (all_findings,
                                                    compare_counts)
from projects.vifi_clip_tools.doctor.findings import CHECKS
from projects.vifi_clip_tools.doctor.lists import load_lists
from projects.vifi_clip_tools.doctor.published import PUBLISHED, dataset_name

BETWEEN = ('train_test', 'base_novel', 'group_leak', 'shared_class',
           'two_labels', 'train_test_look_alike', 'look_alike')


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
