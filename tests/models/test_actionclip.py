"""ActionCLIP against its formulas: the head, the loss, the templates, what
trains and how fast."""
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS, PARAM_SCHEDULERS
from mmengine.optim import build_optim_wrapper
from tiny import NAMES, build_model, classifier_cfg, samples
from torch import nn

from projects.vifi_clip_tools.attention.maps import attention_maps
from projects.vifi_clip_tools.export.modules import Classifier

N, T, D = 3, 4, 32
TRANSF = dict(type='TemporalTransformer', depth=6, eps=1e-12, std=0.02,
              position_std=0.02, max_frames=77)
IN_BATCH = dict(type='KLContrastiveLoss')


def build(type, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type=type, embed_dim=D, **kwargs))


def layer_norm(x, norm, eps):
    x = x - x.mean(-1, keepdim=True)
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * (
        norm.weight) + norm.bias


def transf(module, x, eps):
    """Positions, six pre-norm blocks, the outer residual."""
    y = x + module.positions.weight[:x.shape[1]]
    for block in module.blocks:
        attn = block.attn
        z = layer_norm(y, block.ln_1, eps)
        q, k, v = F.linear(z, attn.in_proj_weight, attn.in_proj_bias).view(
            *z.shape[:2], 3, 8, D // 8).permute(2, 0, 3, 1, 4)
        z = (q @ k.mT / (D // 8)**0.5).softmax(-1) @ v
        y = y + attn.out_proj(z.transpose(1, 2).flatten(2))
        z = block.mlp[0](layer_norm(y, block.ln_2, eps))
        y = y + block.mlp[2](z * torch.sigmoid(1.702 * z))
    return y + x


def test_transf_and_its_small_epsilon():
    module = build(**TRANSF)
    for scale in 1, 1e-6:  # at which an eps of 1e-5 would rule
        x = scale * torch.randn(N, T, D)
        module.positions.weight.data.mul_(scale)
        torch.testing.assert_close(
            module(x), transf(module, x, 1e-12), rtol=1e-5, atol=1e-5)
    assert (transf(module, x, 1e-5) - module(x)).abs().max() > 1e-3
    with pytest.raises(ValueError, match='max_frames'):
        module(torch.zeros(1, 78, D))


def test_transf_starts_as_its_code():
    module = MODELS.build(dict(TRANSF, embed_dim=512))
    assert len(module.blocks) == 6 and (
        module.positions.weight.shape == (77, 512))
    norms = [m for m in module.modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 12
    for norm in norms:
        assert norm.eps == 1e-12
        assert (norm.weight == 1).all() and (norm.bias == 0).all()
    for block in module.blocks:
        attn = block.attn
        xavier = (6 / (512 + 3 * 512))**0.5  # uniform
        assert attn.in_proj_weight.abs().max() <= xavier
        assert abs(attn.in_proj_weight.std() - xavier / 3**0.5) < 1e-3
        assert block.mlp[0].out_features == 2048 and attn.num_heads == 8
        linear = [attn.out_proj, block.mlp[0], block.mlp[2]]
        for bias in [attn.in_proj_bias, *(m.bias for m in linear)]:
            assert (bias == 0).all()
        for weight in [m.weight for m in linear]:
            assert abs(weight.std() - 0.02) < 5e-4
            assert abs(weight.mean()) < 5e-4
            assert weight.abs().max() > 0.07  # normal, not truncated
    assert abs(module.positions.weight.std() - 0.02) < 5e-4


def lstm(module, x):
    """One step after the other, with the gates' own names."""
    weights = module.lstm.state_dict().values()
    w_x, w_h, b_x, b_h = weights
    h = c = torch.zeros(len(x), D)
    rows = []
    for t in range(x.shape[1]):
        gates = x[:, t] @ w_x.T + b_x + h @ w_h.T + b_h
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        rows.append(h)
    return x + torch.stack(rows, 1)


def shift(module, x):
    """Channels of the first quarter from the frame before, of the last from
    the one behind."""
    y, n = x.clone(), D // 4
    y[:, 1:, :n], y[:, 0, :n] = x[:, :-1, :n], 0
    y[:, :-1, -n:], y[:, -1, -n:] = x[:, 1:, -n:], 0
    return x + y


def class_token(module, x):
    """Post-norm blocks over a token and the frames; the token alone."""
    y = torch.cat([module.token.expand(N, -1, -1), x], 1) + module.positions
    for layer in module.encoder.layers:
        y = layer.norm1(y + layer.self_attn(y, y, y)[0])
        y = layer.norm2(y + layer.linear2(layer.linear1(y).relu()))
    return module.encoder.norm(y)[:, :1]


@pytest.mark.parametrize('kind, options, plain', [
    ('TemporalLSTM', {}, lstm), ('TemporalConv', {}, shift),
    ('TemporalClassToken', dict(num_frames=T), class_token)])
def test_the_other_heads(kind, options, plain):
    module, x = build(kind, **options).eval(), torch.randn(N, T, D)
    expected = plain(module, x)
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        torch.testing.assert_close(module(x).float(), expected, rtol=0.1,
                                   atol=0.1)
    head = build_model(num_frames=T, head=dict(
        temporal=dict(type=kind, **options))).cls_head.eval()
    x = torch.randn(N * T, D)
    frames = plain(head.temporal, x.view(N, T, D))
    torch.testing.assert_close(
        head.fuse(head.frame_embeddings(x)),
        F.normalize(frames.mean(1), dim=-1), rtol=1e-4, atol=1e-5)
    head.train()(x).sum().backward()
    assert all(p.grad is not None for p in head.temporal.parameters())


def test_the_released_convolution_reads_time_as_channels():
    x, module = torch.randn(N, T, D), build('TemporalConv', reinterpret=True)
    other = x.reshape(N, D, T).transpose(1, 2)
    torch.testing.assert_close(module(x), x + shift(None, other) - other)


def test_class_token_starts_and_its_frames():
    module = MODELS.build(dict(
        type='TemporalClassToken', embed_dim=512, num_frames=8))
    # normal of .02, cut at two deviations
    for weight in (module.positions, module.encoder.layers[5].linear1.weight,
                   module.encoder.layers[0].self_attn.out_proj.weight):
        assert abs(weight.std() - 0.02 * 0.8796) < 5e-4
        assert weight.abs().max() <= 0.04
    assert len(module.encoder.layers) == 6
    assert (module.encoder.layers[0].linear1.bias == 0).all()
    with pytest.raises(ValueError, match='num_frames'):
        module(torch.zeros(1, 9, 512))


def divergence(logits, labels):
    """sum_j q_ij log(q_ij / p_ij), and the mean over i; q sharpened."""
    rows = []
    for i, row in enumerate(logits.tolist()):
        same = [10. * (label == labels[i]) for label in labels]
        p, q = (torch.tensor(x).double().softmax(0) for x in (row, same))
        rows.append((q * (q.log() - p.log())).sum())
    return torch.stack(rows).mean().float()


def test_kl_loss():
    torch.manual_seed(0)
    video, text = (F.normalize(torch.randn(5, D), dim=-1) for _ in range(2))
    labels, scale = [3, 1, 3, 0, 3], torch.tensor(20.)
    logits = scale * video @ text.T
    expected = (divergence(logits, labels) + divergence(logits.T, labels)) / 2
    loss = MODELS.build(dict(IN_BATCH, loss_weight=2.))
    torch.testing.assert_close(
        loss(video, text, scale, torch.tensor(labels)), 2 * expected)
    # Nothing is left to learn where predictions are the targets.
    same = torch.eye(5)
    assert abs(loss.compare(10 * same, same)) < 1e-6


def test_the_texts_of_a_batch_are_drawn():
    """Each video's, by its label, of the templates; all count in a test."""
    templates = ['a {}', '{} it is', 'this {}']
    model = build_model(head=dict(
        loss_cls=IN_BATCH, text_classifier=classifier_cfg(
            templates=templates, random_template=True, average='prob')))
    head, labels = model.train().cls_head, [2, 0, 2]
    single = torch.stack([head.text_classifier.embed_texts(NAMES, t)
                          for t in templates])
    # [M, K, D]
    x = torch.randn(3 * 2, D)
    video = head.fuse(head.frame_embeddings(x))
    possible = []
    for draw in torch.cartesian_prod(*[torch.arange(3)] * 3):
        text = single[draw, labels]
        possible.append(head.loss_cls(
            video, text, head.logit_scale.exp(), torch.tensor(labels)))
    found = set()
    for _ in range(40):
        loss = head.loss(x, samples([[i] for i in labels]))['loss_cls']
        apart = (torch.stack(possible) - loss).abs()
        assert apart.min() < 1e-4
        found.add(int(apart.argmin()))
    assert len(found) > 8
    with torch.no_grad():
        logits = head.eval()(x)
        probabilities = torch.stack([
            (head.logit_scale.exp() * video @ classes.T).softmax(-1)
            for classes in single]).mean(0)
    torch.testing.assert_close(logits.softmax(-1), probabilities)


def test_texts_of_a_frozen_tower_are_drawn_too():
    torch.manual_seed(0)
    model = build_model(tune='image', head=dict(
        temporal=TRANSF, loss_cls=IN_BATCH, text_classifier=classifier_cfg(
            templates=['a {}', '{} it is'], random_template=True,
            average='prob'))).train()
    text, labels = model.cls_head.text_classifier, torch.tensor([2, 0])
    drawn = {tuple(text(labels)[:, 0].tolist()) for _ in range(40)}
    assert len(drawn) == 4
    assert len({tuple(text()[:, 0].tolist()) for _ in range(40)}) > 8
    assert not text(labels).requires_grad
    loss = model.loss(torch.randn(2, 2, 3, 32, 32), samples([[2], [0]]))
    loss['loss_cls'].backward()
    assert model.cls_head.temporal.positions.weight.grad is not None


def test_rate():
    """Up from 0, then a cosine that begins at the peak and ends at 0."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=2.)
    course = PARAM_SCHEDULERS.build(dict(
        type='WarmupCosineLR', optimizer=optimizer, warmup=5, end=50,
        eta_min_ratio=0., warmup_prefix=True))
    for t in range(50):
        expected = 2 * t / 5 if t < 5 else 1 + math.cos(
            math.pi * (t - 5) / 45)
        assert abs(optimizer.param_groups[0]['lr'] - expected) < 1e-6
        optimizer.step()
        course.step()


def test_what_trains_and_how_fast():
    model = build_model(head=dict(temporal=TRANSF, loss_cls=IN_BATCH)).train()
    wrapper = build_optim_wrapper(model, dict(
        optimizer=dict(type='AdamW', lr=1., weight_decay=0.2),
        paramwise_cfg=dict(custom_keys={
            'cls_head.temporal': dict(lr_mult=10.)})))
    names = {id(p): n for n, p in model.named_parameters()}
    rates = {names[id(p)]: (group['lr'], group['weight_decay'])
             for group in wrapper.optimizer.param_groups
             for p in group['params'] if p.requires_grad}
    fast = {n for n, rate in rates.items() if rate == (10., 0.2)}
    assert fast == {n for n in names.values()
                    if n.startswith('cls_head.temporal.')}
    assert len(fast) == 1 + 6 * 12
    slow = set(rates) - fast
    # Both towers and the scale; not the token embeddings.
    assert slow == {n for n in names.values()
                    if 'token_embedding' not in n} - fast
    assert len(slow) == 32 + 28 + 1
    assert {rates[n] for n in slow} == {(1., 0.2)}


def test_checkpoints_know_no_classes():
    few, more = (build_model(head=dict(
        temporal=TRANSF, text_classifier=classifier_cfg(
            class_names=names, average='prob', templates=['{}', 'a {}'])))
        for names in (NAMES, [*NAMES, 'ski']))
    more.load_state_dict(few.state_dict())
    assert few.state_dict().keys() == dict(few.named_parameters()).keys()


def test_classes_of_several_templates_elsewhere():
    """Exported, probabilities are averaged; where one embedding of a class is
    asked for, it is the templates' mean."""
    cfg = classifier_cfg(average='prob', templates=['a {}', '{} it is', '{}'])
    model = build_model(
        head=dict(temporal=dict(TRANSF, depth=1), text_classifier=cfg),
        data_preprocessor=dict(mean=[120.] * 3, std=[60.] * 3,
                               format_shape='NCHW')).eval()
    x = torch.randn(3, 2, 3, 32, 32)
    with torch.no_grad():
        scores = Classifier(model, 'float')(x)
        expected = model.cls_head(model.backbone(x.flatten(0, 1)))
        torch.testing.assert_close(scores, expected.softmax(-1))
        text = model.cls_head.text_classifier
        mean = text.class_embeddings()
        torch.testing.assert_close(mean, text.embed_texts(NAMES))
    frames = torch.zeros(2, 32, 32, 3, dtype=torch.uint8).numpy()
    maps = [attention_maps(model, frames, 'gradient', name)
            for name in (NAMES[0], 'a new name')]
    assert np.shape(maps[0]) == np.shape(maps[1])
