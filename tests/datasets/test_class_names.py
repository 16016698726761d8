"""Class lists as public users have them: with numbers, as dictionaries, in
several spellings; where several labels are one name."""
import json
import random
import unicodedata
import warnings

import pytest

from projects.vifi_clip.apis.inputs import read_labels
from projects.vifi_clip.datasets.class_list import (check_class_names,
                                                    read_class_list)

HEART, RING = 'green heart', 'red ring'
NUMBERED = [  # each is HEART, RING
    ('c.txt', f'0 {HEART}\n1 {RING}\n'), ('c.txt', f'2 {RING}\n1 {HEART}\n'),
    ('c.txt', f'{RING}\t1\n{HEART}\t0\n'), ('c.txt', f'0,{HEART}\n1,{RING}'),
    ('c.txt', f'1. {HEART}\r\n2. {RING}\r\n'),
    ('c.txt', f'{HEART}: 0\n{RING}: 1\n'), ('c.txt', f'01 {HEART}\n02 {RING}'),
    ('c.txt', f'[0] {HEART}\n[1] {RING}'),
    ('c.txt', f'(1) {HEART}\n(2) {RING}'),
    ('c.txt', f'\u0661 {HEART}\n\u0662 {RING}'),
    ('c.txt', f'0 "{HEART}"\n1 "{RING}"\n'),
    ('c.csv', f'id,name\n2,{RING}\n1,{HEART}\n'),
    ('c.json', json.dumps({'0': HEART, '1': RING})),
    ('c.json', json.dumps({'2': RING, '1': HEART})),
    ('c.json', json.dumps({RING: 1, HEART: 0})),
    ('c.json', json.dumps({RING: '1', f'"{HEART}"': '0'})),  # PyTorchVideo's
    ('c.yaml', f'1: {RING}\n0: {HEART}\n'),
    ('c.yaml', f'{RING}: 2\n{HEART}: 1\n')]
PLAIN = [  # names that hold numbers, or are in quotes
    ('1 on 1\nchess', ['1 on 1', 'chess']), ('1 on 1', ['1 on 1']),
    ('0 calories', ['0 calories']), ('formula 0', ['formula 0']),
    ('step 1\nstep 2\nstep 3', ['step 1', 'step 2', 'step 3']),
    ('ocean 11\nblink 182', ['ocean 11', 'blink 182']),
    ('"1 person"\n\'2 people\'', ['1 person', '2 people']),
    ('3-point shot\n5-card draw', ['3-point shot', '5-card draw']),
    ('5 rings\n3 balls\njump', ['5 rings', '3 balls', 'jump']),
    ('"# a"\n"a;b"', ['# a', 'a;b']),
    ('[Something] falls\nWiping [something]',
     ['[Something] falls', 'Wiping [something]']),
    ('-5 degrees\n5" disk', ['-5 degrees', '5" disk']),
    ('می\u200cرود\n👩\u200d🍳', ['می\u200cرود', '👩\u200d🍳'])]
REFUSED = [
    ('c.txt', '0 a\nb\n2 c\n', "line 2: 'b' has no number before it"),
    ('c.txt', '0 a\nb\n', "line 2: 'b' has no number before it"),
    ('c.txt', '2 a\nb\n1 c\n', "line 2: 'b' has no number before it"),
    ('c.txt', 'id,name\n0,a\n1,b\n', "line 1: 'id,name' has no number"),
    ('c.txt', 'a 0\nb 1\nc\n', "line 3: 'c' has no number after it"),
    ('c.txt', '0 a\n1 b\n3 c\n', 'id 2 is missing'),
    ('c.txt', '0 a\n1 b\n1 c\n', 'id 1 appears both at line 2 and at line 3'),
    ('c.txt', '0 a\n1 b\n2 a\n', "'a' appears both at line 1 and at line 3"),
    ('c.txt', 'a 1\nb 2\na 3\n', "'a' appears both at line 1 and at line 3"),
    ('c.txt', '12 a\n57 b\n', '"quotes"'),
    ('c.txt', 'name\na\nb\n', 'line 1'), ('c.txt', 'a\n# b\nb\n', 'line 2'),
    ('c.txt', '["a", "b"]\n', 'JSON'), ('c.txt', '- a\n- b\n', 'YAML'),
    ('c.txt', '* a\n* b', 'YAML'), ('c.txt', '---\n- a\n', 'YAML'),
    ('c.txt', '[1, 2]\n', 'JSON'), ('c.txt', '[\n "a",\n "b"\n]', 'JSON'),
    ('c.txt', '- a: b\n-\tc', 'YAML'),
    ('c.txt', 'a, b\n', 'one class name'), ('c.txt', 'a\uff0cb', 'quotes'),
    ('c.txt', "['a', 'b']", 'JSON'), ('c.txt', '{"0": "a"}', 'JSON'),
    ('c.txt', 'a\nb;c\n', 'line 2.*multi-label'),
    ('c.json', '["a|b"]', 'item 0.*multi-label'),
    ('c.csv', 'id,name\n0,a;b\n', 'line 2.*multi-label'),
    ('c.json', '{"a": 0, "b": 0}', 'id 0 .*both at item 0 and at item 1'),
    ('c.json', '{"a": 0, "b": 2}', 'id 1 is missing'),
    ('c.json', '{"0": "a", "b": "c"}', "'0' has 'a'"),
    ('c.json', '{"0": 3}', ''), ('c.json', '{"a": true}', "'a' has True"),
    ('c.json', '{"labels": ["a"]}', "'labels'"), ('c.json', '{}', ''),
    ('c.json', '[{"id": 0, "name": "a"}]', 'item 0'),
    ('c.yaml', '0: a\n0.5: b\n', ''), ('c.yaml', '- 0: a\n', 'item 0')]


def read(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_class_list(path)


@pytest.mark.parametrize('name, text', NUMBERED)
@pytest.mark.filterwarnings('ignore:.*the numbers b.* are taken')
def test_numbers_are_labels(tmp_path, name, text):
    assert read(tmp_path, name, text) == [HEART, RING]
    assert read_labels(str(tmp_path / name)) == [HEART, RING]


@pytest.mark.parametrize('text, names', PLAIN)
@pytest.mark.filterwarnings('ignore:all class names begin')
def test_numbers_of_the_names_stay(tmp_path, text, names):
    assert read(tmp_path, 'c.txt', text) == names
    assert read_labels(text.replace('\n', ',')) == names


@pytest.mark.parametrize('name, text, problem', REFUSED)
def test_half_a_numbering_is_refused(tmp_path, name, text, problem):
    with pytest.raises(ValueError, match=f'{name}.*{problem}'):
        read(tmp_path, name, text)


def test_numbers_in_labels_of_the_command_line():
    with pytest.warns(UserWarning, match="2 for 'dog'"):
        assert read_labels('2 dog, 1 cat') == ['cat', 'dog']
    assert read_labels('"tai chi, slow", run') == ['tai chi, slow', 'run']
    for text, problem in (
            ('lecture;indoor', 'lecture;indoor.*multi-label'),
            ('["a", "b"]', 'JSON'), ("['a', 'b']", 'JSON'),
            ('a\u3001b', 'one class name')):
        with pytest.raises(ValueError, match=f'--labels.*{problem}'):
            read_labels(text)
    # names in Python are taken as they are
    with pytest.warns(UserWarning, match="running number, such as '0 cat'"):
        assert read_labels(['0 cat', '1 dog']) == ['0 cat', '1 dog']


@pytest.mark.parametrize('names', ['1\n2\n3', 'a\n7', '-1.5\nb'])
def test_names_that_are_numbers(tmp_path, names):
    with pytest.warns(UserWarning, match='"a photo of a (1|7|-1.5)"'):
        assert read(tmp_path, 'c.txt', names) == names.split('\n')


@pytest.mark.parametrize('other', [
    'cafe\u0301 noir', 'café  noir', 'café\u00a0noir', '\u200bcafé noir',
    'café\u200f noir', '"café noir"', "'café noir'", 'café\ufeff noir',
    'ca\u00adfé noir', '\u3000café noir'])
def test_spellings_of_one_name(tmp_path, other):
    name = 'café noir'
    assert unicodedata.is_normalized('NFC', name) and other != name
    assert check_class_names([other], 'x') == [name]
    with pytest.raises(ValueError, match='line 1 and at line 2'):
        read(tmp_path, 'c.txt', f'{other}\n{name}\n')
    assert read(tmp_path, 'c.json', json.dumps({other: 0})) == [name]


@pytest.mark.parametrize('name', ['\u200b', '""', "' '", '\u202e \ufeff'])
def test_names_without_a_letter_are_empty(tmp_path, name):
    with pytest.raises(ValueError, match='line 2: empty'):
        read(tmp_path, 'c.txt', f'a\n{name}\nb')


@pytest.mark.filterwarnings('ignore:.*the numbers b.* are taken')
def test_random_numberings(tmp_path):
    """Whatever the signs and the order, each name keeps its number."""
    draw = random.Random(13)
    words = 'chop', 'stir', 'a b', 'tai-chi', 'pass (3 m)', "o'clock", '4x4 x'
    for _ in range(100):
        names = draw.sample(words, draw.randint(2, len(words)))
        first = draw.randint(0, 1)
        sign = draw.choice([' ', '\t', ',', ', ', ': ', '. ', ') ', ' - '])
        behind = sign in ' \t,' and draw.random() < .3
        lines = [f'{name}{sign}{i}' if behind else f'{i}{sign}{name}'
                 for i, name in enumerate(names, first)]
        draw.shuffle(lines)
        end = draw.choice(['\n', '\r\n', ' \n'])
        text = draw.choice(['', '\ufeff']) + end.join(lines) + end
        assert read(tmp_path, 'c.txt', text) == names, text
        if len(names) > 2 and not behind:  # without the second
            lines.remove(f'{first + 1}{sign}{names[1]}')
            with pytest.raises(ValueError, match=f'id {first + 1} is missing'):
                read(tmp_path, 'c.txt', end.join(lines))


def test_usual_lists_say_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        read(tmp_path, 'c.txt', 'abseiling\nair drumming\n3d printing\n')
        read(tmp_path, 'c.csv', 'id,name\n0,abseiling\n1,zumba\n')
