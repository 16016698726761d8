"""A user's config in a folder of its own: bases that are shipped, modules
beside it, and knobs that would do nothing."""
import sys

import pytest
from commands import refused
from matrix_world import clear_knobs
from mmaction.registry import MODELS
from tiny import model_cfg

from projects.vifi_clip.apis.config import blamed_on, read_config
from projects.vifi_clip.errors import UserError
from projects.vifi_clip_configs.knobs import read_knobs
from projects.vifi_clip_configs.shipped import root


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    clear_knobs(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', sys.path[:])


@pytest.fixture
def write(tmp_path):
    """Function of (name of a module, its text) or of a config's text."""

    def write(text, name='mine') -> str:
        (tmp_path / 'folder').mkdir(exist_ok=True)
        path = tmp_path / 'folder' / f'{name}.py'
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize('name', ['vifi_mini.py', 'vifi_mini'])
@pytest.mark.parametrize('form', ["'{}'", "['{}']"])
def test_a_shipped_base(write, name, form):
    mine = write('_base_ = ' + form.format(f'vifi_clip::{name}')
                 + "\nmodel = dict(tune='text')\n")
    plain = str(root() / 'configs/vifi_mini.py')
    assert read_knobs(mine) == read_knobs(plain)
    ours, theirs = read_config(mine), read_config(plain)
    assert ours.model.pop('tune') == 'text' != theirs.model.pop('tune')
    assert ours._cfg_dict == theirs._cfg_dict


def test_with_one_of_its_own_and_a_knob_in_the_path(write, monkeypatch):
    write('own = 3\n', 'other')
    mine = write("_base_ = ['vifi_clip::_base_/methods/{{$METHOD:vifi}}.py', "
                 "'./other.py']\n")
    assert read_config(mine).own == 3
    monkeypatch.setenv('METHOD', 'aim')
    assert read_config(mine).model.backbone.type == 'AIMBackbone'
    monkeypatch.setenv('METHOD', 'amm')
    with pytest.raises(ValueError, match='METHOD=amm.*xclip'):
        read_config(mine)


@pytest.mark.parametrize('name, near', [
    ('vifi_mni.py', "'vifi_mini'"), ('', 'vifi_mini'),
    ('_base_/none.py', 'vifi_mini'), ('../../x', 'vifi_mini'),
    ('../setup.py', 'vifi_mini')])
def test_no_such_shipped_base(write, name, near):
    mine = write(f"_base_ = 'vifi_clip::{name}'\n")
    with pytest.raises(FileNotFoundError) as caught:
        read_config(mine)
    for word in f"'vifi_clip::{name}'", near:
        assert word in str(caught.value)


def test_the_packages_of_others(write):
    """MMEngine's own syntax stays."""
    with pytest.raises(UserError, match='mmnone'):
        read_config(write("_base_ = 'mmnone::a/b.py'\n"))


def importing(module) -> str:
    """A config of no bases."""
    return (f'model = {model_cfg()!r}\n'
            f'custom_imports = dict(imports=[{module!r}])\n')


def test_modules_beside_it(write):
    write('from mmaction.registry import MODELS\nimport part_of_mine\n\n\n'
          '@MODELS.register_module()\nclass BesideIt:\n    pass\n', 'mine_too')
    write('', 'part_of_mine')
    try:
        read_config(write(importing('mine_too')))
        assert MODELS.get('BesideIt').__module__ == 'mine_too'
    finally:
        MODELS.module_dict.pop('BesideIt', None)


@pytest.mark.parametrize('text, said', [
    (None, "No module named 'broken"),
    ('import absent_library\n', "No module named 'absent_library'"),
    ('import os\nx = absent\n', "'absent'"),
    ('import x y\n', 'SyntaxError'),
    ('from os import absent\n', "'absent'")])
def test_a_module_that_fails(write, text, said):
    """The message names what is missing, and the line that asked for it."""
    name = f'broken{abs(hash(text))}'
    if text is not None:
        write(text, name)
    with pytest.raises(UserError) as caught:
        read_config(write(importing(name)))
    line = str(caught.value)
    assert said in line and '\n' not in line
    if text is not None:
        assert f'{name}.py' in line and f'line {text.count(chr(10))}' in line


def test_a_type_whose_file_is_not_named(write):
    with pytest.raises(UserError, match="imports=.'my_file'") as caught:
        with blamed_on(write('')):
            MODELS.build(dict(type='Hunnorm'))
    said = str(caught.value)
    assert 'Hunnorm' in said and 'http' not in said and '\n' not in said


@pytest.mark.parametrize('knobs, config', [
    (dict(LORA_R='4'), 'vifi_mini'), (dict(LORA_TARGETS='c_fc'), 'vifi_k400'),
    (dict(LORA_TOWERS='text', TUNE='text'), 'vifi_mini'),
    (dict(METHOD='aim'), 'mix/tsn_r50_vifi_head_k400'),
    (dict(METHOD='aim'), 'vifi_retrieval'),
    (dict(FUSION='image', METHOD='aim'), 'vifi_mini'),
    (dict(FUSION='image', METHOD='st_adapter'), 'vifi_k400'),
    (dict(TUNE='text'), 'mix/videomae_base_vifi_head_k400'),
    (dict(TEMPORAL='lstm'), 'vifi_k400')])
def test_a_knob_that_would_do_nothing(knobs, config, monkeypatch, capsys):
    for name, value in knobs.items():
        monkeypatch.setenv(name, value)
    name = next(iter(knobs))
    refused(capsys, 'train', config, names=f'{name}={knobs[name]}')


def test_a_knob_of_another_entry_in_a_config_elsewhere(write, monkeypatch):
    mine = write("_base_ = 'vifi_clip::vifi_mini.py'\n")
    monkeypatch.setenv('EVAL', 'hmdb51')
    with pytest.raises(ValueError, match='EVAL=hmdb51.*vifi_zero_shot'):
        read_config(mine)
    read_config(write(importing('os')))  # has no knobs of ours
