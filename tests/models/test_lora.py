"""LoRA in the towers: against W + alpha / rank B A written out, what trains,
and its files."""
import sys

import pytest
import torch
from mmaction.registry import MODELS
from tiny import (assert_same, build_model, gradients, model_cfg, samples,
                  timm_arch, tiny_arch)
from torch.func import functional_call

from projects.vifi_clip.checkpoints.settings import collect_settings
from projects.vifi_clip.errors import UserError

T, RANK, ALPHA = 2, 3, 6
TIMM = timm_arch('vit_tiny_patch16_224', timm_model_pretrained=False)


def build(arch=None, lora=None, **kwargs):
    """A tiny recognizer; with ``lora``, with random factors."""
    cfg = model_cfg(num_frames=T, **kwargs)
    if lora is not None:
        cfg.update(tune='adapters', lora=dict(
            dict(rank=RANK, alpha=ALPHA), **lora))
    for part in cfg['backbone'], cfg['cls_head']['text_classifier']:
        part['arch'] = arch or tiny_arch()
    torch.manual_seed(0)
    model = MODELS.build(cfg).eval()
    for part in 'lora_', '':  # the latter with the same numbers without LoRA
        draw = torch.Generator().manual_seed(1)
        for name, param in model.named_parameters():
            if part in name and (part or param.ndim == 1):
                param.data.add_(0.1 * torch.randn(param.shape,
                                                  generator=draw))
    return model


def frames(arch=None, seed=2):
    size = 224 if arch is TIMM else 32
    return torch.randn(2, T, 3, size, size,
                       generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(model, x):
    return model.cls_head(model.extract_feat(x)[0])


def written_out(model):
    """Plain weights by name, made of leaves with gradient: the factors."""
    weights, leaves = {}, {}
    state = {name: value.detach() for name, value in
             model.named_parameters()}
    for name, value in state.items():
        if 'lora_' not in name:
            weights[name.replace('base_layer.', '').replace(
                'in_proj.', 'in_proj_')] = value
    for name in state:
        if '.lora_A.' in name:
            other = name.replace('lora_A', 'lora_B')
            a, b = (leaves.setdefault(key, state[key].clone(
            ).requires_grad_()) for key in (name, other))
            layer = name.split('.lora_A')[0] + '.weight'
            layer = layer.replace('in_proj.', 'in_proj_')
            weights[layer] = weights[layer] + ALPHA / RANK * b @ a
    return weights, leaves


@pytest.mark.parametrize('arch, lora', [
    (None, {}), (None, dict(towers='text', targets=['c_fc', 'in_proj'])),
    (TIMM, dict(towers='image')),
    (tiny_arch(quick_gelu=False, text_cfg=dict(
        no_causal_mask=True, pool_type='last')), dict(targets=['in_proj']))],
    ids=['all', 'text', 'timm', 'no_mask'])
def test_equals_the_written_out_sum(arch, lora):
    """Logits, and the gradients of the factors."""
    model, plain, x = build(arch, lora), build(arch), frames(arch)
    weights, leaves = written_out(model)
    assert leaves and len(leaves) == sum(
        p.requires_grad for p in model.parameters())
    model.train()
    loss = model.loss(x, samples([[0], [3]]))['loss_cls']
    expected = functional_call(plain, weights, (x, samples([[0], [3]])), dict(
        mode='loss'))['loss_cls']
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    loss.backward()
    expected.backward()
    assert_same(gradients(model), [{n: leaf.grad for n, leaf in
                                    leaves.items()}], rtol=1e-4)
    ours = logits(model.eval(), x)
    plain.load_state_dict(model.state_dict())  # folded
    cosines = [value / model.cls_head.logit_scale.exp()
               for value in (ours, logits(plain, x))]
    torch.testing.assert_close(*cosines, rtol=0, atol=1e-6)
    plain.load_state_dict({n: p.detach() for n, p in weights.items()}, False)
    torch.testing.assert_close(ours, logits(plain, x), rtol=1e-5, atol=1e-5)


def test_hooks_and_checkpointing_change_nothing():
    model, x = build(lora={}), frames()
    expected = logits(model, x)
    block = model.backbone.visual.transformer.resblocks[-1]
    block.register_forward_hook(lambda *args: None)
    torch.testing.assert_close(logits(model, x), expected)
    model.train()
    steps = []
    for on in False, True:
        model.backbone.grad_checkpointing = on
        model.cls_head.text_classifier.grad_checkpointing = on
        model.zero_grad()
        model.loss(x, samples([[0], [3]]))['loss_cls'].backward()
        steps += gradients(model)
    assert_same(steps[1:], steps[:1])


def test_what_trains():
    """r (in + out) numbers a layer, for which ViT-B/16 has 1,179,648 and
    786,432; the towers stay in eval mode. B = 0 is CLIP."""
    torch.manual_seed(0)
    model, plain = (build_model(**kwargs).train() for kwargs in (
        dict(tune='adapters', lora=dict(rank=RANK)), {}))
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    per_layer = 64 + 192 + 64 + 64 + 2 * (64 + 256)
    assert sum(p.numel() for n, p in trained.items() if 'visual' in n) == (
        2 * RANK * per_layer)
    assert all('lora_' in n for n in trained)
    text = model.cls_head.text_classifier
    assert not (model.backbone.visual.training or text.text.training)
    assert text.training  # draws its templates
    plain.load_state_dict(model.state_dict())
    x = frames()
    torch.testing.assert_close(logits(model.eval(), x),
                               logits(plain.eval(), x))
    image = build_model(tune='adapters', lora=dict(towers='image')).train()
    assert not image.cls_head.training


def test_lora_alone_is_saved(tmp_path):
    model, x = build(lora={}, save_trainable_only=True), frames()
    state = model.state_dict()
    assert all('lora_' in key for key in state)
    again = build(lora={}, save_trainable_only=True)
    start = {n: p.clone() for n, p in again.state_dict().items()}
    with torch.no_grad():
        for param in again.parameters():
            param.add_(param.requires_grad)
    again.load_state_dict(state)
    assert all(torch.equal(value, start[n]) for n, value in
               again.state_dict().items())
    # On top of the weights that are there.
    plain = build(save_trainable_only=True, tune='adapters')
    plain.load_state_dict(state)
    torch.testing.assert_close(logits(plain, x), logits(model, x))
    torch.save(dict(state_dict=state), tmp_path / 'lora.pth')
    with pytest.raises(ValueError, match='lora.pth.*save_trainable_only'):
        build(backbone=dict(type='CLIPVisionBackbone',
                            pretrained=str(tmp_path / 'lora.pth')))


def test_its_file_is_a_clip(tmp_path):
    """For ``pretrained`` and, with other settings, for nothing."""
    model, x = build(lora={}), frames()
    path = str(tmp_path / 'lora.pth')
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        vifi_clip=collect_settings(model))), path)
    cfg = model_cfg(num_frames=T, head=dict(temperature=float(
        (-model.cls_head.logit_scale).exp())))
    for part in cfg['backbone'], cfg['cls_head']['text_classifier']:
        part['pretrained'] = path
    torch.testing.assert_close(logits(MODELS.build(cfg).eval(), x),
                               logits(model, x))
    for lora, said in ((dict(alpha=3), 'lora_scale: file 2, model 1'),
                       (dict(rank=2), 'of another shape')):
        with pytest.raises(ValueError, match=said):
            build(lora=lora).load_state_dict(model.state_dict())
    with pytest.raises(ValueError, match='missing from the file'):
        build(lora={}).load_state_dict(build().state_dict())


@pytest.mark.parametrize('lora, said', [
    (dict(targets=['q_proj', 'c_fc']),
     'q_proj: .*c_fc, c_proj, in_proj, out_proj'),
    (dict(targets=[]), 'LORA_TARGETS'), (dict(rank=0), 'LORA_R'),
    (dict(alpha=0), 'alpha'), (dict(towers='video'), 'LORA_TOWERS')])
def test_bad_settings(lora, said):
    with pytest.raises(ValueError, match=said) as caught:
        build(lora=lora)
    assert '\n' not in str(caught.value)


def test_towers_without_such_layers():
    """A ResNet's attention reads weights; embeddings have no tower."""
    resnet = tiny_arch(vision_cfg=dict(layers=(1, 1, 1, 1)))
    with pytest.raises(ValueError, match='none that LoRA'):
        build(resnet, dict(towers='image'))
    assert not build(resnet, dict(targets=['c_fc'])).backbone.training
    with pytest.raises(ValueError, match='no image tower'):
        build_model(tune='adapters', lora=dict(), backbone=dict(
            type='mmaction.ResNet', depth=18), head=dict(in_channels=512))


def test_without_peft(monkeypatch):
    monkeypatch.setitem(sys.modules, 'peft', None)
    with pytest.raises(UserError, match=r'vifi_clip\[lora\]'):
        build(lora={})


def test_settings_are_those_of_the_plain_model():
    """Activation and heads leave no trace in weights, so the file says it."""
    plain, lora = (collect_settings(model) for model in (
        build(tune='both'), build(lora={})))
    assert {key: value for key, value in lora.items() if key != 'tune'} == {
        key: value for key, value in plain.items() if key != 'tune'}
    assert 'visual_heads' in lora and 'text_activation' in lora
