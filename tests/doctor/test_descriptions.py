"""vifi-clip check-data --descriptions: what is wrong with sentences about
classes."""
import json

import pytest
from commands import refused, vifi
from open_clip.tokenizer import SimpleTokenizer

GOOD = {'brush hair': 'Brush hair: A person combs their hair',
        'kick ball': 'Kick_ball: A person kicks a ball into a goal',
        'kick': 'KICK: A person hits something with a foot',
        'run': 'Run: A person moves fast on two feet'}


@pytest.fixture
def check(tmp_path, capsys):
    classes = tmp_path / 'classes.txt'
    classes.write_text('\n'.join(GOOD))

    def run(texts, code):
        path = tmp_path / 'texts.json'
        path.write_text(json.dumps(texts))
        assert vifi('check-data', '--descriptions', path, '--classes',
                    classes) == code
        return capsys.readouterr().out

    return run


def test_good_ones(check):
    for texts in (dict(enumerate(GOOD.values())), list(GOOD.values()),
                  {name: [text] for name, text in GOOD.items()},
                  dict(enumerate(map(str.split, ['a b', 'c d', 'e f', 'g']))),
                  GOOD | {'swim': 'Swim: A person is in water'}):
        said = check(texts, 0)
        assert '0 problems, 0 warnings' in said
        assert ('swim' in said) == ('swim' in texts)


LONG = 'Run: A person ' + 'moves fast ' * 40 + 'at dawn'


@pytest.mark.parametrize('change, code, said', [
    ({'run': 'A person runs'}, 1,
     ['No ":"', '`A person runs` [item 3]', 'without a desc', '`run`']),
    ({'run': 'Rune: A person runs'}, 1,
     ["`run`: 'Rune' is near", 'no class in the list']),
    ({'run': 'Kick ball: A person'}, 1, ['Classes without', 'item 3']),
    ({'run': 'Run: A person hits something with a foot'}, 1,
     ['One description', '`KICK`: also Run']),
    ({'run': 'Run: A person will kick-ball or kick'}, 0,
     ["`Run`: 'Kick_ball' is another class", "'KICK' is another", '2 warn']),
    ({'kick ball': 'Kick ball: A person will kick a ball'}, 0,
     ['0 warnings']),
    ({'run': 'Kick_ball: A person'}, 1, ['twice', '[item 1, item 3]']),
    ({'run': LONG}, 1, ['too long', '`Run`: ', "at dawn' is cut off"])])
def test_what_is_wrong(check, change, code, said):
    out = check([*(GOOD | change).values()], code)
    assert not [part for part in said if part not in out], out


def test_what_is_too_much_is_what_the_tower_would_not_see(check):
    out = check([*(GOOD | {'run': LONG}).values()], 1)
    encode = SimpleTokenizer().encode
    longest = encode(f'a demonstration of a person practicing Run. {LONG}')
    assert f'{len(longest) + 2} tokens' in out
    lost = out.partition("template; '")[2].partition("' is")[0]
    assert encode(lost) == longest[75:]


def test_usage(capsys, tmp_path):
    refused(capsys, 'check-data', '--descriptions', 'a.json',
            names=['--classes'])
    refused(capsys, 'check-data', tmp_path, '--descriptions', 'a.json',
            '--classes', 'b.txt', names=['no lists'])
    path = tmp_path / 'a.json'
    path.write_text('{"a": [1]}')
    (tmp_path / 'b.txt').write_text('a')
    refused(capsys, 'check-data', '--descriptions', path, '--classes',
            tmp_path / 'b.txt', names=[str(path), "'a'"])
