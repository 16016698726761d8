"""Each model of the paper's matrix builds, with towers 64 wide."""
import json
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from projects.vifi_clip_tools.paper.paper_tables import paper_tables
from projects.vifi_clip_tools.paper.runs import by_name

ROOT = Path(__file__).parents[2]
WIDTH, LAYERS = 64, 12  # as many layers as the deepest prompts of the paper
ARCH = dict(
    embed_dim=32,
    quick_gelu=True,
    vision_cfg=dict(image_size=224, layers=LAYERS, width=WIDTH, head_width=32,
                    patch_size=32),
    text_cfg=dict(context_length=77, vocab_size=49408, width=WIDTH, heads=2,
                  layers=LAYERS))
# of the published data sets
NUM_CLASSES = dict(k400=400, hmdb51=51, ucf101=101, ssv2=174)
# which lists and which weights are trained does not change a model
_NO_MODEL = ('SEED', 'SHOTS', 'EVAL', 'TRAIN_LIST')


def _models():
    found = {}
    for run in by_name(paper_tables().values()).values():
        knobs = {k: v for k, v in run.knobs.items() if k not in _NO_MODEL}
        name = '-'.join([run.config, *(knobs[k] for k in sorted(knobs))])
        found[name] = (run.config, knobs)
    return found


MODELS_BY_NAME = _models()


@pytest.mark.parametrize('name', MODELS_BY_NAME)
def test_model_builds(monkeypatch, tmp_path, name):
    config, knobs = MODELS_BY_NAME[name]
    arch = tmp_path / 'narrow.json'
    arch.write_text(json.dumps(ARCH))
    for key, value in dict(knobs, ARCH=str(arch), PRETRAINED='none').items():
        monkeypatch.setenv(key, value)
    init_default_scope('mmaction')
    model = MODELS.build(Config.fromfile(ROOT / f'configs/{config}.py').model)
    trained = {key for key, value in model.named_parameters()
               if value.requires_grad}
    both = {'backbone', 'cls_head'}
    assert {key.split('.')[0] for key in trained} == dict(
        none=set(), image={'backbone'}, text={'cls_head'}, both=both,
        prompts=both)[knobs['TUNE']]
    if config == 'vifi_base2novel':
        folder = ROOT / 'data_splits' / knobs['DATASET']
        base = (folder / 'base_classes.txt').read_text().splitlines()
        assert model.cls_head.num_classes == len(base)
    elif config != 'vifi_retrieval':
        assert model.cls_head.num_classes == NUM_CLASSES[
            knobs.get('DATASET', 'k400')]
    if knobs['TUNE'] == 'prompts':
        assert all('prompts' in key for key in trained)
        length, depth = dict(vifi_base2novel=(16, 9),
                             vifi_few_shot=(10, 12))[config]
        for part in model.backbone, model.cls_head.text_classifier:
            assert part.prompts.tokens.shape == (depth, length, WIDTH)
            # N(0, 0.02): six deviations of the deviation's own error
            error = 6 * 0.02 / (2 * part.prompts.tokens.numel())**0.5
            assert torch.std(part.prompts.tokens).item() == pytest.approx(
                0.02, abs=error)
