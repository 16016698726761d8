"""What trains, what is saved, and what loads."""
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from tiny import build_model, model_cfg, tiny_arch

from projects.vifi_clip.models.recognizer import embed_frames

PROMPTS = dict(length=2, depth=2)
IMAGE, TEXT = 'backbone.visual.', 'cls_head.text_classifier.text.'
TOKENS = f'{TEXT}token_embedding.weight'


def trained(model) -> set:
    return {n for n, p in model.named_parameters() if p.requires_grad}


def names(model, prefix) -> set:
    return {n for n, _ in model.named_parameters()
            if n.startswith(prefix) and n != TOKENS}


@pytest.mark.parametrize('prompts', [None, PROMPTS])
def test_exact_set_of_trained_parameters(prompts):
    def train(tune, **kwargs):
        model = build_model(prompts=prompts, tune=tune, **kwargs).train()
        if not kwargs:
            text = model.cls_head.text_classifier.text
            image = model.backbone.visual
            assert image.training == (tune in ('both', 'image'))
            assert text.training == (tune in ('both', 'text'))
        return trained(model)

    image, text = (names(build_model(), prefix) for prefix in (IMAGE, TEXT))
    assert len(image) == 32 and len(text) == 28
    scale = {'cls_head.logit_scale'}
    assert train('both') == image | text | scale
    assert train('image') == image
    assert train('text') == text
    assert train('none') == set()
    assert train('image', logit_scale=True) == image | scale
    assert train('both', logit_scale=False) == image | text
    assert train('both', train_token_embedding=True) == (
        image | text | scale | {TOKENS})
    assert train('image', train_token_embedding=True) == image
    if prompts:
        both = {'backbone.prompts.tokens',
                'cls_head.text_classifier.prompts.tokens'}
        assert train('prompts') == both
        assert train('prompts', logit_scale=True) == both | scale


def test_projection_trains_with_either_tower():
    cfg = model_cfg(tune='text')
    cfg['backbone']['arch'] = dict(tiny_arch(), embed_dim=48)
    cfg['cls_head']['in_channels'] = 48
    model = MODELS.build(cfg)
    assert trained(model) == names(model, TEXT) | {
        'cls_head.projection.weight'}


def test_save_trainable_only():
    kwargs = dict(prompts=PROMPTS, tune='prompts')
    full = build_model(**kwargs)
    small, other = (build_model(save_trainable_only=True, **kwargs)
                    for _ in range(2))
    assert set(small.state_dict()) == trained(small)
    other.load_state_dict(small.state_dict())  # strict
    torch.testing.assert_close(other.state_dict(), small.state_dict())
    # Through MMEngine's loader, and from a full checkpoint too.
    _load_checkpoint_to_model(other, dict(state_dict=full.state_dict()))
    torch.testing.assert_close(
        dict(other.named_parameters()), dict(full.named_parameters()))
    with pytest.raises(ValueError, match='missing'):
        _load_checkpoint_to_model(full, dict(state_dict=small.state_dict()))


def test_checkpoint_of_another_model_is_refused():
    cfg = model_cfg()
    cfg['backbone']['arch'] = tiny_arch(vision_cfg=dict(layers=3))
    deeper, model = MODELS.build(cfg).state_dict(), build_model()
    with pytest.raises(ValueError, match=r'resblocks\.2'):
        _load_checkpoint_to_model(model, deeper)
    # asked for leniency, given
    assert model.load_state_dict(deeper, strict=False).unexpected_keys


def test_embed_frames_gives_every_frame_of_every_view():
    model = build_model().eval()
    inputs = torch.randn(2, 6, 3, 32, 32)  # 3 views of 2 frames
    with torch.no_grad():
        expected = model.backbone(inputs.flatten(0, 1)).view(2, 3, 2, -1)
        for frames, rows, num in ((inputs, expected, None),
                                  (inputs[:1, :1], expected[:1, :1, :1], 1)):
            torch.testing.assert_close(
                embed_frames(model, frames, num), rows, atol=1e-5, rtol=1e-4)
