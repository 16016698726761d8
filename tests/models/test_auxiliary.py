"""Losses beside the main one: TACO and FROSTER, their values and gradients
against formulas written out here; what the teachers see; what is refused."""
import copy

import pytest
import torch
from mmaction.registry import MODELS, OPTIM_WRAPPERS
from tiny import (NAMES, PROMPTS, assert_same, batches_of, build_model,
                  classifier_cfg, gradients, loss_of, model_cfg, samples,
                  tiny_arch, trained_model)
from torch.func import functional_call
from torch.nn.functional import gelu

import projects.vifi_clip.models.frame_embeddings  # noqa: F401
from projects.vifi_clip.errors import UserError

T, D, K = 2, 32, len(NAMES)
TACO = dict(type='AnchorRelationLoss',
            teacher=dict(type='EMATeacher', momentum=0.1))


@pytest.fixture(scope='module')
def clip_file(tmp_path_factory) -> str:
    """Weights of another random CLIP than the models here."""
    path = tmp_path_factory.mktemp('clip') / 'clip.pth'
    torch.manual_seed(7)
    torch.save(build_model().state_dict(), path)
    return str(path)


def froster(pretrained) -> dict:
    return dict(type='FeatureDistillationLoss', teacher=dict(
        type='CLIPTeacher', arch=tiny_arch(), pretrained=pretrained))


def build(*auxiliary, **kwargs):
    """A model whose projections have moved from zero."""
    torch.manual_seed(0)
    model = build_model(auxiliary=list(auxiliary), **kwargs).train()
    with torch.no_grad():
        for param in model.auxiliary.parameters():
            param += 0.05 * torch.randn_like(param)
    return model


def unit(x):
    return x / x.pow(2).sum(-1, keepdim=True).sqrt()


def softmax(x):
    x = (x - x.amax(-1, keepdim=True)).exp()
    return x / x.sum(-1, keepdim=True)


def embed(model, video, weights=None):
    """Frame embeddings [B, T, D] and class embeddings [K, D]."""
    values = []
    for name, args in ('backbone', (video.flatten(0, 1), )), (
            'cls_head.text_classifier', ()):
        part = model.get_submodule(name)
        own = {k.removeprefix(f'{name}.'): v for k, v in (
            weights or dict(model.named_parameters())).items()
            if k.startswith(f'{name}.')}
        values.append(functional_call(part, own, args))
    return values[0].view(len(video), T, D), values[1]


def cross_entropy(logits, labels):
    return -softmax(logits).log()[torch.arange(len(labels)), labels].mean()


def test_taco_equals_its_formula():
    """Over three steps, so that the teacher lags behind."""
    model, labels = build(TACO), [0, 3, 1]
    plain, mean = copy.deepcopy(model), None
    loss = plain.auxiliary[0]
    for step in range(3):
        video = torch.randn(3, T, 3, 32, 32)
        model.zero_grad(), plain.zero_grad()
        model.auxiliary.update(model)
        torch.manual_seed(step)
        losses = model.loss(video, samples([[i] for i in labels]))
        sum(v for k, v in losses.items() if 'loss' in k).backward()

        now = {n: p.detach().clone() for n, p in plain.named_parameters()}
        mean = now if mean is None else {
            n: 0.9 * mean[n] + 0.1 * now[n] for n in now}
        torch.manual_seed(step)
        anchors = unit(torch.randn(200, D))
        v, t = embed(plain, video)
        with torch.no_grad():
            v_te, t_te = embed(plain.eval(), video, mean)
        plain.train()
        middle = v.mean(1) @ loss.expand.weight.T + loss.expand.bias
        moved = middle @ loss.reduce.weight.T + loss.reduce.bias
        u = unit((v + moved[:, None]).mean(1))
        s = plain.cls_head.logit_scale.exp()
        p = softmax(s * (unit(v_te.mean(1)) @ anchors.T)
                    @ (anchors @ t_te.T))
        q = softmax(s * (u @ anchors.T) @ (anchors @ t.T))
        main = cross_entropy(s * u @ t.T, labels)
        relation = 0.4 * (p * (p / q).log()).sum(-1).mean()
        (main + relation).backward()
        torch.testing.assert_close(losses['loss_cls'], main, rtol=1e-5,
                                   atol=1e-6)
        torch.testing.assert_close(losses['loss_relation'], relation,
                                   rtol=1e-4, atol=1e-6)
        assert losses['loss_relation'] > 1e-6
        assert_same(gradients(model), gradients(plain), rtol=2e-4)
        for one in model, plain:
            torch.optim.SGD(one.parameters(), lr=0.05).step()


def test_froster_equals_its_formula(clip_file):
    model = build(froster(clip_file), head=dict(fusion='decision'))
    plain, video = copy.deepcopy(model), torch.randn(3, T, 3, 32, 32)
    losses = model.loss(video, samples([[0], [3], [1]]))
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    v, t = embed(plain, video)
    with torch.no_grad():
        v_te, t_te = embed(plain.eval(), video, torch.load(clip_file))
    v, loss = unit(v), plain.auxiliary[0]

    def distance(x, taught, project):
        moved = x + 0.1 * gelu(x @ project[0].weight.T) @ project[2].weight.T
        return (1 - (unit(moved) * unit(taught)).sum(-1)).mean()

    scale = plain.cls_head.logit_scale.exp()
    main = cross_entropy((scale * v @ t.T).mean(1), [0, 3, 1])
    frames = 2 * distance(v, v_te, loss.frames)
    classes = 2 * distance(t, t_te, loss.classes)
    (main + frames + classes).backward()
    for name, value in dict(cls=main, frames_distillation=frames,
                            classes_distillation=classes).items():
        torch.testing.assert_close(losses[f'loss_{name}'], value)
        assert value > 1e-3
    assert_same(gradients(model), gradients(plain), rtol=1e-4)


def test_off_and_at_the_start_nothing_changes(clip_file):
    """Projections are zero at the start, and in tests there are none."""
    batch, = batches_of(1)
    off = trained_model()
    expected = loss_of(off, batch)
    expected.backward()
    empty = trained_model(auxiliary=[])
    loss_of(empty, batch).backward()
    for ours, theirs in zip(gradients(empty), gradients(off)):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    on = trained_model(auxiliary=[TACO, froster(clip_file)])
    on.load_state_dict(off.state_dict())
    assert on.state_dict().keys() == off.state_dict().keys()
    assert torch.equal(loss_of(on, batch), expected)
    with torch.no_grad():
        on.auxiliary[0].reduce.bias.fill_(1.)
    assert loss_of(on, batch) != expected
    scores = [model.eval().test_step(copy.deepcopy(batch))[0].pred_score
              for model in (on, off)]
    assert torch.equal(*scores)


def watch(teacher) -> list:
    """Frames, and class embeddings, that a teacher encodes from now on."""
    runs, parts = [], teacher.parts
    parts.backbone.visual.register_forward_pre_hook(
        lambda module, args: runs.append('image'))
    embed, encode = parts.backbone.embed_chunk, parts.cls_head.text_classifier
    parts.backbone.embed_chunk = lambda x: runs.append('frames') or embed(x)
    encode.text.ln_final.register_forward_hook(
        lambda *args: runs.append('classes'))
    return runs


def test_one_teacher_for_both_and_its_text_is_kept(clip_file):
    clip = froster(clip_file)
    model = build(dict(TACO, teacher=clip['teacher']), clip)
    assert len(model.auxiliary.teachers) == 1
    video, labels = torch.randn(2, T, 3, 32, 32), samples([[0], [1]])
    model.auxiliary.prepare(model)
    runs = watch(model.auxiliary.teachers[0])
    for _ in range(3):
        losses = model.loss(video, labels)
    assert runs.count('frames') == 3 and runs.count('classes') == 1
    assert len([name for name in losses if 'loss' in name]) == 4
    with pytest.raises(ValueError, match='two teachers'):
        build(TACO, dict(TACO, teacher=dict(type='EMATeacher')))


def test_the_teacher_sees_blended_pixels_and_is_in_eval_mode():
    blending = dict(type='MixupBlending', num_classes=K, alpha=0.8)
    model = build(TACO, data_preprocessor=dict(
        mean=[127.] * 3, std=[60.] * 3, format_shape='NCHW',
        blending=blending))
    seen, teacher = [], model.auxiliary.teachers[0]
    model.auxiliary.prepare(model)
    for backbone in model.backbone, teacher.parts.backbone:
        forward = backbone.forward
        backbone.forward = lambda x, f=forward: seen.append(x) or f(x)
    data = model.data_preprocessor(batches_of(1)[0], True)
    model(**data, mode='loss')
    assert torch.equal(*seen)
    assert not any(m.training for m in teacher.parts.modules())
    assert not any(p.requires_grad for p in teacher.parts.parameters())


@pytest.mark.parametrize('name, draw', [
    ('taco', dict(random_template=True)),
    ('froster', dict(random_template='shared', always_templates=['{}']))])
def test_the_teacher_reads_the_sentences_that_were_drawn(clip_file, name,
                                                         draw):
    """A teacher with the weights of the model has its embeddings."""
    text = classifier_cfg(**draw, templates=[
        'a photo of a {}.', '{}', 'a video of a person doing {}'])
    aux = TACO if name == 'taco' else froster(clip_file)
    model = build(aux, head=dict(text_classifier=text))
    model.load_state_dict(torch.load(clip_file))
    found = []
    model.auxiliary[0].forward = lambda *args: found.append(args) or {}
    for seed in range(4):
        torch.manual_seed(seed)
        model.loss(torch.randn(2, T, 3, 32, 32), samples([[0], [1]]))
        student, teacher, _ = found[-1]
        torch.testing.assert_close(student.classes, teacher.classes)
    assert any(not torch.allclose(found[0][0].classes, student.classes)
               for student, _, _ in found)


VARIANTS = dict(
    image=dict(tune='image'), text=dict(tune='text'),
    prompts=dict(prompts=PROMPTS, tune='prompts'),
    lora=dict(tune='adapters', lora=dict(rank=2)),
    adapters=dict(tune='adapters', backbone=dict(
        type='AIMBackbone', arch=tiny_arch(), num_frames=T)),
    image_fusion=dict(head=dict(fusion='image')),
    in_batch=dict(head=dict(loss_cls=dict(type='KLContrastiveLoss'))),
    temporal=dict(head=dict(temporal=dict(
        type='TemporalTransformer', depth=1, max_frames=T))),
    templates=dict(head=dict(text_classifier=classifier_cfg(
        average='prob', templates=['a photo of a {}.', '{}']))),
    checkpointing=dict(head=dict(text_classifier=classifier_cfg(
        grad_checkpointing=True)), backbone=dict(
            type='CLIPVisionBackbone', arch=tiny_arch(),
            grad_checkpointing=True)))


@pytest.mark.parametrize('variant', VARIANTS)
def test_with_other_settings(variant, clip_file):
    """Everything that trains has a gradient; one step changes it and, by a
    tenth of that, the mean."""
    model = build(TACO, froster(clip_file), **copy.deepcopy(
        VARIANTS[variant]))
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    start = {n: p.detach().clone() for n, p in trained.items()}
    model.auxiliary.update(model)
    losses = model.loss(torch.randn(3, T, 3, 32, 32),
                        samples([[0], [3], [1]]))
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, param in trained.items():
        assert param.grad is not None and param.grad.isfinite().all(), name
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    model.auxiliary.update(model)
    mean = dict(model.auxiliary.teachers[0].parts.named_parameters())
    moved = 0
    for name, param in trained.items():
        if name in mean:
            torch.testing.assert_close(
                mean[name], 0.9 * start[name] + 0.1 * param.detach())
            moved += not torch.equal(mean[name], start[name])
    assert moved


def test_reduced_precision(clip_file):
    """A teacher like its model rounds like it; its weights stay float32."""
    model = build(TACO, froster(clip_file))
    with torch.no_grad():
        for param in model.auxiliary[0].reduce.parameters():
            param.zero_()
    video, labels = torch.randn(2, T, 3, 32, 32), samples([[0], [1]])
    expected = model.loss(video, labels)
    with torch.autocast('cpu', torch.bfloat16):
        losses = model.loss(video, labels)
    assert losses['loss_relation'].abs() < 1e-5
    for name in 'loss_frames_distillation', 'loss_classes_distillation':
        assert losses[name].dtype == torch.float32
        torch.testing.assert_close(losses[name], expected[name], rtol=0.02,
                                   atol=0)
    for teacher in model.auxiliary.teachers:
        assert {p.dtype for p in teacher.parts.parameters()} == {
            torch.float32}


def test_a_step_in_float16(clip_file):
    """torch's scaler brings the gradients of all losses to their size."""
    batch, = batches_of(1)
    ours, plain = (trained_model(auxiliary=[TACO, froster(clip_file)])
                   for _ in range(2))
    before = copy.deepcopy(ours.state_dict())
    for model, kind in (ours, 'HalfOptimWrapper'), (plain, 'OptimWrapper'):
        wrapper = OPTIM_WRAPPERS.build(dict(
            type=kind, optimizer=torch.optim.SGD(model.parameters(), lr=1e-3)))
        model.auxiliary.update(model)
        torch.manual_seed(0)
        losses = model.train_step(copy.deepcopy(batch), wrapper)
        assert losses['loss'].isfinite()
    moves = [torch.cat([(value - before[name]).flatten() for name, value in
                        model.state_dict().items()])
             for model in (ours, plain)]
    assert 1e-5 < (moves[0] - moves[1]).norm() / moves[1].norm() < 0.02


def test_bad_input(clip_file, tmp_path):
    for change, words in (
            (dict(auxiliary=[dict(type='AnchorRelationLoss')]), 'no teacher'),
            (dict(auxiliary=[dict(TACO, num_anchors=0)]), 'num_anchors'),
            (dict(auxiliary=[dict(TACO, teacher=dict(
                type='EMATeacher', momentum=1))]), 'momentum=1'),
            (dict(auxiliary=[TACO], head=dict(condition=dict(
                type='VideoPrompts')), backbone=dict(
                    type='XCLIPBackbone', arch=tiny_arch(), num_frames=T)),
             'METHOD=xclip')):
        with pytest.raises(ValueError, match=words):
            MODELS.build(model_cfg(**change))
    deeper = tiny_arch(vision_cfg=dict(layers=3))
    for teacher, words in (
            (dict(pretrained=None), 'PRETRAINED'),
            (dict(arch=deeper), 'clip.pth does not fit'),
            (dict(arch=tiny_arch(text_cfg=dict(context_length=30))),
             'text tower of CLIPTeacher')):
        aux = froster(clip_file)
        aux['teacher'].update(teacher)
        model = build(aux)
        with pytest.raises((UserError, ValueError), match=words):
            model.auxiliary.prepare(model)
    torch.manual_seed(0)
    torch.save(build_model(backbone=dict(
        type='CLIPVisionBackbone', arch=deeper)).state_dict(),
        tmp_path / 'deeper.pth')
    aux = froster(str(tmp_path / 'deeper.pth'))
    aux['teacher'].update(arch=deeper)
    model = build(aux)
    with pytest.raises(UserError, match='image tower of CLIPTeacher'):
        model.auxiliary.prepare(model)
    model = build(froster(clip_file), tune='text', backbone=dict(
        type='FrameEmbeddings', arch=tiny_arch(), cache=str(tmp_path)))
    with pytest.raises(UserError, match='without the cache'):
        model.auxiliary.prepare(model)
