"""Precision of training and of inference: what changes, what is refused."""
import copy
import shutil

import pytest
import torch
from mmaction.registry import MODELS, OPTIM_WRAPPERS
from mmengine.dataset import pseudo_collate
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapper
from tiny import Clips, build_model, model_cfg, tiny_arch
from torch import nn
from toy_runner import toy_runner

from projects.vifi_clip.engine.precision import (InferenceBackbone,
                                                 InferenceHook,
                                                 apply_inference)
from projects.vifi_clip.errors import UserError

PROMPTS = dict(length=2, depth=2)


def recognizer(**kwargs):
    torch.manual_seed(0)
    return build_model(**kwargs).eval()


@torch.no_grad()
def logits(model, videos=3):
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2 * videos, 3, 32, 32, generator=draw)
    return model.cls_head(model.backbone(x))


def relative(got, expected):
    return float((got - expected).norm() / expected.norm())


def dtypes(module) -> set:
    return {p.dtype for p in module.parameters()}


@torch.no_grad()
@pytest.mark.parametrize('settings', [
    {}, dict(precision='bf16'), dict(precision='autocast'),
    dict(text_bf16=True)], ids=str)
def test_what_each_setting_changes(settings):
    """And nothing else."""
    model, x = recognizer(prompts=PROMPTS), torch.randn(6, 3, 32, 32)
    plain, precision = copy.deepcopy(model), settings.get('precision')
    assert apply_inference(model, **settings) is model
    classes = model.cls_head.text_classifier
    parts = ((model.backbone, precision == 'bf16'),
             (classes.text, 'text_bf16' in settings))
    for part, half in parts:
        assert dtypes(part) == {torch.bfloat16 if half else torch.float32}
    assert model.cls_head.logit_scale.dtype == torch.float32
    tower, dtype = plain.backbone, dtypes(model.backbone).pop()
    with torch.autocast('cpu', torch.bfloat16, precision == 'autocast'):
        expected = copy.deepcopy(tower).to(dtype)(x.to(dtype)).float()
    assert torch.equal(model.backbone(x), expected)
    # bfloat16 keeps 8 bits: not the same, and not far
    for error, changed in (
            (relative(model.backbone(x), tower(x)), precision),
            (relative(classes(), plain.cls_head.text_classifier()),
             'text_bf16' in settings),
            (relative(logits(model), logits(plain)), settings)):
        assert 0 < error < .05 if changed else error == 0
    assert logits(model).dtype == model.backbone(x).dtype == torch.float32


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('g++'), reason='no C++ compiler')
@torch.no_grad()
def test_compiled_equals_eager_for_any_batch():
    arch = tiny_arch(vision_cfg=dict(layers=1))
    eager = MODELS.build(dict(type='CLIPVisionBackbone', arch=arch)).eval()
    model = InferenceBackbone(copy.deepcopy(eager), 'fp32', compile=True)
    for num in (6, 2, 20):  # compiled, another shape, a chunk and a rest
        frames = torch.randn(num, 3, 32, 32)
        assert relative(model(frames), eager(frames)) < 0.02


def test_compiled_for_the_first_shape_alone(monkeypatch):
    calls = []

    def fake_compile(function, dynamic, options):
        assert dynamic is False
        return lambda x: calls.append(tuple(x.shape)) or function(x)

    monkeypatch.setattr(torch, 'compile', fake_compile)
    model = apply_inference(recognizer(), compile=True)
    for videos in (3, 1, 3, 4):
        logits(model, videos)
    assert calls == [(6, 3, 32, 32)] * 2
    # A still video has equal frames; they must not change the shape.
    with torch.no_grad():
        model.backbone(torch.zeros(6, 3, 32, 32))
    assert len(calls) == 3
    model.backbone(torch.zeros(6, 3, 32, 32))  # with gradient: as it is
    assert len(calls) == 3


@pytest.mark.parametrize('setting', [
    dict(precision='fp16'), dict(compile='yes'), dict(text_bf16=1)])
def test_bad_settings(setting):
    for make in (lambda **s: apply_inference(recognizer(), **s),
                 InferenceHook):
        with pytest.raises(ValueError, match=next(iter(setting))):
            make(**setting)


def test_no_training_saving_or_second_change():
    model = recognizer()
    state = copy.deepcopy(model.state_dict())
    apply_inference(model)
    for refused in (model.train, model.state_dict,
                    lambda: model.load_state_dict(state)):
        with pytest.raises(RuntimeError):
            refused()
    with pytest.raises(ValueError, match='apply_inference'):
        apply_inference(model)
    model.eval()  # a test loop does this
    assert logits(model).isfinite().all()


def test_hook(tmp_path):
    """It changes the weights of the file, once, and neither the file nor a
    model that is trained or averaged."""
    path, pixels = tmp_path / 'a.pth', dict(mean=[127.] * 3, std=[64.] * 3)
    torch.save(recognizer().state_dict(), path)
    before = path.read_bytes()
    runner = toy_runner(
        tmp_path, Clips(), loader=dict(collate_fn=pseudo_collate),
        model=model_cfg(data_preprocessor=pixels), load_from=str(path),
        test_evaluator=dict(type='AccMetric'),
        custom_hooks=[dict(type='InferenceHook', precision='bf16')])
    with pytest.raises(UserError, match='custom_hooks'):
        runner.train()
    assert isinstance(runner.test()['acc/top1'], float)
    weight = runner.model.backbone.backbone.visual.conv1.weight
    assert torch.equal(weight, torch.load(path)[
        'backbone.visual.conv1.weight'].bfloat16())
    runner.test()  # once is enough
    assert path.read_bytes() == before
    runner.model.backbone = runner.model.backbone.backbone
    runner.register_hook(EMAHook())
    with pytest.raises(UserError, match='EMAHook'):
        runner.call_hook('before_test')


def _wrapper(model, dtype) -> OptimWrapper:
    return OPTIM_WRAPPERS.build(dict(
        type='AutocastOptimWrapper', dtype=dtype,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1)))


@pytest.mark.parametrize('dtype', [
    'bfloat16', 'torch.bfloat16', torch.bfloat16, 'float32'])
def test_matmuls_alone_run_in_the_given_dtype(dtype):
    model, x = nn.Linear(8, 4), torch.randn(5, 8)
    wrapper, before = _wrapper(model, dtype), copy.deepcopy(model)
    with wrapper.optim_context(model):
        output = model(x)
    kind = torch.float32 if dtype == 'float32' else torch.bfloat16
    assert output.dtype is kind
    assert torch.equal(output, copy.deepcopy(model).to(kind)(x.to(kind)))
    assert not torch.is_autocast_enabled('cpu')
    wrapper.backward(output.float().square().mean())
    gradient = model.weight.grad.clone()
    wrapper.step()
    assert model.weight.dtype is gradient.dtype is torch.float32
    torch.testing.assert_close(model.weight, before.weight - 0.1 * gradient)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize('dtype', ['float16', torch.float16, 'fp32', 'int8'])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match='dtype'):
        _wrapper(nn.Linear(2, 2), dtype)
