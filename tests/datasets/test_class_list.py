import json

import pytest

from projects.vifi_clip.datasets.class_list import (check_class_names,
                                                    read_class_descriptions,
                                                    read_class_list)

NAMES = ['abseiling', 'air drumming', 'tai chi, slow']


@pytest.mark.parametrize('name, text', [
    ('c.txt', 'abseiling\n air drumming \ntai chi, slow\n\n'),
    ('c.txt', '\ufeffabseiling\r\nair drumming\r\ntai chi, slow'),
    ('c.csv', 'id,name\n2,"tai chi, slow"\n0,abseiling\n1,air drumming\n'),
    ('c.csv', 'name,id\nabseiling,0\nair drumming,1\n"tai chi, slow",2\n\n'),
    ('c.json', json.dumps(NAMES)),
    ('c.yaml', '- abseiling\n- air drumming\n- tai chi, slow\n'),
    ('c.YML', '[abseiling, air drumming, "tai chi, slow"]'),
])
def test_every_format_gives_names_in_label_order(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding='utf-8', newline='')
    assert read_class_list(path) == NAMES
    assert read_class_list(str(path)) == NAMES


@pytest.mark.parametrize('name, text, parts', [
    ('c.txt', '', ['no class names']),
    ('c.txt', ' \n\n', ['no class names']),
    ('c.txt', 'a\n\nb\n', ['line 2', 'empty']),
    ('c.txt', 'a\nb\na \n', ["'a'", 'line 1', 'line 3', 'rename']),
    ('c.csv', '0,a\n1,b\n', ['line 1', "'0,a'", 'id,name']),
    ('c.csv', '', ['line 1', 'id,name']),
    ('c.csv', 'id,name\n', ['no class names']),
    ('c.csv', 'id,name\n0,a\n1,b, c\n', ['line 3', '1,b, c', 'quotes']),
    ('c.csv', 'id,name\n0,a\nx,b\n', ['line 3', "'x'"]),
    ('c.csv', 'id,name\n0,a\n-1,b\n', ['line 3', "'-1'"]),
    ('c.csv', 'id,name\n0,a\n0,b\n', ['id 0', 'line 2', 'line 3']),
    ('c.csv', 'id,name\n0,a\n2,b\n', ['id 1']),
    ('c.csv', 'id,name\n1,a\n0,a\n', ["'a'", 'line 3', 'line 2']),
    ('c.csv', 'id,name\n0,a\n1, \n', ['line 3', 'empty']),
    ('c.json', '["a",\n"b" "c"]', ['line 2', 'not valid JSON']),
    ('c.json', '{"a": 0}', ['a list of class names', 'dict']),
    ('c.json', '["a", 3]', ['item 1', '3', 'quotes']),
    ('c.yaml', '- a\n- yes\n', ['item 1', 'True', 'quotes']),
    ('c.yaml', '- a\n- [b\n', ['line 3', 'not valid YAML']),
    ('c.yaml', '', ['a list of class names', 'nothing']),
    ('c.yaml', '- !!python/object:os.system {}\n', ['not valid YAML']),
    ('c.tsv', 'a\n', ['.tsv', '.csv']),
])
def test_bad_lists_are_refused(tmp_path, name, text, parts):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        read_class_list(path)
    for part in [str(path), *parts]:
        assert part in str(error.value)


def test_absent_and_binary_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='absent.txt'):
        read_class_list(tmp_path / 'absent.txt')
    (tmp_path / 'b.txt').write_bytes(b'\xff\xfe\x00a')
    with pytest.raises(ValueError, match='b.txt: not UTF-8'):
        read_class_list(tmp_path / 'b.txt')


def test_check_class_names():
    assert check_class_names((' a', 'b'), 'config') == ['a', 'b']
    # Only exact repetitions: these are different classes in some data sets.
    assert check_class_names(['Turn', 'turn'], 'config') == ['Turn', 'turn']
    with pytest.raises(ValueError, match='config.*item 0.*item 2'):
        check_class_names(['a', 'b', 'a'], 'config')
    with pytest.raises(ValueError, match='config.*list of class names'):
        check_class_names('abc', 'config')


@pytest.mark.parametrize('name, text', [
    ('d.json', '{"a": ["one.", " two "], "b b": ["three"]}'),
    ('d.yaml', 'a:\n- one.\n- two\nb b: [three]\n'),
])
def test_descriptions(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert read_class_descriptions(path) == {
        'a': ['one.', 'two'],
        'b b': ['three']
    }


@pytest.mark.parametrize('name, text, parts', [
    ('d.json', '["a"]', ['mapping', 'list']),
    ('d.json', '{}', ['no class names']),
    ('d.json', '{"a": "one"}', ["'a'", "'one'"]),
    ('d.json', '{"a": []}', ["'a'", 'at least one']),
    ('d.json', '{"a": ["x", " "]}', ["'a'"]),
    ('d.json', '{"a": ["x"], "a": ["y"]}', ["'a'", '2 times']),
    ('d.yaml', 'b: [x]\na: [x]\na: [y]\n', ['line 1', "'a'", '2 times']),
    ('d.yaml', 'no: [x]\n', ['False', 'quotes']),
    ('d.txt', 'a', ['.txt', '.json']),
])
def test_bad_descriptions_are_refused(tmp_path, name, text, parts):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        read_class_descriptions(path)
    for part in [str(path), *parts]:
        assert part in str(error.value)


@pytest.mark.parametrize('end', ['\x85', '\u2028', '\x0c', '\x0b', '\0'])
@pytest.mark.parametrize('kind', ['txt', 'csv', 'json'])
def test_line_breaks_in_names_are_refused(tmp_path, end, kind):
    name = f'chop{end}it'
    text = {'txt': f'stir\n{name}\r\n', 'csv': f'id,name\n1,{name}\n0,stir\n',
            'json': json.dumps(['stir', name])}[kind]
    path = tmp_path / f'classes.{kind}'
    path.write_text(text, encoding='utf-8', newline='')
    place = 'item 1' if kind == 'json' else 'line 2'
    with pytest.raises(ValueError, match='a quote is missing') as error:
        read_class_list(path)
    assert f'{path}, {place}: ' in str(error.value)


@pytest.mark.parametrize('rows, told', [
    ('0,"chop\n1,stir"\n', ('line 3', 'a quote is missing')),
    ('0,chop\n1,"stir\n2,boil\n', ('line 3', 'a quote is not closed')),
    ('0,"chop"s\n', ('line 2', 'quote')),
])
def test_quotes_of_a_csv(tmp_path, rows, told):
    path = tmp_path / 'classes.csv'
    path.write_text(f'id,name\n{rows}')
    with pytest.raises(ValueError) as error:
        read_class_list(path)
    assert all(part in str(error.value) for part in (str(path), *told))


@pytest.mark.parametrize('kind', ['json', 'yaml'])
def test_deep_nesting_is_a_clear_error(tmp_path, kind):
    path = tmp_path / f'classes.{kind}'
    path.write_text('[' * 20000)
    with pytest.raises(ValueError, match='nested too deeply'):
        read_class_list(path)


def test_a_lone_carriage_return_does_not_end_a_line(tmp_path):
    path = tmp_path / 'classes.txt'
    path.write_bytes(b'chop\rit\r\nstir\n')
    with pytest.raises(ValueError, match='line 1: .*a quote is missing'):
        read_class_list(path)
