"""Towers against the `transformers` CLIPModel with the same weights."""
import open_clip
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from tiny import NAMES, build_classifier, timm_arch, tiny_arch
from transformers import CLIPConfig, CLIPModel

from projects.vifi_clip.architectures import get_arch_cfg
from projects.vifi_clip.models.towers import build_text_tower


def hf_clip() -> CLIPModel:
    """A random CLIPModel of the same size as ``tiny_arch()``."""
    text = dict(hidden_size=32, intermediate_size=128, num_attention_heads=2,
                num_hidden_layers=2, max_position_embeddings=24,
                vocab_size=49408, hidden_act='quick_gelu', eos_token_id=49407,
                bos_token_id=49406)
    vision = dict(hidden_size=64, intermediate_size=256, image_size=32,
                  num_attention_heads=2, num_hidden_layers=2, patch_size=8,
                  hidden_act='quick_gelu')
    config = CLIPConfig(text_config=text, vision_config=vision,
                        projection_dim=32, attn_implementation='eager')
    model = CLIPModel(config).eval()
    for param in model.parameters():  # biases and norms too
        torch.nn.init.normal_(param, std=0.1)
    return model


def _layers(state: dict, old: str, new: str) -> dict:
    out, layer = {}, 0
    while f'{old}.{layer}.layer_norm1.weight' in state:
        a, b = f'{old}.{layer}', f'{new}.{layer}'
        for kind in ('weight', 'bias'):
            out[f'{b}.attn.in_proj_{kind}'] = torch.cat([
                state[f'{a}.self_attn.{x}_proj.{kind}'] for x in 'qkv'])
            for theirs, ours in (('self_attn.out_proj', 'attn.out_proj'),
                                 ('layer_norm1', 'ln_1'),
                                 ('layer_norm2', 'ln_2'),
                                 ('mlp.fc1', 'mlp.c_fc'),
                                 ('mlp.fc2', 'mlp.c_proj')):
                out[f'{b}.{ours}.{kind}'] = state[f'{a}.{theirs}.{kind}']
        layer += 1
    return out


def to_openai(model: CLIPModel) -> dict:
    """The weights in OpenAI's layout (as its release files have them)."""
    state = model.state_dict()
    v, t = 'vision_model.', 'text_model.'
    out = {
        'visual.class_embedding': state[v + 'embeddings.class_embedding'],
        'visual.conv1.weight': state[v + 'embeddings.patch_embedding.weight'],
        'visual.positional_embedding':
        state[v + 'embeddings.position_embedding.weight'],
        'visual.proj': state['visual_projection.weight'].T,
        'token_embedding.weight':
        state[t + 'embeddings.token_embedding.weight'],
        'positional_embedding':
        state[t + 'embeddings.position_embedding.weight'],
        'text_projection': state['text_projection.weight'].T,
        'logit_scale': state['logit_scale'],
    }
    for kind in ('weight', 'bias'):
        out[f'visual.ln_pre.{kind}'] = state[f'{v}pre_layrnorm.{kind}']
        out[f'visual.ln_post.{kind}'] = state[f'{v}post_layernorm.{kind}']
        out[f'ln_final.{kind}'] = state[f'{t}final_layer_norm.{kind}']
    out.update(_layers(state, v + 'encoder.layers',
                       'visual.transformer.resblocks'))
    out.update(_layers(state, t + 'encoder.layers', 'transformer.resblocks'))
    return {k: x.clone().contiguous() for k, x in out.items()}


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    """The reference model, and a file of its weights."""
    torch.manual_seed(0)
    model = hf_clip()
    path = tmp_path_factory.mktemp('weights') / 'openai_layout.pt'
    torch.save(to_openai(model), path)
    return model, str(path)


def _build(path, prompts=None):
    from tiny import model_cfg
    cfg = model_cfg(prompts=prompts)
    cfg['backbone'].update(pretrained=path)
    cfg['cls_head']['text_classifier'].update(pretrained=path)
    return MODELS.build(cfg)


def _reference_inputs():
    tokens = open_clip.tokenizer.SimpleTokenizer(context_length=24)(
        [f'a photo of a {n.replace("_", " ")}.' for n in NAMES])
    return torch.randn(6, 3, 32, 32), tokens


def _embeds(output):
    """transformers >= 5 wraps features in an output object."""
    return getattr(output, 'pooler_output', output)


def test_embeddings_and_logits_equal_transformers(pair):
    reference, path = pair
    model = _build(path).eval()
    images, tokens = _reference_inputs()
    with torch.no_grad():
        image = _embeds(reference.get_image_features(images))
        text = _embeds(reference.get_text_features(tokens))
        torch.testing.assert_close(
            model.backbone(images), image, atol=1e-5, rtol=1e-5)
        classes = F.normalize(text, dim=-1)
        torch.testing.assert_close(
            model.cls_head.text_classifier(), classes, atol=1e-5, rtol=0)
        video = F.normalize(image.view(3, 2, -1).mean(1), dim=-1)
        logits = reference.logit_scale.exp() * video @ classes.T
        torch.testing.assert_close(
            model.cls_head(model.backbone(images)), logits, atol=1e-5, rtol=0)


def test_gradients_equal_transformers(pair):
    reference, path = pair
    model = _build(path).train()
    images, tokens = _reference_inputs()
    labels = torch.tensor([0, 3, 2])

    F.cross_entropy(model.cls_head(model.backbone(images)), labels).backward()
    reference.zero_grad()
    image = _embeds(reference.get_image_features(images))
    image = image.view(3, 2, -1).mean(1)
    text = _embeds(reference.get_text_features(tokens))
    logits = reference.logit_scale.exp() * F.normalize(
        image, dim=-1) @ F.normalize(text, dim=-1).T
    F.cross_entropy(logits, labels).backward()

    for param in reference.parameters():
        param.data = param.grad if param.grad is not None else param * 0
    expected = to_openai(reference)
    grads = {
        n.replace('backbone.', '').replace('cls_head.', '').replace(
            'text_classifier.text.', ''): p.grad
        for n, p in model.named_parameters()
    }
    assert grads.pop('token_embedding.weight') is None  # never trained
    expected.pop('token_embedding.weight')
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
    ('ViT-B-17', 'Unknown arch .*ViT-B-16'),
    (dict(embed_dim=32), "lacks .*vision_cfg"),
    (7, 'must be an OpenCLIP model name'),
    (tiny_arch(vision_cfg=dict(patchsize=8)), 'patchsize')])
def test_unknown_arch_is_named(arch, match):
    with pytest.raises(ValueError, match=match):
        MODELS.build(dict(type='CLIPVisionBackbone', arch=arch))


def test_hugging_face_text_encoder_is_refused():
    with pytest.raises(ValueError, match='roberta'):
        build_text_tower('roberta-ViT-B-32')
