"""Files of sentences about classes, as they are published, against class
lists."""
import json

import pytest

from projects.vifi_clip.datasets.class_descriptions import (
    find_descriptions, match_names, read_class_descriptions, spoken_name)

HAIR = 'Brush hair: A person is using a brush, to style their hair'
KICK = 'Kick: A person is striking; an object with their foot'
BALL = 'Kick ball: A person is kicking a ball'
WHEEL = 'Cartwheel: A person turns over'
NAMES = ['brush_hair', 'cartwheel', 'kick ball', 'kick']


# FROSTER (one line), TC-CLIP (indented), TACO, and a text that an assistant
# gave; ids from 1; in another order than the class list's.
@pytest.mark.parametrize('name, text', [
    ('a.json', json.dumps({'0': HAIR, '1': WHEEL, '2': KICK, '3': BALL})),
    ('a.json', json.dumps({'3': KICK, '2': WHEEL, '1': HAIR, '4': BALL},
                          indent=4)),
    ('a.json', json.dumps([HAIR, WHEEL, KICK, BALL])),
    ('a.csv', f'id,name\n0,"{HAIR}"\n1,{WHEEL}\n2,{KICK}\n3,{BALL}\n'),
    ('a.txt', '\n'.join([HAIR, WHEEL, KICK, BALL])),
    ('a.txt', f'1. {HAIR}\n2. {WHEEL}\n3. {KICK}\n4. {BALL}\n'),
    ('a.yaml', json.dumps({'Brush hair': HAIR, 'Cartwheel': [WHEEL],
                           'KICK': KICK, 'kick-ball': BALL}))])
@pytest.mark.filterwarnings('ignore:.*taken for labels')
def test_published_files_as_they_are(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    described = read_class_descriptions(path)
    found = find_descriptions({'a': described}, NAMES)
    assert found == [[HAIR], [WHEEL], [BALL], [KICK]]


def test_lists_of_one_class_list(tmp_path):
    """OST's name no class: they are for a list of as many, and know it."""
    path = tmp_path / 'ost.json'
    path.write_text(json.dumps({
        str(i): [f'{word} {j}' for j in range(4)]
        for i, word in enumerate(['hairbrush', 'gymnast', 'ball', 'foot'])}))
    described = read_class_descriptions(path, NAMES)
    assert described['kick'] == ['foot 0', 'foot 1', 'foot 2', 'foot 3']
    for names in NAMES[:3], NAMES + ['run'], None:
        with pytest.raises(ValueError, match=f'{path}.*ids'):
            read_class_descriptions(path, names)


@pytest.mark.parametrize('name, spelt', [
    ('BandMarching', 'Band Marching'), ('driving car', 'Driving a car'),
    ('barbequing', 'Barbecuing'), ('YoYo', 'Yoyo'),
    ('skiing (not slalom or crosscountry)',
     'Skiing (not slalom or cross-country)'),
    ('swimming breast stroke', 'Swimming breaststroke')])
def test_names_that_publishers_spelt_otherwise(recwarn, name, spelt):
    other = 'Diving cliff: A video of people'
    found = find_descriptions(
        {'a.json': {'Diving cliff': [other], spelt: [f'{spelt}: x']}},
        [name, 'diving cliff'])
    assert found == [[f'{spelt}: x'], [other]]
    warned = [str(w.message) for w in recwarn if 'a.json' in str(w.message)]
    alike = name in ('driving car', 'barbequing')
    assert len(warned) == alike and (not alike or repr(spelt) in warned[0])
    assert spoken_name(name, f'{spelt}: x') == spelt
    assert spoken_name('a_b', 'He says: x') == 'a b'


@pytest.mark.parametrize('names, described, expected', [
    # what is another class's is not taken, nor one of two that are alike
    (['pushing car', 'pushing cart'], ['pushing cart'],
     [None, 'pushing cart']),
    (['passing (in game)'], ['passing (in games)', 'passing (in gamer)'],
     [None]),
    # signs tell classes apart where they must
    (['C++', 'C', 'c#'], ['C', 'C++', 'C#'], ['C++', 'C', 'C#']),
    (['c'], ['C++', 'C#'], [None]),
    (['\u2605', '\u2606'], ['\u2606', '\u2605'], ['\u2605', '\u2606'])])
def test_who_is_meant(names, described, expected):
    assert match_names(names, described) == expected


def test_a_label_set_takes_the_first_file_that_has_all_of_it():
    base = {'archery': ['1'], 'zumba': ['2']}
    novel = {'archery': ['3'], 'yoga': ['4'], 'Skis': ['5']}
    files = {'base.json': base, 'novel.json': novel}
    assert find_descriptions(files, ['Zumba', 'archery']) == [['2'], ['1']]
    assert find_descriptions(files, ['archery']) == [['1']]
    assert find_descriptions(files, ['skis', 'archery']) == [['5'], ['3']]
    with pytest.raises(ValueError, match="'skiis' .label 2.*novel.json has 3"
                       ".*'Skis' is near"):
        find_descriptions(files, ['archery', 'yoga', 'skiis'])
