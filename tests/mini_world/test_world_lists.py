"""The small world's classes and splits."""
from collections import Counter

import pytest

from projects.vifi_clip_tools.mini_world.splits import video_annotations


@pytest.fixture(scope='module')
def full_lists():
    return video_annotations(20, 10, target_train_per_class=24)


def words(lists, group=''):
    """Colour, shape and motion of each class."""
    return [tuple(name.split()[1:]) for name in lists[f'{group}classes.txt']]


def objects(*groups):
    return {(colour, shape) for rows in groups for colour, shape, _ in rows}


def test_classes_of_the_sets(full_lists):
    known, target, base, novel, zero_shot = (words(full_lists, group) for
                                             group in ('', 'target_', 'base_',
                                                       'novel_', 'zero_shot_'))
    assert (len(known), len(target), len(zero_shot)) == (24, 24, 8)
    assert len({*known, *target, *zero_shot}) == 56  # none is in two
    assert base + novel == target and len(base) == len(novel) == 12
    assert not objects(base) & objects(novel)
    # The target set's objects are in no other clip; unseen are their
    # combinations, not the words.
    assert len(objects(target)) == 8
    assert not objects(target) & objects(known, zero_shot)
    for seen, asked in zip(zip(*known), zip(*target)):
        assert set(asked) <= set(seen)
    # In each half, knowing the object is right one time in three.
    for half in known[:12], known[12:], base, novel:
        assert set(Counter(row[:2] for row in half).values()) == {3}
        motions = Counter(row[2] for row in half)
        assert len(motions) == 6 and set(motions.values()) == {2}


def test_few_shot_draws(full_lists):
    """As tests/splits has them: of the training clips, as many of each class,
    others for each seed."""
    draws = set()
    for name, classes, shots in (('few_shot_train', 24, 2),
                                 ('few_shot_train', 24, 16),
                                 ('base_train', 12, 16)):
        for seed in 1, 2, 3:
            rows = full_lists[f'{name}_{shots}shot_seed{seed}.txt']
            # The base half comes first: its labels are those of all.
            assert set(rows) <= set(full_lists['target_train.txt'])
            assert len(set(rows)) == len(rows)
            counts = Counter(int(row.split(' ')[1]) for row in rows)
            assert counts == {label: shots for label in range(classes)}
            draws.add(tuple(rows))
    assert len(draws) == 9
    # none of more than there is
    names = video_annotations(20, 1, target_train_per_class=5)
    assert {name.split('_')[-2] for name in names if 'shot_seed' in name} == {
        '2shot', '4shot'}


def test_target_set_can_be_left_out(full_lists):
    names = video_annotations(20, 10, target_train_per_class=0)
    assert names.keys() == {
        'classes.txt', 'train.txt', 'val.txt', 'zero_shot_classes.txt',
        'zero_shot_val.txt'
    }
    assert names.items() <= full_lists.items()
