"""Any text, setting, option or record gives a result or one line, never a
traceback. ``TRIES=100 pytest tests/test_any_input.py`` tries more, at random.
"""
import importlib
import json
import os
import re
from pathlib import Path

import pytest
from commands import vifi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from tiny import model_cfg
from tools_world import PIPELINES, PREPROCESSOR

from projects.vifi_clip.apis.identity import Identity
from projects.vifi_clip.apis.inputs import read_labels
from projects.vifi_clip.apis.loading import load_model
from projects.vifi_clip.apis.pipeline import VideoSampler
from projects.vifi_clip.datasets.class_descriptions import (
    read_class_descriptions)
from projects.vifi_clip.datasets.class_list import read_class_list
from projects.vifi_clip.datasets.video_list import read_video_list
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_configs.shipped import config_names
from projects.vifi_clip_tools.cli.main import COMMANDS
from projects.vifi_clip_tools.cli.options import ModelOptions
from projects.vifi_clip_tools.cli.terminal import (clean_output, cleaned,
                                                   one_line)
from projects.vifi_clip_tools.search.record import (completed, read_identity,
                                                    write_identity)

TRIES = int(os.environ.get('TRIES', 1))


def tries(count):
    """So many examples, always the same ones."""
    return settings(
        max_examples=count * TRIES, derandomize=TRIES == 1, deadline=None,
        database=None, suppress_health_check=list(HealthCheck))


MARKS = st.sampled_from('-:[]{}!&*#?|>%@`"\',;\n\t 0123456789.e+~<=ab')
ODD = st.sampled_from([*map(chr, range(256)), *'\u0301\u200d\u2028\u202e'
                       '\u2067\ud800\udcff\ufeff猫😀'])
TEXTS = st.text(MARKS | ODD, max_size=40)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 9), TEXTS, st.sampled_from([
        1e9, -1.5, float('nan'), 10**30, 'ViFiCLIP', 'os.getcwd', '/dev/zero',
        'http://a/b.pth', 'x\x1b[2J']))
KEYS = st.sampled_from(['type', 'a', '_delete_', '_scope_', 'arch', '0'])
VALUES = st.recursive(LEAVES, lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=2)),
    max_leaves=5)
YAML = st.recursive(
    TEXTS | st.sampled_from([
        'a', '- a', '!!int x', '!!set {a}', '!!omap [a]', '!!python/none',
        '2001-99-99', '<<: 3', '&a b', '*a', '? x', '--- a', '|\n x']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(', '.join).map('[{}]'.format),
        st.lists(inner, max_size=4).map('\n- '.join),
        st.tuples(inner, inner).map('{0[0]}: {0[1]}'.format)), max_leaves=6)
CONTENTS = st.one_of(
    st.binary(max_size=30), *(
        texts.map(lambda text: text.encode(errors='surrogatepass'))
        for texts in (TEXTS, YAML, VALUES.map(json.dumps))))


def said(call, *names):
    """The result of a call; None for an error that is said in one line, with
    all names."""
    try:
        return call()
    except (ValueError, OSError, UserError) as error:
        assert '\n' not in str(error), str(error)
        for name in names:
            assert str(name) in str(error), str(error)
        return None


@given(content=CONTENTS,
       suffix=st.sampled_from(['.txt', '.csv', '.json', '.yaml']))
@tries(60)
def test_lists(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f'any{suffix}'
    path.write_bytes(content)
    for read in read_class_list, read_labels:
        names = said(lambda: read(str(path)), path)
        assert names is None or names and len(set(names)) == len(names)
        assert all(name == name.strip() != '' and '\n' not in name
                   for name in names or ())
    described = said(lambda: read_class_descriptions(path), path)
    assert described is None or all(
        name and all(texts) for name, texts in described.items())
    if suffix == '.txt':
        videos = said(lambda: read_video_list(str(path)), path)
        assert all(name and label >= -1 for name, label in videos or ())


@given(text=st.text(ODD, max_size=40))
@tries(60)
def test_texts_that_are_shown(text):
    for clean, kept in (cleaned, '\t\n\r'), (one_line, ''):
        shown = clean(text)
        assert len(shown) == len(text) and clean(shown) == shown
        assert not re.search('[\x00-\x1f\x7f-\x9f]', shown.translate(
            dict.fromkeys(map(ord, kept))))
        shown.encode()


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp('any') / 'mine.py'
    cfg = dict(model=model_cfg(data_preprocessor=PREPROCESSOR),
               val_pipeline=PIPELINES['val'], default_scope='mmaction',
               test_dataloader=dict(dataset=dict(type='A', pipeline=[])))
    path.write_text('\n'.join(f'{key} = {value!r}'
                              for key, value in cfg.items()))
    return path


def names_in(node, above=''):
    """Names of all settings, with dots."""
    items = (node.items() if isinstance(node, dict) else
             enumerate(node) if isinstance(node, (list, tuple)) else ())
    for name, value in items:
        yield f'{above}{name}'
        yield from names_in(value, f'{above}{name}.')


@given(data=st.data())
@tries(12)
def test_settings(config, data):
    names = st.sampled_from(list(names_in(
        Config.fromfile(config)._cfg_dict.to_dict())))
    further = st.tuples(names, KEYS).map('.'.join)
    options = data.draw(st.dictionaries(
        names | further, VALUES, min_size=1, max_size=2))

    def use():
        _, cfg = load_model(str(config), device='cpu', cfg_options=options)
        for views in 1, None:
            VideoSampler(cfg).reader(views)

    try:
        use()
    except (ValueError, OSError, UserError):
        pass


@pytest.mark.parametrize('command', COMMANDS)
def test_options(command, capsys):
    module = importlib.import_module(
        f'projects.vifi_clip_tools.{COMMANDS[command].module}')
    vifi(command, '--help')
    flags = sorted(set(re.findall('--[a-z][a-z0-9-]+',
                                  capsys.readouterr().out)))
    words = st.sampled_from(flags) | st.sampled_from([
        '-1', '9' * 30, '1e-300', 'nan', '', '--', 'a=(1', 'a.b=1', 'x' * 5000,
        '\x1b[2J', '/proc/x', 'small_world', '0', '1']) | TEXTS

    @given(argv=st.lists(words, max_size=5))
    @tries(12)
    def check(argv):
        with clean_output():
            try:
                module.parse_args(['x', *argv])
            except SystemExit as end:
                assert end.code in (0, 2)
        message = capsys.readouterr().err
        assert 'Traceback' not in message and len(message) < 9000

    check()


@given(name=st.sampled_from(sorted(Identity.__dataclass_fields__)),
       value=VALUES, more=st.dictionaries(KEYS, VALUES, max_size=1))
@tries(40)
def test_records_of_an_index(tmp_path_factory, name, value, more):
    folder = tmp_path_factory.getbasetemp() / 'any_index'
    write_identity(str(folder), Identity('small_world', None, 'ab', 3, 8))
    file = folder / 'index.json'
    record = json.loads(file.read_text())
    record['identity'].update({name: value}, **more)
    file.write_text(json.dumps(record))
    made = said(lambda: read_identity(str(folder)), folder)
    if made is not None:
        options = said(lambda: completed(ModelOptions(config=None), made,
                                         str(folder)), folder)
        assert options is None or Path(options.config).stem in config_names()


def leaves(value):
    """What lists hold, at any depth."""
    return sum(map(leaves, value), []) if isinstance(value, list) else [value]


_PARTS = st.sampled_from(['model', 'val_pipeline', 'type', '_scope_', '0',
                          'custom_imports', 'arch', 'pretrained'])


@given(settings=st.dictionaries(
    st.lists(_PARTS, min_size=1, max_size=4).map('.'.join), VALUES,
    max_size=2))
@tries(60)
def test_settings_of_an_index_name_no_code(settings):
    made = Identity('small_world', None, 'ab', 3, 8, cfg_options=settings)
    options = said(lambda: completed(
        ModelOptions(config=None), made, 'index'), 'index')
    if options is not None:
        assert options.cfg_options == settings
        assert not any(part == 'type' or part[0] == '_' for name in settings
                       for part in name.split('.'))
        assert not any(isinstance(value, dict) or '://' in str(value)
                       for value in leaves(list(settings.values())))
