"""What mim reads: every config is there, and no entry says what is not so."""
import re
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import yaml

from projects.vifi_clip.apis.config import read_config

REPO = Path(__file__).parents[1]
INDEX = yaml.safe_load((REPO / 'model-index.yml').read_text())
META = yaml.safe_load((REPO / INDEX['Import'][0]).read_text())


@pytest.mark.parametrize('model', META['Models'], ids=lambda m: m['Name'])
def test_entries_are_true(model):
    path = REPO / model['Config']
    assert path.is_file() and path.stem == model['Name']
    assert model['In Collection'] in {c['Name'] for c in META['Collections']}
    cfg, said = read_config(str(path)), model['Metadata']
    for key, value in (
            ('Epochs', lambda: cfg.train_cfg.max_epochs),
            ('Batch Size', lambda: cfg.auto_scale_lr.base_batch_size),
            ('Frames', lambda: cfg.model.cls_head.num_frames)):
        assert key not in said or said[key] == value()
    if 'Weights' in model:
        tower = cfg.model.backbone
        assert model['Weights'] == open_clip.get_pretrained_cfg(
            tower.arch, tower.pretrained)['url']


def test_results_are_those_of_the_docs():
    results = {model['Name']: result['Metrics'] for model in META['Models']
               for result in model.get('Results', ())}
    assert set(results) == {'small_world'}
    figure = re.search(r'got ([\d.]+)% of 240 test videos',
                       (REPO / 'docs/model_zoo.md').read_text())[1]
    assert results['small_world'] == {'Top 1 Accuracy': float(figure)}


def test_mim_reads_them(tmp_path):
    """mim's own reader, of an installed package, where mim is installed."""
    pytest.importorskip('modelindex')
    from modelindex.load_model_index import load
    index = load(str(REPO / 'model-index.yml'))
    index.build_models_with_collections()
    assert {model.name for model in index.models} == {
        model['Name'] for model in META['Models']}
    pytest.importorskip('mim')
    done = subprocess.run(
        [sys.executable, '-c', 'import sys\n'
         'from modelindex.load_model_index import load\n'
         'from mim.commands.search import convert2df\n'
         'print(convert2df(load(sys.argv[1])).to_dict("index"))',
         str(REPO / 'model-index.yml')], text=True, capture_output=True)
    assert "'weight': 'https://openaipublic" in done.stdout, done.stderr
