"""Towers against the `transformers` CLIPModel with the same weights."""
import open_clip
import pytest
import torch
import torch.nn.functional as F
from conversion_world import transformers_clip
from mmaction.registry import MODELS
from release_file import ARCH
from tiny import NAMES, build_classifier, model_cfg, timm_arch, tiny_arch

from projects.vifi_clip.architectures import get_arch_cfg
from projects.vifi_clip.checkpoints.layouts import read_layout
from projects.vifi_clip.models.towers import build_text_tower


def in_our_layout(state: dict) -> dict:
    return read_layout(state, 'transformers', '').weights


def _embeds(output):
    """transformers >= 5 wraps features in an output object."""
    return getattr(output, 'pooler_output', output)


@pytest.mark.parametrize('grad_checkpointing', [False, True])
def test_embeddings_logits_and_gradients_equal_transformers(
        tmp_path, grad_checkpointing):
    reference, path = transformers_clip(), str(tmp_path / 'clip.pt')
    torch.save(in_our_layout(reference.state_dict()), path)
    cfg = model_cfg()
    for part in cfg['backbone'], cfg['cls_head']['text_classifier']:
        part.update(arch=ARCH, pretrained=path,
                    grad_checkpointing=grad_checkpointing)
    model = MODELS.build(cfg).train()
    images, labels = torch.randn(6, 3, 32, 32), torch.tensor([0, 3, 2])
    tokens = open_clip.tokenizer.SimpleTokenizer(context_length=24)(
        [f'a photo of a {n.replace("_", " ")}.' for n in NAMES])

    image = _embeds(reference.get_image_features(images))
    text = F.normalize(_embeds(reference.get_text_features(tokens)), dim=-1)
    video = F.normalize(image.view(3, 2, -1).mean(1), dim=-1)
    logits = reference.logit_scale.exp() * video @ text.T
    found = model.backbone(images)
    for ours, theirs in ((found, image), (model.cls_head(found), logits),
                         (model.cls_head.text_classifier(), text)):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)

    F.cross_entropy(model.cls_head(found), labels).backward()
    F.cross_entropy(logits, labels).backward()
    expected = in_our_layout({n: p * 0 if p.grad is None else p.grad
                              for n, p in reference.named_parameters()})
    grads = {n.replace('backbone.', '').replace('cls_head.', '').replace(
        'text_classifier.', ''): p.grad for n, p in model.named_parameters()}
    assert grads.pop('text.token_embedding.weight') is None  # never trained
    expected.pop('text.token_embedding.weight')
    assert grads.keys() == expected.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(
            grad, expected[name], atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize('name', [
    'ViT-B-32', 'ViT-B-16', 'ViT-B-16-quickgelu', 'ViT-L-14', 'EVA02-B-16',
    'ViT-B-16-SigLIP', 'PE-Core-B-16', 'RN50'])
def test_openclip_names_construct(name):
    with torch.device('meta'):
        backbone = MODELS.build(dict(type='CLIPVisionBackbone', arch=name))
        text = build_text_tower(name)
    assert backbone.embed_dim == get_arch_cfg(name)['embed_dim']
    assert text.output_dim == backbone.embed_dim


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
                          arch=FAMILIES[family][0],
                          prompts=dict(length=2, depth=1)))


@pytest.mark.parametrize('text_cfg', [
    dict(), dict(pool_type='eos', eos_id=49407),
    dict(no_causal_mask=True, pool_type='last'), dict(embed_cls=True),
    dict(proj_bias=True), dict(proj_type='none')])
def test_truncated_text_equals_openclip_at_full_length(text_cfg):
    arch = tiny_arch(text_cfg=text_cfg)
    if text_cfg.get('embed_cls'):
        arch['text_cfg']['context_length'] = 23  # one place for the token
    classifier = build_classifier(arch=arch)
    reference = open_clip.CustomTextCLIP(**arch).eval()
    reference.text.load_state_dict(classifier.text.state_dict())
    tokens = open_clip.tokenizer.SimpleTokenizer(
        context_length=arch['text_cfg']['context_length'])(
            [f'a photo of a {n.replace("_", " ")}.' for n in NAMES])
    with torch.no_grad():
        torch.testing.assert_close(
            classifier(), reference.encode_text(tokens, normalize=True),
            atol=1e-5, rtol=0)
    exact = 'no_causal_mask' not in text_cfg and 'embed_cls' not in text_cfg
    assert (classifier.tokens.shape[1] < tokens.shape[1]) == exact


def test_frozen_tower_stays_in_eval_mode():
    arch = FAMILIES['resnet'][0]  # batch norm would otherwise drift
    backbone = MODELS.build(
        dict(type='CLIPVisionBackbone', arch=arch, frozen=True)).train()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    backbone(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(v, before[k])
               for k, v in backbone.state_dict().items())
    assert not any(p.requires_grad for p in backbone.parameters())


@pytest.mark.parametrize('arch, match', [
    ('ViT-B-17', 'ViT-B-16'), (dict(embed_dim=32), 'vision_cfg'),
    (tiny_arch(vision_cfg=dict(patchsize=8)), 'patchsize')])
def test_unknown_arch_is_named(arch, match):
    with pytest.raises(ValueError, match=match):
        MODELS.build(dict(type='CLIPVisionBackbone', arch=arch))


def test_hugging_face_text_encoder_is_refused():
    with pytest.raises(ValueError, match='roberta'):
        build_text_tower('roberta-ViT-B-32')
