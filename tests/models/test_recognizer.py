"""What trains, what is saved, and what loads."""
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from tiny import build_model, model_cfg, samples, tiny_arch

from projects.vifi_clip.models.recognizer import embed_frames

PROMPTS = dict(length=2, depth=2)
TOKENS = 'cls_head.text_classifier.text.token_embedding.weight'


def trained(model) -> set:
    return {n for n, p in model.named_parameters() if p.requires_grad}


def names(model, part) -> set:
    prefix = dict(image='backbone.visual.',
                  text='cls_head.text_classifier.text.')[part]
    return {n for n, _ in model.named_parameters()
            if n.startswith(prefix)} - {TOKENS}


@pytest.mark.parametrize('prompts', [None, PROMPTS])
def test_exact_set_of_trained_parameters(prompts):
    def build(**kwargs):
        return build_model(prompts=prompts, **kwargs)

    image, text = names(build(), 'image'), names(build(), 'text')
    assert len(image) == 32 and len(text) == 28
    scale = {'cls_head.logit_scale'}
    assert trained(build(tune='both')) == image | text | scale
    assert trained(build(tune='image')) == image
    assert trained(build(tune='text')) == text
    assert trained(build(tune='none')) == set()
    assert trained(build(tune='image', logit_scale=True)) == image | scale
    assert trained(build(tune='both', logit_scale=False)) == image | text
    assert trained(build(tune='both', train_token_embedding=True)
                   ) == image | text | scale | {TOKENS}
    assert trained(build(tune='image', train_token_embedding=True)) == image
    if prompts:
        both = {'backbone.prompts.tokens',
                'cls_head.text_classifier.prompts.tokens'}
        assert trained(build(tune='prompts')) == both
        assert trained(build(tune='prompts', logit_scale=True)) == both | scale
    else:
        with pytest.raises(ValueError, match='no prompts'):
            build(tune='prompts')


def test_projection_trains_with_either_tower():
    cfg = model_cfg(tune='text')
    cfg['backbone']['arch'] = dict(tiny_arch(), embed_dim=48)
    cfg['cls_head']['in_channels'] = 48
    model = MODELS.build(cfg)
    assert trained(model) == names(model, 'text') | {
        'cls_head.projection.weight'}


def test_frozen_parts_stay_in_eval_mode():
    model = build_model(tune='image').train()
    assert model.backbone.visual.training
    model = build_model(tune='text').train()
    assert not model.backbone.visual.training
    assert model.cls_head.text_classifier.text.training
    model = build_model(prompts=PROMPTS, tune='prompts').train()
    assert not any(m.training for m in model.backbone.modules())


@pytest.mark.parametrize('tune', ['both', 'image', 'text', 'prompts'])
def test_training_changes_what_trains_and_nothing_else(tune):
    model = build_model(prompts=PROMPTS, tune=tune).train()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    losses = model.loss(torch.randn(3, 2, 3, 32, 32), samples([[0], [1], [3]]))
    losses['loss_cls'].backward()
    torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1).step()
    changed = {n for n, p in model.named_parameters()
               if not torch.equal(p, before[n])}
    assert changed == trained(model)


def test_views_order_and_prediction_shape():
    model = build_model().eval()
    inputs = torch.randn(2, 6, 3, 32, 32)  # 3 views of 2 frames
    out = model(inputs, samples([[0], [1]]), mode='predict')
    with torch.no_grad():
        for video, sample in zip(inputs, out):
            views = [model.cls_head(model.backbone(video[i:i + 2]))
                     for i in (0, 2, 4)]
            expected = torch.cat(views).softmax(-1).mean(0)
            torch.testing.assert_close(sample.pred_score, expected)
            assert sample.pred_label == expected.argmax()


def test_save_trainable_only():
    kwargs = dict(prompts=PROMPTS, tune='prompts')
    full, small = build_model(**kwargs), build_model(
        save_trainable_only=True, **kwargs)
    assert set(small.state_dict()) == trained(small)
    other = build_model(save_trainable_only=True, **kwargs)
    other.load_state_dict(small.state_dict())  # strict
    for name in trained(small):
        assert torch.equal(other.get_parameter(name),
                           small.get_parameter(name))
    # Through MMEngine's loader, and from a full checkpoint too.
    _load_checkpoint_to_model(other, dict(state_dict=full.state_dict()))
    assert all(torch.equal(other.get_parameter(n), p)
               for n, p in full.named_parameters())
    with pytest.raises(ValueError, match='missing'):
        _load_checkpoint_to_model(full, dict(state_dict=small.state_dict()))


def test_checkpoint_of_another_model_is_refused():
    cfg = model_cfg()
    cfg['backbone']['arch'] = tiny_arch(vision_cfg=dict(layers=3))
    deeper = MODELS.build(cfg).state_dict()
    plain, prompted = build_model(), build_model(prompts=PROMPTS)
    for model, state, name in (
            (plain, deeper, r'resblocks\.2'),
            (plain, prompted.state_dict(), 'prompts'),
            (prompted, plain.state_dict(), 'prompts')):
        with pytest.raises(ValueError, match=name):
            _load_checkpoint_to_model(model, state)
    incompatible = build_model().load_state_dict(deeper, strict=False)
    assert incompatible.unexpected_keys  # asked for leniency, given


@pytest.mark.parametrize('tune', ['both', 'prompts'])
def test_gradient_checkpointing_changes_nothing(tune):
    grads = []
    for flag in (False, True):
        torch.manual_seed(0)
        cfg = model_cfg(prompts=PROMPTS, tune=tune)
        cfg['backbone']['grad_checkpointing'] = flag
        cfg['cls_head']['text_classifier']['grad_checkpointing'] = flag
        model = MODELS.build(cfg).train()
        torch.manual_seed(1)
        model.loss(torch.randn(3, 2, 3, 32, 32),
                   samples([[0], [1], [3]]))['loss_cls'].backward()
        grads.append([p.grad for p in model.parameters()
                      if p.grad is not None])
    assert len(grads[0]) == len(grads[1]) > 0
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('views', [1, 3])
def test_embed_frames_gives_every_frame_of_every_view(views):
    model = MODELS.build(model_cfg()).eval()
    frames = model.cls_head.num_frames
    inputs = torch.randn(2, views * frames, 3, 32, 32)
    with torch.no_grad():
        embeddings = embed_frames(model, inputs)
        expected = torch.stack([
            model.backbone(video).unflatten(0, (views, frames))
            for video in inputs
        ])
        other = embed_frames(model, inputs[:1, :1], num_frames=1)
    torch.testing.assert_close(embeddings, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(other[0, 0], expected[0].flatten(0, 1)[:1],
                               atol=1e-5, rtol=1e-4)
