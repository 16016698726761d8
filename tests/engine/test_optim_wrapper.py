"""Autocast, weights and accumulation of AutocastOptimWrapper, on CPU."""
import copy

import pytest
import torch
from mmaction.registry import OPTIM_WRAPPERS
from mmengine.config import Config
from tools_world import REPO
from torch import nn

from projects.vifi_clip.engine import AutocastOptimWrapper


def _wrapper(model, **kwargs) -> AutocastOptimWrapper:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return OPTIM_WRAPPERS.build(
        dict(type='AutocastOptimWrapper', optimizer=optimizer, **kwargs))


@pytest.mark.parametrize('dtype', [
    'bfloat16', 'torch.bfloat16', torch.bfloat16])
def test_matmuls_run_in_bfloat16(dtype):
    model = nn.Linear(8, 4)
    wrapper, x = _wrapper(model, dtype=dtype), torch.randn(5, 8)
    with wrapper.optim_context(model):
        output = model(x)
    assert output.dtype is torch.bfloat16
    expected = torch.nn.functional.linear(
        x.bfloat16(), model.weight.bfloat16(), model.bias.bfloat16())
    assert torch.equal(output, expected)
    assert not torch.is_autocast_enabled('cpu')


def test_weights_and_gradients_stay_float32():
    model = nn.Linear(8, 4)
    before = model.weight.detach().clone()
    wrapper = _wrapper(model)
    with wrapper.optim_context(model):
        loss = model(torch.randn(5, 8)).float().square().mean()
    wrapper.backward(loss)
    gradient = model.weight.grad.clone()
    wrapper.step()
    assert model.weight.dtype is gradient.dtype is torch.float32
    torch.testing.assert_close(
        model.weight.detach(), before - 0.1 * gradient, rtol=1e-6,
        atol=1e-8)
    assert gradient.abs().sum() > 0


def test_float32_switches_autocast_off():
    model, x = nn.Linear(8, 4), torch.randn(5, 8)
    with _wrapper(model, dtype='float32').optim_context(model):
        output = model(x)
    assert torch.equal(output, model(x)) and output.dtype is torch.float32


@pytest.mark.parametrize('dtype', ['float16', torch.float16, 'fp32', 'int8'])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match='dtype'):
        _wrapper(nn.Linear(2, 2), dtype=dtype)


def _adamw(model, **kwargs) -> AutocastOptimWrapper:
    """AdamW with the settings of configs/_base_/schedule.py."""
    config = Config.fromfile(REPO / 'configs/_base_/schedule.py')
    settings = dict(config.optim_wrapper.optimizer, lr=1e-2)
    settings.update(kwargs)
    assert settings.pop('type') == 'AdamW'
    return AutocastOptimWrapper(
        dtype='float32',
        optimizer=torch.optim.AdamW(model.parameters(), **settings))


def _steps(model, wrapper, inputs) -> None:
    for x in inputs:
        wrapper.update_params((model(x) - 1).square().mean())


def _pair() -> tuple:
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 3))
    return model, copy.deepcopy(model)


def test_the_fused_optimizer_equals_the_plain_loop():
    ours, plain = _pair()
    fused = _adamw(ours)
    assert fused.optimizer.defaults['fused'] is True
    loop = _adamw(plain, fused=False, foreach=False)
    inputs = torch.randn(10, 5, 8)
    start = ours[0].weight.detach().clone()
    _steps(ours, fused, inputs)
    _steps(plain, loop, inputs)
    for a, b in zip(ours.parameters(), plain.parameters()):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    assert (ours[0].weight - start).abs().max() > 0.01
