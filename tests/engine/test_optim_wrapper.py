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
    'bfloat16', 'torch.bfloat16', torch.bfloat16, 'float32'])
def test_matmuls_alone_run_in_the_given_dtype(dtype):
    model, x = nn.Linear(8, 4), torch.randn(5, 8)
    wrapper, before = _wrapper(model, dtype=dtype), copy.deepcopy(model)
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
        _wrapper(nn.Linear(2, 2), dtype=dtype)
