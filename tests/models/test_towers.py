"""Towers against the `transformers` CLIPModel with the same weights."""
import copy

import open_clip
import pytest
import torch
import torch.nn.functional as F
from conversion_world import transformers_clip
from mmaction.registry import MODELS
from release_file import ARCH
from tiny import class_tokens, model_cfg, timm_arch, tiny_arch

from projects.vifi_clip.architectures import get_arch_cfg
from projects.vifi_clip.checkpoints.layouts import read_layout
from projects.vifi_clip.models.towers import build_text_tower


def _embeds(output):
    """transformers >= 5 wraps features in an output object."""
    return getattr(output, 'pooler_output', output)


@pytest.mark.parametrize('grad_checkpointing', [False, True])
def test_embeddings_logits_and_gradients_equal_transformers(
        tmp_path, grad_checkpointing):
    reference, path = transformers_clip(), str(tmp_path / 'clip.pt')
    torch.save(reference.state_dict(), path)
    cfg = model_cfg()
    for part in cfg['backbone'], cfg['cls_head']['text_classifier']:
        part.update(arch=ARCH, pretrained=path,
                    grad_checkpointing=grad_checkpointing)
    model = MODELS.build(cfg).train()
    images, labels = torch.randn(6, 3, 32, 32), torch.tensor([0, 3, 2])
    image = _embeds(reference.get_image_features(images))
    text = F.normalize(
        _embeds(reference.get_text_features(class_tokens())), dim=-1)
    video = F.normalize(image.view(3, 2, -1).mean(1), dim=-1)
    logits = reference.logit_scale.exp() * video @ text.T
    found = model.backbone(images)
    for ours, theirs in ((found, image), (model.cls_head(found), logits),
                         (model.cls_head.text_classifier(), text)):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)

    F.cross_entropy(model.cls_head(found), labels).backward()
    F.cross_entropy(logits, labels).backward()
    expected = read_layout({n: p * 0 if p.grad is None else p.grad
                            for n, p in reference.named_parameters()},
                           'transformers', '').weights
    expected.pop('text.token_embedding.weight')  # never trained
    grads = read_layout({n: p.grad for n, p in model.named_parameters()
                         if p.grad is not None}, 'vifi', '').weights
    assert grads.keys() == expected.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(
            grad, expected[name], atol=1e-4, rtol=1e-4, msg=name)


# One cut-down tower of each family: OpenCLIP's ViT with class-token and with
# average pooling, timm's ViT (SigLIP, with attention pooling) and EVA (EVA02,
# PE), and a ResNet.
FAMILIES = dict(
    vit=(tiny_arch(), 32),
    vit_average=(tiny_arch(vision_cfg=dict(
        pool_type='avg', final_ln_after_pool=True, no_ln_pre=True)), 32),
    siglip=(timm_arch('test_vit', timm_pool='map', timm_proj='none'), 160),
    timm_vit=(timm_arch('test_vit'), 160),
    eva02=(timm_arch('eva02_tiny_patch14_224'), 224),
    pe=(timm_arch('vit_pe_core_tiny_patch16_384'), 384),
    resnet=(tiny_arch(vision_cfg=dict(
        layers=(1, 1, 1, 1), width=8, image_size=64)), 64))


@pytest.mark.parametrize('family', FAMILIES)
def test_every_family_equals_openclip(family):
    arch, size = FAMILIES[family]
    backbone = MODELS.build(dict(type='CLIPVisionBackbone', arch=arch)).eval()
    reference = open_clip.CustomTextCLIP(**get_arch_cfg(arch)).eval()
    reference.visual.load_state_dict(backbone.visual.state_dict())
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(backbone(x), reference.encode_image(x))


@pytest.mark.parametrize('family', ['eva02', 'pe', 'resnet'])
def test_prompts_refuse_towers_without_a_token_sequence(family):
    with pytest.raises(ValueError, match='prompts'):
        MODELS.build(dict(type='VLDeepPromptBackbone',
                          arch=FAMILIES[family][0]))


def test_frozen_tower_stays_in_eval_mode():
    arch = FAMILIES['resnet'][0]  # batch norm would otherwise drift
    backbone = MODELS.build(
        dict(type='CLIPVisionBackbone', arch=arch, frozen=True)).train()
    before = copy.deepcopy(backbone.state_dict())
    backbone(torch.randn(2, 3, 64, 64))
    torch.testing.assert_close(backbone.state_dict(), before, atol=0, rtol=0)
    assert not any(p.requires_grad for p in backbone.parameters())


@pytest.mark.parametrize('arch, said', [
    ('ViT-B-17', 'ViT-B-16'), (dict(embed_dim=32), 'vision_cfg'),
    (tiny_arch(text_cfg=dict(widths=8)), 'widths'),
    ('roberta-ViT-B-32', 'roberta')])  # a Hugging Face text encoder
def test_unusable_arch_is_named(arch, said):
    with pytest.raises(ValueError, match=said):
        build_text_tower(arch)
