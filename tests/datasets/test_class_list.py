"""Class lists and descriptions, in every format."""
import json

import pytest

from projects.vifi_clip.datasets.class_list import (check_class_names,
                                                    read_class_descriptions,
                                                    read_class_list)

NAMES = ['abseiling', 'air drumming', 'tai chi, slow']
SENTENCES = {'a': ['one.', 'two'], 'b b': ['three']}


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize('name, text', [
    ('c.txt', 'abseiling\n air drumming \ntai chi, slow\n\n'),
    ('c.txt', '\ufeffabseiling\r\nair drumming\r\ntai chi, slow'),
    ('c.csv', 'id,name\n2,"tai chi, slow"\n0,abseiling\n1,air drumming\n'),
    ('c.csv', 'name,id\nabseiling,0\nair drumming,1\n"tai chi, slow",2\n\n'),
    ('c.json', json.dumps(NAMES)),
    ('c.yaml', '- abseiling\n- air drumming\n- tai chi, slow\n'),
    ('c.YML', '[abseiling, air drumming, "tai chi, slow"]'),
    ('d.json', '{"a": ["one.", " two "], "b b": ["three"]}'),
    ('d.yaml', 'a:\n- one.\n- two\nb b: [three]\n'),
])
def test_every_format(tmp_path, name, text):
    path = write(tmp_path, name, text)
    read = read_class_descriptions if name[0] == 'd' else read_class_list
    assert read(path) == read(str(path)) == (
        SENTENCES if name[0] == 'd' else NAMES)


@pytest.mark.parametrize('name, text, place', [
    ('c.txt', '', ''),
    ('c.txt', ' \n\n', ''),
    ('c.txt', 'a\n\nb\n', 'line 2'),
    ('c.txt', 'a\nb\na \n', 'line 1 and at line 3'),
    ('c.txt', 'chop\rit\r\nstir\n', 'line 1'),
    ('c.csv', '0,a\n1,b\n', 'line 1'),
    ('c.csv', '', 'line 1'),
    ('c.csv', 'id,name\n', ''),
    ('c.csv', 'id,name\n0,a\n1,b, c\n', 'line 3'),
    ('c.csv', 'id,name\n0,a\nx,b\n', 'line 3'),
    ('c.csv', 'id,name\n0,a\n-1,b\n', 'line 3'),
    ('c.csv', 'id,name\n0,a\n0,b\n', 'line 2 and at line 3'),
    ('c.csv', 'id,name\n0,a\n2,b\n', 'id 1'),
    ('c.csv', 'id,name\n1,a\n0,a\n', 'line 3 and at line 2'),
    ('c.csv', 'id,name\n0,a\n1, \n', 'line 3'),
    ('c.csv', 'id,name\n0,"chop\n1,stir"\n', 'line 3'),
    ('c.csv', 'id,name\n0,chop\n1,"stir\n2,boil\n', 'line 3'),
    ('c.csv', 'id,name\n0,"chop"s\n', 'line 2'),
    ('c.json', '["a",\n"b" "c"]', 'line 2'),
    ('c.json', '{"a": 0}', 'dict'),
    ('c.json', '["a", 3]', 'item 1'),
    ('c.json', '[' * 3000, ''),
    ('c.yaml', '[' * 3000, ''),
    ('c.yaml', '- a\n- yes\n', 'item 1'),
    ('c.yaml', '- a\n- [b\n', 'line 3'),
    ('c.yaml', '', ''),
    ('c.yaml', '- !!python/object:os.system {}\n', ''),
    ('c.tsv', 'a\n', '.csv'),
    ('c.txt', b'\xff\xfe\x00a', ''),
    ('d.json', '["a"]', ''),
    ('d.json', '{}', ''),
    ('d.json', '{"a": "one"}', "'a'"),
    ('d.json', '{"a": []}', "'a'"),
    ('d.json', '{"a": ["x", " "]}', "'a'"),
    ('d.json', '{"a": ["x"], "a": ["y"]}', "'a'"),
    ('d.yaml', 'b: [x]\na: [x]\na: [y]\n', "'a'"),
    ('d.yaml', 'no: [x]\n', 'False'),
    ('d.txt', 'a', '.json'),
])
def test_bad_lists_and_descriptions_are_refused(tmp_path, name, text, place):
    path = write(tmp_path, name, text)
    read = read_class_descriptions if name[0] == 'd' else read_class_list
    with pytest.raises(ValueError) as error:
        read(path)
    assert str(path) in str(error.value) and place in str(error.value)


@pytest.mark.parametrize('end', ['\x85', '\u2028', '\x0c', '\x0b', '\0'])
@pytest.mark.parametrize('kind', ['txt', 'csv', 'json'])
def test_line_breaks_in_names_are_refused(tmp_path, end, kind):
    name = f'chop{end}it'
    text = {'txt': f'stir\n{name}\r\n', 'csv': f'id,name\n1,{name}\n0,stir\n',
            'json': json.dumps(['stir', name])}[kind]
    place = 'item 1' if kind == 'json' else 'line 2'
    with pytest.raises(ValueError, match=place):
        read_class_list(write(tmp_path, f'c.{kind}', text))


def test_check_class_names():
    assert check_class_names((' a', 'b'), 'config') == ['a', 'b']
    # Only exact repetitions: these are different classes in some data sets.
    assert check_class_names(['Turn', 'turn'], 'config') == ['Turn', 'turn']
    for names in ['a', 'b', 'a'], 'abc':
        with pytest.raises(ValueError, match='config'):
            check_class_names(names, 'config')
    with pytest.raises(FileNotFoundError, match='absent.txt'):
        read_class_list('absent.txt')
