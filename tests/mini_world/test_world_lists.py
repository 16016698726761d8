"""The small world's classes and splits."""
from collections import Counter

import pytest

from projects.vifi_clip_tools.mini_world.splits import video_annotations

GROUPS = dict(known=24, target=24, zero_shot=8)


@pytest.fixture(scope='module')
def full_lists():
    return video_annotations(20, 10, target_train_per_class=24)


def pairs(rows):
    return [(row.split(' ')[0], int(row.split(' ')[1])) for row in rows]


def groups(full_lists):
    """Class names of the training, target and zero-shot sets."""
    return dict(
        known=full_lists['classes.txt'],
        target=full_lists['target_classes.txt'],
        zero_shot=full_lists['zero_shot_classes.txt'])


def words(names):
    return [tuple(name.split()[1:]) for name in names]


def objects(names):
    return {(colour, shape) for colour, shape, _ in words(names)}


def test_no_class_is_in_two_groups(full_lists):
    names = groups(full_lists)
    assert {group: len(rows) for group, rows in names.items()} == GROUPS
    assert len(set(sum(names.values(), []))) == 56


def test_halves_make_up_the_target_set(full_lists):
    base, novel = (full_lists[f'{half}_classes.txt']
                   for half in ('base', 'novel'))
    assert base + novel == full_lists['target_classes.txt']
    assert len(base) == len(novel) == 12
    assert not objects(base) & objects(novel)


def test_target_objects_are_in_no_other_clip(full_lists):
    names = groups(full_lists)
    others = objects(names['known'] + names['zero_shot'])
    assert len(objects(names['target'])) == 8
    assert not objects(names['target']) & others


@pytest.mark.parametrize('start, half', [(0, 'base'), (12, 'novel')])
@pytest.mark.parametrize('group', ['known', 'target'])
def test_knowing_the_object_is_right_one_time_in_three(
        full_lists, group, start, half):
    names = groups(full_lists)[group][start:start + 12]
    if group == 'target':
        assert names == full_lists[f'{half}_classes.txt']
    counts = Counter((colour, shape) for colour, shape, _ in words(names))
    motions = Counter(motion for _, _, motion in words(names))
    assert set(counts.values()) == {3}
    assert len(motions) == 6 and set(motions.values()) == {2}


def test_all_colours_and_shapes_of_the_target_set_are_trained(full_lists):
    """Unseen are their combinations, not the words."""
    names = groups(full_lists)
    for position in range(3):
        known, target = ({row[position] for row in words(names[group])}
                         for group in ('known', 'target'))
        assert target <= known


@pytest.mark.parametrize('name, classes, shots', [
    ('few_shot_train', 24, 2), ('few_shot_train', 24, 4),
    ('few_shot_train', 24, 8), ('few_shot_train', 24, 16),
    ('base_train', 12, 16)])
def test_few_shot_draws(full_lists, name, classes, shots):
    draws = []
    for seed in (1, 2, 3):
        rows = full_lists[f'{name}_{shots}shot_seed{seed}.txt']
        assert len(set(rows)) == len(rows)
        # The base half comes first: its labels are those of the whole set.
        assert set(rows) <= set(full_lists['target_train.txt'])
        counts = Counter(label for _, label in pairs(rows))
        assert counts == {label: shots for label in range(classes)}
        draws.append(tuple(rows))
    assert len(set(draws)) == 3


@pytest.mark.parametrize('seed', [1, 2, 3])
def test_more_shots_contain_fewer(full_lists, seed):
    draws = [set(full_lists[f'few_shot_train_{shots}shot_seed{seed}.txt'])
             for shots in (2, 4, 8, 16)]
    assert all(few < more for few, more in zip(draws, draws[1:]))


def test_no_draw_of_more_than_there_is():
    names = video_annotations(20, 1, target_train_per_class=5)
    shots = {name.split('_')[3] for name in names if name[:8] == 'few_shot'}
    assert shots == {'2shot', '4shot'}
    assert 'base_train_16shot_seed1.txt' not in names


def test_target_set_can_be_left_out(full_lists):
    names = video_annotations(20, 10, target_train_per_class=0)
    assert names.keys() == {
        'classes.txt', 'train.txt', 'val.txt', 'zero_shot_classes.txt',
        'zero_shot_val.txt'
    }
    assert names.items() <= full_lists.items()
