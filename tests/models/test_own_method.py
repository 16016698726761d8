"""The example of docs/methods.md, in a folder outside the checkout."""
import re
import sys
from pathlib import Path

import pytest
import torch
from commands import refused, vifi
from matrix_world import clear_knobs
from mmaction.registry import MODELS

from projects.vifi_clip_tools.mini_world.build import build
from projects.vifi_clip_tools.mini_world.world import WorldParams

REPO = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_method_in_one_file(tmp_path, monkeypatch):
    clear_knobs(monkeypatch)
    page = (REPO / 'docs/methods.md').read_text()
    for name, code in re.findall(r'```python\n# (\w+\.py)\n(.*?)```', page,
                                 re.S):
        (tmp_path / name).write_text(code)
    build(tmp_path / 'mini', WorldParams(
        train_per_class=1, test_per_class=1, target_train_per_class=0,
        num_stills=8), workers=1)
    monkeypatch.chdir(tmp_path)
    for name, value in dict(DATA_ROOT='mini', MINI_CLIP='none',
                            WORKERS='0').items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, 'path', sys.path[:])
    try:
        assert vifi('train', 'my_config.py', '--work-dir', 'run',
                    '--no-validate', '--cfg-options',
                    'train_cfg.max_epochs=1', 'param_scheduler.end=1',
                    'param_scheduler.warmup=0') == 0
    finally:
        for name in 'LearntWeights', 'FocalLoss':
            MODELS.module_dict.pop(name)
        sys.modules.pop('my_method')
    state = torch.load('run/epoch_1.pth', weights_only=True)['state_dict']
    weights = state['cls_head.temporal.weights']
    assert weights.shape == (8, ) and weights.any()  # it has learnt


def test_a_module_that_is_missing_is_named(tmp_path, capsys):
    config = tmp_path / 'mine.py'
    config.write_text(f"_base_ = ['{REPO}/configs/vifi_mini.py']\n"
                      "custom_imports = dict(imports=['my_absent_module'])\n")
    refused(capsys, 'train', config, names=['my_absent_module'])
