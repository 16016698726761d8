"""Towers against models of others with the same weights: CLIPModel of
`transformers`, OpenCLIP (and its own block), and, with deep prompts, the
release; what ``pretrained=`` takes (formats of files are in tests/convert)."""
import copy
import json

import open_clip
import pytest
import release_file
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import LayerNorm, QuickGELU, ResidualAttentionBlock
from release_file import ARCH, randomise, transformers_clip
from tiny import (build_classifier, build_model, class_tokens, classifier_cfg,
                  model_cfg, timm_arch, tiny_arch)
from torch import nn
from torch.profiler import profile

from projects.vifi_clip.architectures import build_tokenizer, get_arch_cfg
from projects.vifi_clip.checkpoints.layouts import (TOKENS, read_layout,
                                                    write_vifi)
from projects.vifi_clip.models.blocks import FusedBlock, fuse_blocks
from projects.vifi_clip.models.towers import (build_text_tower, compare,
                                              read_clip_state_dict,
                                              resolve_pretrained)


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


@pytest.mark.parametrize('grad_checkpointing', [False, True])
@pytest.mark.parametrize('length, depth, most', [
    (4, 1, None), (5, 2, 16384), (7, 3, 30)])
def test_both_towers_equal_the_release(length, depth, most,
                                       grad_checkpointing):
    """In all gradients, too, and where texts are encoded in pieces."""
    tokens = 0.3 * torch.randn(49408, 64)
    reference = release_file.ReleaseModel(tokens, length, depth, depth)
    weights = read_layout(reference.state_dict(), 'release', '').weights
    weights[TOKENS] = tokens
    cfg = model_cfg(prompts=dict(length=length, depth=depth))
    classifier = cfg['cls_head']['text_classifier']
    classifier.update(class_names=release_file.NAMES, max_graph_tokens=most)
    for part in cfg['backbone'], classifier:
        part.update(arch=release_file.ARCH,
                    grad_checkpointing=grad_checkpointing)
    model = MODELS.build(cfg).train().requires_grad_(True)
    model.load_state_dict(write_vifi(weights).weights)
    video = torch.randn(2, 2, 3, 32, 32)
    logits = model.cls_head(model.backbone(video.flatten(0, 1)))
    expected = reference(video)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)

    def gradients(module, scores, layout):
        scores.log_softmax(-1)[:, 0].sum().backward()
        return read_layout({n: p.grad for n, p in module.named_parameters()
                            if p.grad is not None}, layout, '').weights

    ours = gradients(model, logits, 'vifi')
    theirs = gradients(reference, expected, 'release')
    assert ours.keys() == {*theirs, TOKENS}
    for name, grad in theirs.items():
        torch.testing.assert_close(
            ours[name], grad, atol=1e-4 * float(grad.abs().max()) + 1e-6,
            rtol=1e-3, msg=name)
    for name in 'prompts.visual', 'prompts.text':  # every layer's own
        assert theirs[name].abs().flatten(1).sum(1).min() > 0


def test_init_from_words_and_at_random():
    classifier, short = (build_classifier(prompts=dict(
        length=length, depth=2, init='a photo of a')) for length in (4, 8))
    ids = SimpleTokenizer()('a photo of a archery.')[0, :8]
    # The class text reads as the hand-written prompt.
    assert torch.equal(classifier.tokens[0, :8], ids)
    assert torch.equal(classifier.prompts.tokens[0],
                       classifier.text.token_embedding.weight[ids[1:5]])
    tokens = short.prompts.tokens.detach()
    assert 0.01 < tokens[0].std() < 0.03 and tokens.mean().abs() < 0.01


@pytest.mark.parametrize('prompts, match', [
    (dict(length=0, depth=1), 'length'), (dict(length=2, depth=3), 'depth'),
    (dict(length=2), 'depth'), (dict(length=2, deep=1, depth=1), 'deep')])
def test_bad_prompt_settings(prompts, match):
    for owner in dict(type='VLDeepPromptBackbone'), classifier_cfg():
        with pytest.raises(ValueError, match=match):
            MODELS.build(dict(owner, arch=tiny_arch(), prompts=prompts))


@pytest.mark.parametrize('arch, pretrained, kind', [
    ('ViT-B-16', 'nowhere/clip.pt', FileNotFoundError),
    ('ViT-B-16', 'openia', ValueError), ('ViT-B-16', 'openai', ValueError),
    ('ViT-B-16-quickgelu', 'datacomp_xl_s13b_b90k', ValueError)])
def test_unusable_pretrained(arch, pretrained, kind, tmp_path):
    with pytest.raises(kind, match=pretrained):
        resolve_pretrained(arch, pretrained)
    with pytest.raises(ValueError, match="'vifi-clip://small_world'"):
        resolve_pretrained('small_world', 'small_world')
    path = str(tmp_path / 'resnet.pt')  # not of a CLIP
    torch.save({'layer1.weight': torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=path):
        read_clip_state_dict(path)


def test_a_folder_of_transformers(tmp_path):
    """Its config.json says what leaves no trace in the weights."""
    transformers_clip().save_pretrained(tmp_path)
    cfg = dict(type='CLIPVisionBackbone', arch=ARCH, pretrained=str(tmp_path))
    backbone = MODELS.build(cfg)
    assert torch.equal(
        backbone.visual.class_embedding,
        transformers_clip().vision_model.embeddings.class_embedding)
    gelu = dict(ARCH, quick_gelu=False)
    heads = dict(ARCH, vision_cfg=dict(ARCH['vision_cfg'], head_width=32))
    file = str(tmp_path / 'model.safetensors')
    for arch, words in (gelu, 'visual_activation.*GELU'), (heads, 'heads 2'):
        for path in str(tmp_path), file:
            with pytest.raises(ValueError, match=f'{path}.*{words}'):
                MODELS.build(dict(cfg, arch=arch, pretrained=path))
    (tmp_path / 'config.json').unlink()
    MODELS.build(dict(cfg, arch=gelu, pretrained=file))  # nobody says so


@pytest.mark.parametrize('key', ['mit.positional_embedding',
                                 'module.prompts_generator.alpha'])
def test_x_clip_is_named(tmp_path, key):
    path = str(tmp_path / 'k400.pth')
    torch.save(dict(model={'visual.proj': torch.ones(2), key: torch.ones(2)}),
               path)
    with pytest.raises(ValueError, match=f'{path} holds an X-CLIP'):
        read_clip_state_dict(path)


def test_integers_in_the_place_of_weights():
    expected = dict(cls_token=torch.ones(2), index=torch.ones(2).long())
    given = dict(cls_token=torch.ones(2).long(), index=torch.ones(2).int())
    assert compare(expected, expected) == ''
    assert compare(expected, given) == (
        '  1 of no floating type: cls_token: torch.int64')


@pytest.mark.parametrize('size', [48, (32, 64)])
def test_other_input_size_interpolates_positions(tmp_path, size):
    """Of a file that Lightning wrote."""
    source, path = randomise(CLIP(**tiny_arch()), .1), str(tmp_path / 'a.ckpt')
    torch.save(dict(epoch=3, state_dict={
        f'model.{k}': v for k, v in source.state_dict().items()}), path)
    backbone = MODELS.build(dict(
        type='CLIPVisionBackbone', arch=tiny_arch(), image_size=size,
        pretrained=path))
    h, w = (size, size) if isinstance(size, int) else size
    assert backbone(torch.randn(1, 3, h, w)).shape == (1, 32)
    old = source.visual.positional_embedding.detach()
    new = backbone.visual.positional_embedding.detach()
    torch.testing.assert_close(new[0], old[0])  # the class token's
    grid = old[1:].T.reshape(1, 64, 4, 4)
    expected = F.interpolate(
        grid, (h // 8, w // 8), mode='bicubic', antialias=True)
    torch.testing.assert_close(new[1:], expected.flatten(2)[0].T)
    classifier = build_classifier(pretrained=path)
    torch.testing.assert_close(
        classifier(), source.encode_text(class_tokens(), normalize=True),
        atol=1e-5, rtol=0)
    assert classifier.init_logit_scale == float(source.logit_scale)


def test_other_input_size_of_a_timm_tower():
    backbone = MODELS.build(dict(
        type='CLIPVisionBackbone', arch=timm_arch('test_vit'),
        image_size=96))
    assert backbone(torch.randn(1, 3, 96, 96)).shape == (1, 32)


def test_learnt_prompts_are_left_out(tmp_path):
    """Files of ours and of the release may hold them beside the towers."""
    model, path = build_model(prompts=dict(length=3, depth=2)), str(
        tmp_path / 'a.pth')
    torch.save(dict(meta={}, state_dict=model.state_dict()), path)
    assert not [key for key in read_clip_state_dict(path) if 'prompts' in key]
    backbone = MODELS.build(dict(
        type='CLIPVisionBackbone', arch=tiny_arch(), pretrained=path))
    assert torch.equal(backbone.visual.proj, model.backbone.visual.proj)


def _pair(act=QuickGELU, ls=None):
    torch.manual_seed(0)
    plain = ResidualAttentionBlock(
        32, 4, ls_init_value=ls, act_layer=act, norm_layer=LayerNorm)
    for param in plain.parameters():
        nn.init.normal_(param, std=0.3)
    return plain, fuse_blocks(copy.deepcopy(plain))


def _mask(length):
    return torch.full((length, length), float('-inf')).triu(1)


@pytest.mark.parametrize('act', [QuickGELU, nn.GELU])
@pytest.mark.parametrize('ls', [None, 0.5])
@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('only', [False, True])
def test_output_and_gradients_equal_openclips(act, ls, causal, only):
    plain, fused = _pair(act, ls)
    assert type(fused) is FusedBlock
    x = torch.randn(3, 7, 32)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    ends = torch.tensor([6, 0, 3]) if only else None
    expected = plain(inputs[0], attn_mask=_mask(7) if causal else None)
    if only:
        expected = expected[torch.arange(3), ends]
    got = fused(inputs[1], is_causal=causal, only=ends)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():  # sums in place, but not in the input
        again = fused(x, is_causal=causal, only=ends)
    torch.testing.assert_close(again, got)
    assert torch.equal(x, inputs[0])
    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()
    (got * weight).sum().backward()
    torch.testing.assert_close(
        inputs[1].grad, inputs[0].grad, atol=1e-4, rtol=1e-5)
    for (name, a), b in zip(plain.named_parameters(), fused.parameters()):
        torch.testing.assert_close(
            b.grad, a.grad, atol=1e-4, rtol=1e-5, msg=name)


class Doubled(nn.Linear):

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize('change', [
    lambda fused: setattr(fused.mlp.c_proj, 'forward', lambda x: x[..., :32]),
    lambda fused: fused.mlp.add_module('more', nn.Hardtanh()),
    lambda fused: setattr(fused.mlp.c_fc, '__class__', Doubled)])
def test_changed_parts_are_respected(change):
    _, fused = _pair()
    x = torch.randn(2, 5, 32)
    before = fused(x)
    change(fused)
    plain = copy.deepcopy(fused)
    plain.__class__ = ResidualAttentionBlock
    assert not torch.allclose(fused(x), before)
    torch.testing.assert_close(fused(x), plain(x))


def test_hooks_are_respected():
    _, fused = _pair()
    x, seen = torch.randn(2, 5, 32), []
    before = fused(x)
    fused.attn.register_forward_hook(lambda m, i, o: seen.append(o[0].shape))
    fused.mlp.c_fc.register_full_backward_hook(
        lambda *args: seen.append('backward'))
    output = fused(x)
    torch.testing.assert_close(output, before, atol=1e-5, rtol=1e-5)
    output.sum().backward()
    assert seen == [(2, 5, 32), 'backward']
    torch.testing.assert_close(  # cut and causal hold on that path, too
        fused(x, is_causal=True, only=torch.tensor([1, 4])),
        fused(x, attn_mask=_mask(5))[[0, 1], [1, 4]])


def test_frozen_weights_are_never_copied_for_each_sequence():
    """Under autocast, nn.MultiheadAttention's transposed tokens turn each
    product with a frozen weight into a batched one with a copy of the weight
    for each token position: 40 times slower on CPU."""
    batched = []
    for block in _pair():
        block.requires_grad_(False)
        x = torch.randn(2, 5, 32, requires_grad=True)  # as behind prompts
        with profile() as seen, torch.autocast('cpu', torch.bfloat16):
            block(x)
            with torch.inference_mode():
                block(x.detach())
        batched.append('aten::bmm' in {event.name for event in seen.events()})
    assert batched == [True, False]  # the plain one's, so that it would show


def test_a_tokenizers_folder_runs_no_code(tmp_path):
    """Nor where a .json of an architecture trusts it."""
    (tmp_path / 'evil.py').write_text(f"""
open({str(tmp_path / 'ran')!r}, 'w')
from transformers import PreTrainedTokenizer
class Evil(PreTrainedTokenizer):
    pass
""")
    (tmp_path / 'tokenizer_config.json').write_text(json.dumps(dict(
        auto_map={'AutoTokenizer': ['evil.Evil', None]},
        tokenizer_class='Evil')))
    arch = tiny_arch(text_cfg=dict(hf_tokenizer_name=str(tmp_path),
                                   tokenizer_kwargs=dict(
                                       trust_remote_code=True)))
    (tmp_path / 'arch.json').write_text(json.dumps(arch))
    for given in arch, str(tmp_path / 'arch.json'):
        with pytest.raises(ValueError, match='Cannot load the tokenizer'):
            build_tokenizer(given)
    assert not (tmp_path / 'ran').exists()
