"""Autocast, weights and accumulation of AutocastOptimWrapper, on CPU."""
import copy

import pytest
import torch
from mmaction.registry import OPTIM_WRAPPERS
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


@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=0.1)])
def test_accumulation_equals_one_big_batch(clip_grad):
    model, x = nn.Linear(8, 1), torch.randn(12, 8)
    big = copy.deepcopy(model)
    wrappers = [
        _wrapper(m, dtype='float32', clip_grad=clip_grad,
                 accumulative_counts=count) for m, count in [(model, 3),
                                                             (big, 1)]
    ]
    for wrapper, m, size in zip(wrappers, (model, big), (4, 12)):
        for batch in x.split(size):
            start = m.weight.detach().clone()
            with wrapper.optim_context(m):
                loss = (m(batch) - 1).square().mean()
            wrapper.update_params(loss)
    # the last of the three moved the weights, the others did not
    assert not torch.equal(start, big.weight)
    torch.testing.assert_close(model.weight, big.weight)
    torch.testing.assert_close(model.bias, big.bias)


def test_weights_rest_until_the_last_micro_batch():
    model = nn.Linear(8, 1)
    wrapper = _wrapper(model, dtype='float32', accumulative_counts=3)
    before = model.weight.detach().clone()
    for i in range(3):
        assert torch.equal(model.weight, before), i
        with wrapper.optim_context(model):
            loss = model(torch.randn(2, 8)).mean()
        wrapper.update_params(loss)
    assert not torch.equal(model.weight, before)


@pytest.mark.parametrize('dtype', ['float16', torch.float16, 'fp32', 'int8'])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match="bfloat16.*float32.*got"):
        _wrapper(nn.Linear(2, 2), dtype=dtype)
