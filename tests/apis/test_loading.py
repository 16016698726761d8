"""A model from its config and checkpoint."""
import os
from unittest.mock import Mock

import pytest
import torch
from mmengine.config import Config
from open_clip.model import CLIP
from tiny import build_model, model_cfg, tiny_arch
from tools_world import PREPROCESSOR

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.loading import find_device, load_model
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.models.towers import resolve_pretrained


@pytest.fixture
def frozen(tmp_path) -> tuple:
    """A config whose towers start from a file of OpenCLIP, and that CLIP."""
    torch.manual_seed(5)
    clip = CLIP(**tiny_arch()).eval()
    path = str(tmp_path / 'clip.pt')
    torch.save(clip.state_dict(), path)
    model = model_cfg(num_frames=4, data_preprocessor=PREPROCESSOR)
    for part in model['backbone'], model['cls_head']['text_classifier']:
        part['pretrained'] = path
    return Config(dict(model=model)), clip


def test_frozen_clip_has_its_weights(frozen):
    """MMAction2's init_recognizer takes ``pretrained`` out of the backbone:
    without a checkpoint the image tower was random."""
    config, clip = frozen
    frames = torch.randn(3, 3, 32, 32)
    for checkpoint, device in (None, 'cpu'), ('none', 'auto'):
        model = load_model(config, checkpoint, device)[0].cpu()
        with torch.no_grad():
            torch.testing.assert_close(model.backbone(frames),
                                       clip.encode_image(frames))
        torch.testing.assert_close(model.cls_head.logit_scale.data,
                                   clip.logit_scale.data)
        assert not model.training


def test_a_checkpoint_comes_instead_of_pretrained(frozen, tmp_path):
    config, _ = frozen
    model, _ = load_model(config, None, 'cpu')
    with torch.no_grad():
        model.cls_head.logit_scale += 1
    state = model.state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'mine.pth')
    os.remove(tmp_path / 'clip.pt')  # not needed any more
    other, cfg = load_model(config, str(tmp_path / 'mine.pth'), 'cpu',
                            class_names=['p', 'q'])
    assert torch.equal(other.cls_head.logit_scale, model.cls_head.logit_scale)
    assert other.cls_head.text_classifier.class_names == ['p', 'q']
    # the caller's config is as it was
    assert config.model.backbone.pretrained == str(tmp_path / 'clip.pt')
    assert cfg.model.backbone.pretrained is None
    with pytest.raises(FileNotFoundError, match='gone.pth'):
        load_model(config, 'gone.pth', 'cpu')
    del state['cls_head.logit_scale']
    torch.save(dict(state_dict=state), tmp_path / 'part.pth')
    with pytest.raises((ValueError, UserError), match='logit_scale'):
        load_model(config, str(tmp_path / 'part.pth'), 'cpu')


@pytest.mark.parametrize('call, named', [
    (lambda: load_model('vifi_zero_shott'), 'vifi_zero_shott'),
    (lambda: load_model('small_world', ''), 'checkpoint is empty'),
    (lambda: find_device('cuda:99'), '--device cuda:99'),
    (lambda: find_device('banana'), '--device banana'),
    (lambda: ViFiCLIPInferencer('small_world', labels=['a', ' '],
                                device='cpu'), 'labels.*empty')])
def test_wrong_models(call, named):
    with pytest.raises((FileNotFoundError, ValueError), match=named):
        call()


def test_a_checkpoint_of_a_part_needs_the_start_weights(tmp_path):
    path = str(tmp_path / 'a.pth')
    torch.save(dict(state_dict=build_model().state_dict()), path)
    model = model_cfg(save_trainable_only=True)
    model['backbone']['pretrained'] = 'gone/clip.pt'
    for checkpoint in 'none', path:
        with pytest.raises(FileNotFoundError, match='gone/clip.pt'):
            load_model(Config(dict(model=model)), checkpoint, 'cpu')


def test_weights_that_cannot_be_fetched(monkeypatch):
    monkeypatch.setattr(
        'projects.vifi_clip.models.towers.download_pretrained',
        Mock(side_effect=OSError('no route to host')))
    with pytest.raises(UserError, match='no route to host') as error:
        resolve_pretrained('ViT-B-16-quickgelu', 'openai')
    assert 'PRETRAINED=FILE' in str(error.value)
    assert '\n' not in str(error.value)
