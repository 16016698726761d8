"""X-CLIP: against transformers' port, and what it must not share."""
import math
from pathlib import Path

import pytest
import torch
from matrix_world import clear_knobs
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from tiny import NAMES, class_tokens, count_text_runs, timm_arch
from tiny_xclip import ARCH, build_xclip, transformers_xclip, xclip_cfg

from projects.vifi_clip.checkpoints.layouts import (read_layout,
                                                    write_transformers,
                                                    write_vifi)
from projects.vifi_clip.engine import WarmupCosineLR

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize('num_frames', [8, 16])
def test_equals_transformers(num_frames):
    """Logits of two videos, and the gradient of every parameter."""
    ours = build_xclip(num_frames, tune='both', train_token_embedding=True)
    theirs = transformers_xclip(num_frames)
    neutral = read_layout(ours.state_dict(), 'vifi', 'ours')
    assert not neutral.dropped
    written = write_transformers(neutral.weights, xclip=True)
    assert not written.dropped
    theirs.load_state_dict(written.weights)
    x = torch.randn(2, num_frames, 3, 32, 32)
    logits = ours.cls_head(ours.extract_feat(x)[0])
    expected = theirs(input_ids=class_tokens(template='{}'),
                      pixel_values=x).logits_per_video
    assert expected.std() > 0.1
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    for y in logits, expected:
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    grads = read_layout(
        {n: p.grad for n, p in theirs.named_parameters()}, 'transformers', '')
    grads = write_vifi(grads.weights).weights
    named = dict(ours.named_parameters())
    assert grads.keys() == named.keys() and len(named) > 90
    for name, grad in grads.items():
        assert grad.any(), name
        scale = grad.abs().max()
        torch.testing.assert_close(
            named[name].grad, grad, rtol=1e-4, atol=1e-4 * float(scale),
            msg=lambda m: f'{name}: {m}')


def test_classes_are_encoded_once_and_differ_from_video_to_video():
    model = build_xclip(8)
    runs = count_text_runs(model)
    x = torch.randn(3, 8, 3, 32, 32)
    with torch.no_grad():
        first, again = (model.cls_head(model.extract_feat(x)[0])
                        for _ in range(2))
        assert runs.forward == 1 and torch.equal(first, again)
        head = model.cls_head
        fused = head.fuse(head.frame_embeddings(model.backbone(
            x.flatten(0, 1))))
        swapped = torch.cat([fused[:, :1], fused[[1, 2, 0], 1:]], 1)
        assert not torch.allclose(head.class_logits(swapped), first, atol=1e-3)
        head.text_classifier.text.ln_final.bias.add_(1)
        assert not torch.allclose(head.class_logits(fused), first, atol=1e-3)
    assert runs.forward == 2


def test_drop_path():
    """Grows with the layers; in training alone, for whole frames."""
    model = build_xclip(4, backbone=dict(drop_path=0.5))
    blocks = model.backbone.visual.transformer.resblocks
    assert [block.ls_2.drop_prob for block in blocks] == [0, 0.5]
    assert [m.drop_path.drop_prob for m in model.backbone.messages] == [0, 0.5]
    plain = build_xclip(4)
    plain.load_state_dict(model.state_dict())
    x = torch.randn(4, 3, 32, 32)
    assert torch.equal(plain.backbone(x), model.backbone(x))
    model.train()
    assert not torch.equal(model.backbone(x), model.backbone(x))


@pytest.mark.parametrize('said, changes', [
    ('deep prompts', dict(backbone=dict(prompts=dict(length=2, depth=2)))),
    ('takes no messages', dict(backbone=dict(arch=timm_arch(
        'vit_tiny_patch16_224', timm_model_pretrained=False)))),
    ('num_frames', dict(backbone=dict(num_frames=3))),
    ('FUSION', dict(head=dict(fusion='image'))),
    ('a loss over all classes', dict(head=dict(
        loss_cls=dict(type='CLIPContrastiveLoss')))),
    ("tune='prompts'", dict(tune='prompts'))])
def test_what_is_refused(said, changes):
    with pytest.raises(ValueError, match=said) as caught:
        MODELS.build(xclip_cfg(8, **changes))
    assert '\n' not in str(caught.value)


def test_retrieval_is_refused():
    cfg = xclip_cfg(8, type='ViFiCLIPRetriever', data_preprocessor=dict(
        type='MultiModalDataPreprocessor', preprocessors=dict(
            imgs=dict(type='ActionDataPreprocessor'))))
    with pytest.raises(ValueError, match='METHOD|condition'):
        MODELS.build(cfg)


@pytest.fixture
def method(monkeypatch):
    """Function of knobs: the settings of METHOD=xclip."""
    clear_knobs(monkeypatch)

    def read(**knobs):
        for name, value in dict(PRETRAINED='none', **knobs).items():
            monkeypatch.setenv(name, value)
        return Config.fromfile(ROOT / 'configs/_base_/methods/xclip.py')

    return read


@pytest.mark.parametrize('tune', ['image', 'both'])
def test_what_trains_and_how_fast(method, tune):
    """With a tiny tower in the place of ViT-B/16."""
    cfg = method(TUNE=tune)
    head = cfg.model.cls_head
    assert head.text_classifier.templates == '{}'
    assert head.label_smooth_eps == 0.1
    assert cfg.model.data_preprocessor.blending
    cfg.model.backbone.arch = head.text_classifier.arch = ARCH
    head.num_frames, head.text_classifier.class_names = 32, NAMES
    model = MODELS.build(cfg.model)
    assert model.backbone.num_frames == 32
    rates = {}
    wrapper = build_optim_wrapper(model, dict(
        cfg.recipe.zero_shot.optim_wrapper, type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=8e-6, weight_decay=0.001)))
    names = {id(p): n for n, p in model.named_parameters()}
    for group in wrapper.optimizer.param_groups:
        for param in group['params']:
            rates[names[id(param)]] = group['lr'], group['weight_decay']
    assert rates.keys() == {n for n, p in model.named_parameters()
                            if p.requires_grad}
    new = ('backbone.messages.', 'backbone.prompts_visual_',
           'cls_head.temporal.', 'cls_head.condition.')
    for name, (lr, decay) in rates.items():
        assert lr == pytest.approx(8e-5 if name.startswith(new) else 8e-6)
        flat = dict(model.named_parameters())[name].ndim < 2
        assert decay == (0 if flat or 'position' in name else 0.001), name
    counts = [sum(name.startswith(part) for name in rates) for part in new]
    assert counts == [2 * 8, 3, 13, 3 + 2 * 13]
    text = [name for name in rates if '.text_classifier.' in name]
    assert bool(text) == ('cls_head.logit_scale' in rates) == (tune == 'both')
    assert cfg.recipe.zero_shot.schedule == dict(one_minimum=True)


def test_one_minimum_for_all():
    params = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([dict(params=[p], lr=lr) for p, lr in zip(
        params, (8e-6, 8e-5))])
    schedule = WarmupCosineLR(optimizer, warmup=2, end=10, one_minimum=True)
    seen = []
    for _ in range(10):
        optimizer.step()
        schedule.step()
        seen.append([group['lr'] for group in optimizer.param_groups])
    assert seen[0] == pytest.approx([4e-6, 4e-5])
    for t in 5, 9:
        rest = (1 + math.cos(math.pi * t / 10)) / 2
        assert seen[t - 1] == pytest.approx([
            8e-8 + (peak - 8e-8) * rest for peak in (8e-6, 8e-5)])


@pytest.mark.parametrize('knobs', [dict(TUNE='prompts'), dict(TUNE='text')])
def test_knobs_that_do_not_go_with_it(method, knobs):
    with pytest.raises(ValueError, match='METHOD=xclip'):
        method(**knobs)
