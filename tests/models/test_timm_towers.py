"""SigLIP and PE-Core, cut down: the additions go with their towers, and what
does not is refused."""
import copy

import open_clip
import pytest
import torch
from mmaction.registry import MODELS
from tiny import NAMES, model_cfg, samples, timm_arch
from torch import nn

from projects.vifi_clip.architectures import get_arch_cfg
from projects.vifi_clip.checkpoints.settings import collect_settings
from projects.vifi_clip.engine.interpolated_gradient import clip_parameters
from projects.vifi_clip_tools.merge.weights import (interpolate, read_clip,
                                                    read_tuned)


def arch_of(name, dim, text, **vision) -> dict:
    arch = dict(timm_arch(name, timm_pool='map', **vision), embed_dim=dim,
                custom_text=True)
    arch['text_cfg'].update(text)
    return arch


# OpenCLIP's settings of each, and the pixels of a side.
TOWERS = dict(
    siglip=(arch_of('test_vit', 64, dict(
        width=64, no_causal_mask=True, proj_bias=True, pool_type='last',
        norm_kwargs=dict(eps=1e-6)), timm_proj='none'), 160),
    pe=(arch_of('vit_pe_core_tiny_patch16_384', 512, {}, timm_proj=None), 384))


@pytest.fixture(params=TOWERS)
def tower(request, tmp_path):
    """An architecture, its input size, and OpenCLIP's file of weights."""
    arch, size = copy.deepcopy(TOWERS[request.param])
    cfg = get_arch_cfg(arch)
    cfg.pop('custom_text')
    torch.save(open_clip.CustomTextCLIP(**cfg, init_logit_bias=(
        -10. if request.param == 'siglip' else None)).state_dict(),
        tmp_path / 'clip.pt')
    return arch, size, str(tmp_path / 'clip.pt')


def test_additions_go_with_them(tower, tmp_path):
    """Sentences, both losses, the interpolated gradient and merging."""
    arch, size, file = tower
    start = dict(arch=arch, pretrained=file)
    cfg = model_cfg(backbone=dict(type='CLIPVisionBackbone', **start), head=(
        dict(in_channels=None, text_classifier=dict(
            type='CLIPTextClassifier', class_names=NAMES, **start,
            templates='actions', random_template='shared', average='raw'))),
        auxiliary=[
            dict(type='AnchorRelationLoss', teacher=dict(type='EMATeacher')),
            dict(type='FeatureDistillationLoss', teacher=dict(
                type='CLIPTeacher', **start))])
    model = MODELS.build(copy.deepcopy(cfg)).train()
    for param in model.auxiliary.parameters():
        param.data += 0.05 * torch.randn_like(param)  # zero at the start
    model.auxiliary.update(model)
    losses = {name: value for name, value in model.loss(
        torch.randn(2, 2, 3, size, size), samples([[0], [1]])).items()
        if 'loss' in name}
    assert len(losses) == 4
    sum(losses.values()).backward()
    for name, param in model.named_parameters():
        assert not param.requires_grad or param.grad.isfinite().all(), name
    own = nn.ModuleList([model.backbone, model.cls_head])
    assert len(clip_parameters(model)) == sum(
        p.requires_grad for p in own.parameters())
    torch.optim.SGD(model.parameters(), lr=0.01).step()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        vifi_clip=collect_settings(model, cfg))), tmp_path / 'tuned.pth')
    tuned = read_tuned(str(tmp_path / 'tuned.pth'))
    clip = read_clip(file, tuned)
    assert clip.keys() == tuned.state.keys()
    between = interpolate(clip, tuned.state, 0.5)
    moved = 0
    for name, value in between.items():
        torch.testing.assert_close(value, (clip[name] + tuned.state[name]) / 2)
        moved += not torch.equal(clip[name], tuned.state[name])
    assert moved > 100


@pytest.mark.parametrize('part, said', [
    ('NeighbourBackbone', 'neighbours|open_vclip'),
    ('XCLIPBackbone', 'messages between frames')])
def test_towers_of_others_are_refused(tower, part, said):
    with pytest.raises(ValueError, match=said):
        MODELS.build(dict(type=part, arch=tower[0], num_frames=2))
