"""A checkpoint of the whole model needs no other weights."""
import pytest
import torch
from mmengine.config import Config
from tiny import build_model, model_cfg

from projects.vifi_clip.apis.loading import load_model


@pytest.mark.parametrize('partial', [False, True])
def test_start_weights_are_asked_for_only_if_needed(tmp_path, partial):
    path = str(tmp_path / 'a.pth')
    saved = build_model()
    torch.save(dict(state_dict=saved.state_dict()), path)
    model = model_cfg(save_trainable_only=partial)
    model['backbone']['pretrained'] = 'gone/clip.pt'
    model['cls_head']['text_classifier']['pretrained'] = 'gone/clip.pt'
    config = Config(dict(model=model))
    if partial:
        with pytest.raises(FileNotFoundError, match='gone/clip.pt'):
            load_model(config, path, 'cpu')
    else:
        loaded, _ = load_model(config, path, 'cpu')
        assert torch.equal(loaded.backbone.visual.proj,
                           saved.backbone.visual.proj)
    with pytest.raises(FileNotFoundError, match='gone/clip.pt'):
        load_model(config, 'none', 'cpu')
