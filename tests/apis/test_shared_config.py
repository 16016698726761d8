"""A config from the Hub is read as data, or not at all."""
import sys
from pathlib import Path

import huggingface_hub
import pytest
from commands import refused, vifi

from projects.vifi_clip.apis.config import read_config
from projects.vifi_clip.apis.model_folder import _write_config
from projects.vifi_clip.apis.shared_config import check_shared
from projects.vifi_clip.errors import UserError
from vifi_clip import ViFiCLIP

MODEL = "model = dict(type='ViFiCLIP')\n"


@pytest.fixture
def fetched(small_inferencer, tmp_path, monkeypatch):
    """A folder as people push it, which is what the Hub gives."""
    folder = tmp_path / 'fetched'
    ViFiCLIP(small_inferencer).save_pretrained(folder)
    monkeypatch.setattr(huggingface_hub, 'snapshot_download',
                        lambda name, **kw: str(folder))
    return folder


def test_our_models_need_no_trust(fetched, small_inferencer):
    # a missing library must not be taken from there, now or later
    (fetched / 'wandb.py').write_text('raise SystemExit')
    model = ViFiCLIP.from_pretrained('someone/model', device='cpu')
    assert model.inferencer.class_names == small_inferencer.class_names
    assert str(fetched) not in sys.path


@pytest.mark.parametrize('name', [
    'vifi_k400', 'vifi_retrieval', 'vifi_mini', 'vifi_best_zero_shot'])
def test_types_of_our_configs_are_known(name, tmp_path):
    cfg = read_config(name)
    for key in 'class_file', 'class_names', 'description_file':
        (cfg.model.cls_head.get('text_classifier') or {}).pop(key, None)
    _write_config(cfg, str(tmp_path), 'x.pth', {})
    check_shared(str(tmp_path / 'config.py'))


@pytest.mark.parametrize('text', [
    'import os', 'open("here", "w")', 'load_from = open("here", "w").name',
    'log_level = [open("here", "w") for _ in "a"][0]', "_base_ = 'other.py'",
    "custom_imports = dict(imports=['other'])",
    "log_level = custom_imports = dict(imports=['other'])", 'del model',
    "model['type'] = 'builtins.open'", "model: str = log_level = 'a'",
    "model += dict(a=1)", "with open('here', 'w'): pass",
    "val_pipeline = [dict(type='builtins.open', file='here', mode='w')]",
    "val_pipeline = [{'ty' 'pe': 'builtins.open'}]",
    "val_pipeline = [{'{{$KEY:type}}': 'builtins.open'}]",
    "val_pipeline = [dict(**{'type': 'builtins.open'})]",
    "val_pipeline = [dict(type=['ViFiCLIP'])]",
    r"# {{$KEY:\nopen('here','w')}}", '# {{_base_.model}}',
    "optim_wrapper = 3", "default_scope = 'other'",
    'model.x = 3', 'model = log_level = 3', 'dict = open', 'model = ', '\0',
    'model = ' + '-' * 10 ** 5 + '1', "test_evaluator = "
    "dict(type='PredictionsFile', out='here')"])
def test_code_is_refused(text, fetched, tmp_path, monkeypatch):
    """Before any of it runs; with trust it is as it always was."""
    monkeypatch.chdir(tmp_path)
    (fetched / 'other.py').write_text("open('here', 'w')")
    with open(fetched / 'config.py', 'a') as file:
        file.write(f'\n{text}\n')
    for name in 'hf://someone/model', str(fetched):
        with pytest.raises(UserError, match='--trust'):
            read_config(name)
    assert not Path('here').exists()


def test_trust(fetched, tmp_path):
    (fetched / 'config.py').write_text(MODEL + 'import os\nx = os.sep')
    assert read_config('hf://someone/model', trust=True).x == '/'


def test_trust_of_complexity(fetched, tmp_path, capsys):
    """Whose message names the option."""
    with open(fetched / 'config.py', 'a') as file:
        file.write("\nx = len('code')\n")
    assert 'give --trust' in refused(
        capsys, 'complexity', 'hf://someone/model')
    assert vifi('complexity', 'hf://someone/model', '--trust') == 0
