"""Every checkpoint format, written here in its real layout and read back."""
import pytest
import torch
from conversion_world import randomise, save_openai
from mmaction.registry import MODELS
from open_clip.model import CLIP, convert_to_custom_text_state_dict
from safetensors.torch import save_file
from tiny import class_tokens, model_cfg, timm_arch, tiny_arch

from projects.vifi_clip.models.pretrained import (read_clip_state_dict,
                                                  resolve_pretrained)


@pytest.fixture(scope='module')
def source() -> CLIP:
    """A CLIP in OpenAI's layout, all weights random."""
    return randomise(CLIP(**tiny_arch()), std=0.1)


def _ours(model, path, **more):
    owners = dict(visual='backbone.', text='cls_head.text_classifier.',
                  logit_scale='cls_head.')
    ours = {owners[key.partition('.')[0]] + key: value
            for key, value in convert_to_custom_text_state_dict(
                model.state_dict()).items()}
    torch.save({'meta': {}, 'state_dict': dict(ours, **more)}, path)


# Others are those of tests/convert.
FORMATS = {
    'openai.pt': save_openai, 'ours.pth': _ours,
    'lightning.ckpt': lambda model, path: torch.save(dict(
        epoch=3, state_dict={
            f'model.{k}': v for k, v in model.state_dict().items()}), path),
    'weights.safetensors': lambda model, path: save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, path)}


@pytest.mark.parametrize('name', FORMATS)
def test_format_round_trip(source, name, tmp_path):
    path = str(tmp_path / name)
    FORMATS[name](source, path)
    cfg = model_cfg()
    for part in cfg['backbone'], cfg['cls_head']['text_classifier']:
        part.update(pretrained=path)
    model = MODELS.build(cfg).eval()
    images = torch.randn(3, 3, 32, 32)
    half = name == 'openai.pt'  # stored in float16
    near = dict(atol=2e-2 if half else 1e-5, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(
            model.backbone(images), source.encode_image(images), **near)
        torch.testing.assert_close(
            model.cls_head.text_classifier(),
            source.encode_text(class_tokens(), normalize=True), **near)
    assert model.backbone.visual.conv1.weight.dtype == torch.float32
    torch.testing.assert_close(
        model.cls_head.logit_scale, source.logit_scale, atol=1e-3, rtol=0)


@pytest.mark.parametrize('arch, pretrained, kind', [
    ('ViT-B-16', 'nowhere/clip.pt', FileNotFoundError),
    ('ViT-B-16', 'openia', ValueError), ('ViT-B-16', 'openai', ValueError),
    ('ViT-B-16-quickgelu', 'datacomp_xl_s13b_b90k', ValueError)])
def test_unusable_pretrained(arch, pretrained, kind, tmp_path):
    with pytest.raises(kind, match=pretrained):
        resolve_pretrained(arch, pretrained)
    path = str(tmp_path / 'resnet.pt')  # not of a CLIP
    torch.save({'layer1.weight': torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=path):
        read_clip_state_dict(path)


@pytest.mark.parametrize('size', [48, (32, 64)])
def test_other_input_size_interpolates_positions(source, tmp_path, size):
    torch.save(source.state_dict(), tmp_path / 'plain.pt')
    backbone = MODELS.build(dict(
        type='CLIPVisionBackbone', arch=tiny_arch(), image_size=size,
        pretrained=str(tmp_path / 'plain.pt')))
    h, w = (size, size) if isinstance(size, int) else size
    assert backbone(torch.randn(1, 3, h, w)).shape == (1, 32)
    old = source.visual.positional_embedding.detach()
    new = backbone.visual.positional_embedding.detach()
    torch.testing.assert_close(new[0], old[0])  # the class token's
    grid = old[1:].T.reshape(1, 64, 4, 4)
    expected = torch.nn.functional.interpolate(
        grid, (h // 8, w // 8), mode='bicubic', antialias=True)
    torch.testing.assert_close(new[1:], expected.flatten(2)[0].T)


def test_other_input_size_of_a_timm_tower():
    backbone = MODELS.build(dict(
        type='CLIPVisionBackbone', arch=timm_arch('test_vit'),
        image_size=96))
    assert backbone(torch.randn(1, 3, 96, 96)).shape == (1, 32)


def test_learnt_prompts_are_left_out(source, tmp_path):
    """Files of ours and of the release may hold them beside the towers."""
    prompts, path = torch.zeros(2, 3, 64), str(tmp_path / 'a.pth')
    _ours(source, path, **{  # [depth, length, width]
        'backbone.prompts.tokens': prompts,
        'cls_head.text_classifier.prompts.tokens': prompts})
    assert not [key for key in read_clip_state_dict(path) if 'prompts' in key]
    backbone = MODELS.build(dict(
        type='CLIPVisionBackbone', arch=tiny_arch(), pretrained=path))
    assert torch.equal(backbone.visual.proj, source.visual.proj)
