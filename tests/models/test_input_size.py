"""Pictures have the size of the architecture, in every entry; a table of
positions is interpolated only where that is asked for."""
import pytest
import torch
from matrix_world import clear_knobs
from mmaction.registry import MODELS
from tiny import build_model, tiny_arch

from projects.vifi_clip.apis.config import read_config


def sizes_of(cfg):
    """Heights after the first resize, and final sizes, of all pipelines."""
    found = set()
    for name in 'train', 'val', 'test':
        steps = cfg[f'{name}_dataloader'].dataset.pipeline
        first = next(s for s in steps if s['type'] == 'Resize')
        last = [s for s in steps if 'crop_size' in s or not s.get(
            'keep_ratio', True)][-1]
        found.add((first['scale'][1],
                   last.get('crop_size') or last['scale'][0]))
    return found


@pytest.mark.parametrize('arch, size, height', [
    (None, 224, 256), ('ViT-B-16-SigLIP-384', 384, 439),
    ('ViT-L-14-336-quickgelu', 336, 384), ('ViT-B-16-plus-240', 240, 274)])
def test_pipelines_follow_the_architecture(monkeypatch, arch, size, height):
    clear_knobs(monkeypatch)
    if arch:
        monkeypatch.setenv('ARCH', arch)
    both = {(height, size), (size, size)}
    assert sizes_of(read_config('vifi_k400')) == both
    assert sizes_of(read_config('vifi_few_shot')) <= both
    assert sizes_of(read_config('vifi_retrieval')) == {(height, size)}


def test_positions_of_another_size(tmp_path):
    path = str(tmp_path / 'clip.pth')
    torch.save(dict(state_dict=build_model().state_dict()), path)
    larger = tiny_arch(vision_cfg=dict(image_size=48))
    with pytest.raises(ValueError, match='positional_embedding'):
        MODELS.build(dict(type='CLIPVisionBackbone', arch=larger,
                          pretrained=path))
    asked = MODELS.build(dict(type='CLIPVisionBackbone', arch=tiny_arch(),
                              pretrained=path, image_size=48))
    assert asked(torch.randn(1, 3, 48, 48)).shape == (1, 32)
