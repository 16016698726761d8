"""Patterns of what trains beside ``tune``, what a user froze, and modules of
theirs that rest."""
import logging

import pytest
import torch
from mmaction.registry import MODELS
from tiny import build_model, samples, tiny_arch
from torch import nn

from projects.vifi_clip.models import tuning
from projects.vifi_clip.models.image_backbone import CLIPVisionBackbone
from projects.vifi_clip.models.temporal_head import TemporalMeanPoolHead

PROMPTS = dict(length=2, depth=2)
D = 32


class Mixer(nn.Module):
    """A temporal module of a user's, with dropout."""

    def __init__(self, embed_dim):
        super().__init__()
        self.layer = nn.Linear(embed_dim, embed_dim)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return x + self.drop(self.layer(x))


class Teacher(nn.Module):
    """Frozen, with batch norm."""

    def __init__(self, embed_dim):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(embed_dim, embed_dim),
                                 nn.BatchNorm1d(embed_dim), nn.Dropout(0.5))
        self.net.requires_grad_(False)


class TaughtHead(TemporalMeanPoolHead):
    """A head that learns from a teacher of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.teacher = Teacher(D)
        self.student = nn.Linear(D, D)

    def loss(self, feats, data_samples, **kwargs):
        losses = super().loss(feats, data_samples, **kwargs)
        difference = self.student(feats) - self.teacher.net(feats)
        return dict(losses, loss_own=difference.square().mean())


class AdaptedBackbone(CLIPVisionBackbone):
    """The tower has a user's part inside."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.visual.extra = Mixer(D)

    def embed_chunk(self, x):
        return self.visual.extra(super().embed_chunk(x)[:, None])[:, 0]


@pytest.fixture(autouse=True)
def registered():
    kinds = Mixer, TaughtHead, AdaptedBackbone
    for kind in kinds:
        MODELS.register_module(module=kind, force=True)
    yield
    for kind in kinds:
        MODELS.module_dict.pop(kind.__name__)


@pytest.fixture
def said(monkeypatch):
    """Lines of the log, with their levels."""
    lines = []
    monkeypatch.setattr(
        tuning, 'print_log', lambda msg, logger, level=logging.INFO:
        lines.append((level, msg)))
    return lines


def trained(model) -> set:
    return {n for n, p in model.named_parameters() if p.requires_grad}


def test_patterns_beside_tune():
    plain = trained(build_model(tune='image'))
    model = build_model(
        tune='image', trainable='cls_head.text_classifier.text.ln_final.*',
        frozen=['backbone.visual.transformer.resblocks.0.*',
                'backbone.visual.conv1.weight'])
    model.eval().train()
    more, less = trained(model) - plain, plain - trained(model)
    assert more == {f'cls_head.text_classifier.text.ln_final.{name}'
                    for name in ('weight', 'bias')}
    assert less == {name for name in plain
                    if '.resblocks.0.' in name or 'conv1' in name}
    blocks = model.backbone.visual.transformer.resblocks
    assert not blocks[0].training and not blocks[0].mlp.training
    assert blocks[1].training and blocks[1].mlp.training


def test_frozen_goes_before_trainable():
    name = 'cls_head.logit_scale'
    assert trained(build_model(tune='none', trainable=[name])) == {name}
    assert trained(build_model(tune='none', trainable='cls_head.logit*',
                               frozen=[name])) == set()


@pytest.mark.parametrize('patterns', [None, 3, True, {'*': 1}, b'*'])
def test_patterns_that_are_no_list(patterns):
    with pytest.raises(ValueError, match='frozen=.* must be a list'):
        build_model(frozen=patterns)


@pytest.mark.parametrize('pattern, hint', [
    ('backbone.visual', r'backbone\.visual\.\*'),  # a module's name
    ('ln_post', 'backbone.visual.ln_post.weight'),  # a part of one
    ('*ln_post', 'backbone.visual.ln_post.weight'),
    ('backbone.visul.*', 'backbone.visual'),  # misspelt
    ('xyz', 'backbone'), (3, '3'), ('', "''")])
@pytest.mark.parametrize('setting', ['trainable', 'frozen'])
def test_a_pattern_that_matches_nothing(setting, pattern, hint):
    with pytest.raises(ValueError, match=f'{setting}=.*{hint}') as caught:
        build_model(**{setting: [pattern]})
    assert '\n' not in str(caught.value)


def test_what_a_module_froze_is_not_woken():
    model = build_model(head=dict(type='TaughtHead')).eval().train()
    teacher, student = model.cls_head.teacher, model.cls_head.student
    assert not trained(teacher) and trained(student)
    assert not any(m.training for m in teacher.modules())
    assert student.training and model.cls_head.training
    mean = teacher.net[1].running_mean.clone()
    losses = model.loss(torch.randn(2, 2, 3, 32, 32), samples([[0], [1]]))
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert student.weight.grad.any()
    assert torch.equal(teacher.net[1].running_mean, mean)
    # unless it is asked for
    model = build_model(head=dict(type='TaughtHead'),
                        trainable='cls_head.teacher.*').train()
    assert trained(model.cls_head.teacher) == {
        'net.0.weight', 'net.0.bias', 'net.1.weight', 'net.1.bias'}
    assert model.cls_head.teacher.net[2].training


def test_what_is_frozen_later_is_not_woken():
    model = build_model()
    model.backbone.visual.conv1.requires_grad_(False)
    assert 'backbone.visual.conv1.weight' not in trained(model.train())


def test_a_tower_that_is_built_frozen():
    model = build_model(backbone=dict(
        type='CLIPVisionBackbone', arch=tiny_arch(), frozen=True)).train()
    assert not any(n.startswith('backbone') for n in trained(model))


def test_checkpoints_without_what_is_frozen():
    kwargs = dict(head=dict(type='TaughtHead'), save_trainable_only=True,
                  tune='image', frozen=['cls_head.student.bias'])
    model = build_model(**kwargs)
    state = model.state_dict()
    parameters = dict(model.named_parameters())
    assert {n for n in state if n in parameters} == trained(model)
    assert 'cls_head.student.weight' in state
    build_model(**kwargs).load_state_dict(state)  # strict


@pytest.mark.parametrize('tune', ['prompts', 'adapters'])
def test_own_module_trains_beside_prompts(tune, said):
    """And drops out, which its towers must not."""
    extra = dict(lora=dict(rank=2)) if tune == 'adapters' else dict(
        prompts=PROMPTS)
    if tune == 'adapters':
        pytest.importorskip('peft')
    model = build_model(tune=tune, head=dict(temporal=dict(type='Mixer')),
                        **extra).train()
    temporal = model.cls_head.temporal
    assert trained(temporal) == {'layer.weight', 'layer.bias'}
    assert temporal.training and temporal.drop.training
    assert not model.backbone.visual.training
    assert not model.cls_head.text_classifier.text.training
    assert [level for level, _ in said] == [20]


def _adapted(**kwargs):
    return build_model(backbone=dict(
        type='AdaptedBackbone', arch=tiny_arch()), **kwargs)


def test_own_module_that_rests_is_named_once(said):
    _adapted(tune='text').train()
    assert [level for level, _ in said] == [20, 30]
    line = said[1][1]
    for word in "'text'", 'Mixer (backbone.visual.extra)', (
            "model.trainable=['backbone.visual.extra.*']"):
        assert word in line
    assert '\n' not in line
    # as the line says
    model = _adapted(tune='text', trainable=['backbone.visual.extra.*'])
    assert 'backbone.visual.extra.layer.bias' in trained(model)
    _adapted(tune='text', frozen=['backbone.visual.extra.*'])
    _adapted(tune='none')
    _adapted(tune='image')
    assert [level for level, _ in said[2:]] == [20] * 4
