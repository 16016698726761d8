"""Hooks: one randomness, one result, whether a run was broken or not; the
precision of training and of inference: what changes, what is refused."""
import copy
import random
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmaction.registry import HOOKS, MODELS, OPTIM_WRAPPERS
from mmengine.dataset import (BaseDataset, ConcatDataset, RepeatDataset,
                              pseudo_collate)
from mmengine.hooks import EMAHook
from mmengine.logging import HistoryBuffer
from mmengine.optim import OptimWrapper, OptimWrapperDict
from tiny import (VARIANTS, Clips, assert_same, batches_of, build_model,
                  count_text_runs, model_cfg, tiny_arch, train_steps,
                  trained_model, wrapper_of)
from torch import nn
from toy_runner import ToyData, ToyMetric, ToyModel, toy_runner

from projects.vifi_clip.engine import hooks
from projects.vifi_clip.engine.precision import (InferenceBackbone,
                                                 InferenceHook,
                                                 apply_inference)
from projects.vifi_clip.errors import UserError


class EpochData(BaseDataset):
    """Two samples; remembers the epochs it was told."""

    def __init__(self, seed=None) -> None:
        self.seed, self.epochs = seed, []
        super().__init__()

    def load_data_list(self) -> list:
        return 2 * [dict(inputs=torch.ones(3), targets=torch.tensor(0.))]

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


@MODELS.register_module(force=True)
class DrawingModel(ToyModel):
    """Writes down what each generator gives in training."""

    drawn = []

    def forward(self, inputs, targets, mode='tensor', **kwargs):
        self.drawn.append(
            (random.random(), np.random.rand(), float(torch.rand(()))))
        return super().forward(inputs, targets, mode)


def draws(*args, **kwargs) -> list:
    DrawingModel.drawn.clear()
    toy_runner(*args, model=dict(type='DrawingModel'), **kwargs).train()
    return list(DrawingModel.drawn)


@pytest.mark.parametrize('wrap, parts', [
    (lambda own, other: RepeatDataset(own, 2), 1),
    (lambda own, other: ConcatDataset([own, other]), 2)
], ids=['repeat', 'concat'])
def test_wrapped_datasets_learn_the_seed_and_the_epoch(tmp_path, wrap, parts):
    runner = toy_runner(
        tmp_path, dataset=wrap(EpochData(), EpochData(seed=7)), epochs=3)
    runner.train()
    dataset = runner.train_dataloader.dataset
    found = dataset.datasets if parts == 2 else [dataset.dataset]
    assert [part.epochs for part in found] == [[0, 1, 2]] * parts
    assert [part.seed for part in found] == [0, 7][:parts]


def test_randomness_follows_from_seed_epoch_and_rank(tmp_path, monkeypatch):
    """And not from what ran before."""
    unbroken = draws(tmp_path / 'a', epochs=3)
    draws(tmp_path / 'b', epochs=1)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    resumed = draws(tmp_path / 'b', epochs=3, resume=True)
    assert resumed == unbroken[3:]
    seeded = draws(tmp_path / 'c', epochs=1, randomness=dict(seed=1))
    monkeypatch.setattr(hooks, 'get_rank', lambda: 1)
    second = draws(tmp_path / 'd', epochs=1)
    numbers = sum(unbroken + seeded + second, ())
    assert len(set(numbers)) == len(numbers) == 3 * (9 + 3 + 3)


@pytest.mark.parametrize('finished', [1, 2])
def test_a_resumed_run_knows_its_best_epoch(tmp_path, finished):
    """Stopped while it validates the best, or the one after."""
    scores = [0.5, 0.9, 0.7]
    ToyMetric.scores = [*scores[:finished], KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        toy_runner(tmp_path, epochs=3, val=True).train()
    ToyMetric.scores = scores[finished:]
    toy_runner(tmp_path, epochs=3, val=True, resume=True).train()
    assert not ToyMetric.scores
    best, = tmp_path.glob('best_*')
    assert best.name == 'best_score_epoch_2.pth'


@pytest.mark.parametrize('batch, said', [(6, True), (4, True), (3, False)])
def test_one_step_an_epoch_is_said(tmp_path, monkeypatch, batch, said):
    runner, texts = toy_runner(
        tmp_path, epochs=2, batch_size=batch, loader=dict(drop_last=True)), []
    monkeypatch.setattr(runner.logger, 'warning', texts.append)
    runner.train()
    assert any('one optimizer step: 2 epochs are 2 steps' in text
               for text in texts) == said


class BadData(ToyData):
    """Six samples of which some are bad."""

    ann_file = 'train.txt'

    def __init__(self, names, max_bad_ratio=0.5) -> None:
        super().__init__()
        self.bad_videos, self.max_bad_ratio = names, max_bad_ratio


def test_bad_videos_of_all_processes_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, 'all_gather_object',
                        lambda names: [names, ['a.mp4', 'z.mp4']])
    runner, texts = toy_runner(tmp_path, BadData(['a.mp4']), epochs=1), []
    monkeypatch.setattr(runner.logger, 'warning', texts.append)
    runner.train()
    assert '2 of 6' in texts[0] and 'a.mp4, z.mp4' in texts[0]
    with pytest.raises(RuntimeError, match='train.txt.*z.mp4'):
        toy_runner(tmp_path, BadData(['a.mp4'], 0.2), epochs=1).train()


def test_a_resumed_run_goes_on_and_runs_no_config(tmp_path):
    runner = toy_runner(tmp_path, epochs=2)
    runner.train()
    live = runner.message_hub.log_scalars['train/loss']
    # saving left it as it was
    assert type(live) is HistoryBuffer and len(live.data[0]) == 6
    path = tmp_path / 'epoch_2.pth'
    content = torch.load(path, weights_only=True)
    content['meta']['config'] = (
        f'import os\nos.mkdir({str(tmp_path / "ran")!r})\n')
    torch.save(content, path)
    resumed = toy_runner(tmp_path, epochs=3, resume=True)
    resumed.train()
    again = resumed.message_hub.log_scalars['train/loss']
    for new, old in zip(again.data, live.data):
        assert new.dtype == old.dtype and np.array_equal(new[:6], old)
        assert len(new) == 9
    assert again.max_length == live.max_length
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('variant, num, counts', [
    *[(variant, 6, 4) for variant in VARIANTS], ('both', 5, 4),
    ('both', 3, 1)])
def test_gradients_equal_the_plain_ones(variant, num, counts):
    """Also where an epoch ends before a step is full. The text side runs once
    a step, and in the plain way once a micro-batch."""
    plain, model = (trained_model(**VARIANTS[variant]) for _ in range(2))
    runs = [count_text_runs(m) for m in (plain, model)]
    batches, steps = batches_of(num), -(-num // counts)
    torch.manual_seed(1)
    expected = train_steps(plain, wrapper_of(plain, counts, num), batches,
                           False)
    torch.manual_seed(1)
    gradients = train_steps(model, wrapper_of(model, counts, num), batches)
    assert len(expected) == steps
    assert_same(gradients, expected)
    torch.testing.assert_close(model.state_dict(), plain.state_dict(),
                               rtol=1e-4, atol=1e-6)
    # Chunks and a teacher have runs of their own, frozen text one at all, and
    # prompts of a video one for each.
    if variant not in ('chunks', 'auxiliary', 'STAdapterBackbone',
                       'AIMBackbone', 'video_prompts'):
        assert [(r.forward, r.backward) for r in runs] == [
            (num, num), (steps, steps)]


def test_autocast():
    """bfloat16 rounds; it does so no worse than the plain way. All gradients
    together: each one alone is a matter of chance."""

    def gradients(kind, hook):
        model = trained_model()
        grads, = train_steps(model, wrapper_of(model, 4, type=kind),
                             batches_of(4), hook)
        return torch.cat([grad.flatten() for grad in grads.values()])

    exact = gradients('OptimWrapper', False)
    plain, accumulated = (gradients('AutocastOptimWrapper', hook)
                          for hook in (False, True))
    error = (plain - exact).norm()
    assert 1e-3 * exact.norm() < error < .1 * exact.norm()
    assert (accumulated - exact).norm() < 1.5 * error


@pytest.mark.parametrize('kind, kept', [
    (OptimWrapper, True),
    (type('OwnRules', (OptimWrapper, ), dict(
        should_sync=lambda self: True)), False),
    (lambda *args, **kwargs: OptimWrapperDict(
        a=OptimWrapper(*args, **kwargs)), False)])
def test_wrappers_with_rules_of_their_own_are_left_alone(kind, kept):
    model = trained_model()
    classifier = model.cls_head.text_classifier
    wrapper = kind(torch.optim.SGD(model.parameters(), lr=0.1),
                   accumulative_counts=4)
    for trained in nn.Linear(2, 2), model:  # nothing to tell of the first
        HOOKS.build(dict(type='TextAccumulationHook')).before_train_iter(
            SimpleNamespace(model=trained, optim_wrapper=wrapper), 0)
    assert (classifier() is classifier()) == kept  # a leaf


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
