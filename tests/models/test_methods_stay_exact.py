"""With each METHOD, what saves time gives the plain result, or stands back."""
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop
from tiny import (Clips, assert_same, batches_of, count_text_runs, gradients,
                  samples, train_steps, wrapper_of)
from tiny_methods import METHODS, TOGETHER, build_method, method_settings
from torch.utils.data import DataLoader

from projects.vifi_clip.engine import EpochAccumulationHook

T, COUNTS, BATCHES = 2, 2, 4


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.fixture
def build(method):
    return lambda: build_method(method, num_frames=T)


def trained_on(model, frames):
    """Gradients of three videos, whatever templates are drawn."""
    model.train().zero_grad()
    torch.manual_seed(1)
    model.loss(frames, samples([[0], [1], [3]]))['loss_cls'].backward()
    return gradients(model)


def test_repeated_frames(method, build):
    """Where frames see each other, none is left out."""
    ours, plain = build(), build()
    plain.backbone.reuse_frames = False
    counts, embed = [], ours.backbone.embed_chunk
    ours.backbone.embed_chunk = lambda x: counts.append(len(x)) or embed(x)
    x = torch.randn(3, T, 3, 32, 32)
    x[1], x[2] = x[1, :1], x[0]  # a still picture; the same video
    assert_same(trained_on(ours, x), trained_on(plain, x), rtol=1e-4)
    assert counts == [3 * T if method in TOGETHER else T + 1]


@torch.no_grad()
@pytest.mark.parametrize('method', [*TOGETHER, 'open_vclip'])
def test_frames_of_a_view_stay_together(method):
    """Repeated frames, parts that a CPU takes, and other views change
    nothing; other frames of the view do."""
    model = build_method(method, num_frames=4).backbone
    assert_close = partial(torch.testing.assert_close, rtol=1e-4, atol=5e-5)
    x = torch.randn(12, 4, 3, 32, 32)
    x[1], x[2] = x[0, :1], x[3]  # a still picture; the same video
    together = model(x.flatten(0, 1)).unflatten(0, (12, 4))
    for view, rows in zip(x, together):
        assert_close(model(view), rows)
    assert_close(model.embed_chunk(x.flatten(0, 1)).unflatten(0, (12, 4)),
                 together)
    other = torch.cat([x[0, :1], x[5, 1:]])
    assert not torch.allclose(model(other)[0], together[0, 0], atol=1e-3)
    with pytest.raises(ValueError, match='num_frames=4'):
        model(x[0, :3])


def test_kept_classes(build):
    """Of one label set and one state of the weights, in tests."""
    model, fresh = build(), build()
    runs = count_text_runs(model)
    x = torch.randn(2, T, 3, 32, 32)

    def logits(model):
        with torch.no_grad():
            return model.cls_head(model.extract_feat(x)[0])

    first = logits(model)
    once = runs.forward
    assert torch.equal(logits(model), first) and runs.forward == once
    with torch.no_grad():
        for side in (m.cls_head.text_classifier for m in (model, fresh)):
            part = side.prompts or side.text.ln_final
            next(part.parameters()).mul_(-20)
    torch.testing.assert_close(logits(model), logits(fresh))
    assert not torch.allclose(logits(model), first, atol=1e-2)


def test_accumulation(method, build):
    """Classes are encoded once a step where they train and are those of all
    micro-batches."""
    found, runs = [], []
    for hook in False, True:
        model = build().train()
        runs.append(count_text_runs(model))
        torch.manual_seed(1)
        found.append(train_steps(model, wrapper_of(model, COUNTS, BATCHES),
                                 batches_of(BATCHES), hook))
    assert_same(*found, rtol=1e-4)
    plain, ours = (run.forward for run in runs)
    assert plain / ours == (  # 1 where text is frozen, or of one batch
        1 if method in ('actionclip', 'xclip', 'st_adapter', 'aim')
        else COUNTS)


def test_accumulation_that_is_another_training_is_said(method, build):
    said = []
    runner = SimpleNamespace(
        model=build(), train_dataloader=DataLoader(Clips(), batch_size=1),
        train_loop=EpochBasedTrainLoop.__new__(EpochBasedTrainLoop),
        logger=SimpleNamespace(info=print, warning=said.append))
    for counts in 1, 2:
        runner.optim_wrapper = wrapper_of(runner.model, counts)
        EpochAccumulationHook().before_train(runner)
    assert len(said) == (method == 'actionclip')
    assert all('accumulative_counts=2' in line for line in said)


@pytest.mark.parametrize('method', [
    m for m in METHODS if m not in ('vifi', 'lora')])
def test_deep_prompts_are_vifis(method):
    with pytest.raises(ValueError, match=f'TUNE=prompts.*METHOD={method[:1]}'):
        method_settings(method, TUNE='prompts')
