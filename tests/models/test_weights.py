"""What ``pretrained=`` takes, and what it does to fit. The formats of files
are in tests/convert."""
import pytest
import torch
from conversion_world import randomise
from mmaction.registry import MODELS
from open_clip.model import CLIP
from tiny import (build_classifier, build_model, class_tokens, timm_arch,
                  tiny_arch)

from projects.vifi_clip.models.pretrained import (read_clip_state_dict,
                                                  resolve_pretrained)


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
    expected = torch.nn.functional.interpolate(
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
