"""The examples of docs/extend.md, in a folder outside the checkout."""
import csv
import re
import sys
from pathlib import Path

import pytest
import torch
from commands import vifi
from matrix_world import clear_knobs
from mmaction.registry import DATASETS, MODELS

from projects.vifi_clip_tools.mini_world.build import build
from projects.vifi_clip_tools.mini_world.world import WorldParams

PAGE = Path(__file__).parents[2] / 'docs/extend.md'
FILES = dict(re.findall(r'```python\n# (\w+\.py)\n(.*?)```',
                        PAGE.read_text(), re.S))
# What the checkpoint of an example holds, or a line of its log.
EXPECTED = dict(
    own_head='cls_head.query', own_loss='loss_similarity',
    own_teacher='loss_frames_distillation', own_data='loss_cls',
    own_tower='cls_head.projection.weight',
    own_lora='backbone.visual.ln_post.weight')


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('extend')
    build(folder / 'mini', WorldParams(
        train_per_class=1, test_per_class=1, target_train_per_class=0,
        num_stills=8), workers=1)
    with open(folder / 'clips.csv', 'w', newline='') as file:
        rows = csv.writer(file)
        rows.writerow(['video', 'label'])
        rows.writerows(
            line.rsplit(' ', 1) for line in (
                folder / 'mini/annotations/train.txt').read_text()
            .splitlines())
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def test_there_are_six():
    assert {name.removesuffix('_config.py') for name in FILES
            if name.endswith('_config.py')} == set(EXPECTED)
    assert max(len(text.splitlines()) for text in FILES.values()) <= 25


@pytest.mark.slow
@pytest.mark.parametrize('name', EXPECTED)
def test_an_example(world, name, monkeypatch, capfd):
    if name == 'own_lora':
        pytest.importorskip('peft')
    clear_knobs(monkeypatch)
    monkeypatch.chdir(world)
    for knob, value in dict(DATA_ROOT='mini', MINI_CLIP='none',
                            WORKERS='0').items():
        monkeypatch.setenv(knob, value)
    monkeypatch.setattr(sys, 'path', sys.path[:])
    known = [(registry, set(registry.module_dict))
             for registry in (MODELS, DATASETS)]
    try:
        assert vifi('train', f'{name}_config.py', '--work-dir', f'run_{name}',
                    '--no-validate', '--cfg-options',
                    'train_cfg.max_epochs=1', 'param_scheduler.end=1',
                    'param_scheduler.warmup=0') == 0
    finally:
        for registry, before in known:
            for new in set(registry.module_dict) - before:
                registry.module_dict.pop(new)
        sys.modules.pop(name, None)
    state = torch.load(f'run_{name}/epoch_1.pth',
                       weights_only=True)['state_dict']
    expected = EXPECTED[name]
    if expected.startswith('loss'):
        log, = Path(f'run_{name}').glob('*/vis_data/scalars.json')
        assert expected in log.read_text()
    else:
        assert state[expected].any()
    if name == 'own_lora':
        assert all('lora' in key or 'ln_post' in key for key in state)
