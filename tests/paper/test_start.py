"""A run starts from all of another's checkpoint, whatever their classes."""
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint

from projects.vifi_clip_tools.paper.layout import config_file
from projects.vifi_clip_tools.paper.runs import COMPARED, KNOB


@pytest.mark.parametrize('method', [KNOB[row][1] for row in COMPARED])
def test_all_weights_of_a_method_are_taken(monkeypatch, tmp_path, method):
    def read(protocol) -> Config:
        monkeypatch.setenv('PROTOCOL', protocol)
        cfg = Config.fromfile(config_file('vifi_mini'))
        # names stand in for the lists of the small world
        cfg.model.cls_head.text_classifier.update(
            class_file=None, class_names=[f'{protocol} {i}' for i in range(
                dict(full=3, few_shot=5)[protocol])])
        return cfg

    init_default_scope('mmaction')
    monkeypatch.setenv('METHOD', method)
    monkeypatch.setenv('MINI_CLIP', 'none')
    source = MODELS.build(read('full').model)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.normal_()
    path = tmp_path / 'epoch 8.pth'
    torch.save(dict(state_dict=source.state_dict()), path)
    monkeypatch.setenv('LOAD_FROM', str(path))
    cfg = read('few_shot')
    model = MODELS.build(cfg.model)
    load_checkpoint(model, cfg.load_from, map_location='cpu')
    torch.testing.assert_close(model.state_dict(), source.state_dict())
