"""8-bit linear layers against integers multiplied by numpy."""
import numpy as np
import pytest
import torch
from torch import nn

from projects.vifi_clip.models import int8_linear
from projects.vifi_clip.models.int8_linear import (Int8Linear, check_int8,
                                                   quantize_linears,
                                                   quantize_rows)

needs_vnni = pytest.mark.skipif(
    not torch.cpu._is_vnni_supported(), reason='CPU without VNNI')


def numpy_quantize(x):
    """Rows of float to integers in -127..127 and the size of a level."""
    level = np.abs(x).max(1, keepdims=True) / 127
    return np.rint(x / np.where(level == 0, 1, level)).astype(np.int64), level


def numpy_linear(x, weight, bias):
    """The same layer in exact integers, float64 around them."""
    x, x_level = numpy_quantize(x.astype(np.float64))
    w, w_level = numpy_quantize(weight.astype(np.float64))
    return (x @ w.T) * x_level * w_level.T + bias


def test_rows_become_integers():
    torch.manual_seed(0)
    x = torch.randn(50, 33) * torch.logspace(-6, 6, 50)[:, None]
    got, scale = quantize_rows(x)
    want, level = numpy_quantize(x.numpy())
    assert got.dtype == torch.int8
    np.testing.assert_array_equal(got.numpy(), want)
    np.testing.assert_allclose(scale.numpy(), level, rtol=1e-6)
    assert got.abs().amax(1).tolist() == [127] * 50  # the range is used


def test_rows_of_zeros_and_of_tiny_numbers():
    got, scale = quantize_rows(torch.tensor([[0., 0.], [1e-44, 0.]]))
    assert got.tolist() == [[0, 0], [0, 0]]
    assert scale.isfinite().all()


@needs_vnni
@pytest.mark.parametrize('shape', [(5, 64), (2, 7, 96), (1, 1, 32)])
@pytest.mark.parametrize('bias', [True, False])
def test_equals_integers_of_numpy(shape, bias):
    torch.manual_seed(0)
    linear = nn.Linear(shape[-1], 48, bias=bias)
    linear.weight.data *= torch.logspace(-3, 3, 48)[:, None]  # per channel
    x = torch.randn(shape) * torch.logspace(-2, 2, shape[-2])[:, None]
    got = Int8Linear(linear)(x)
    assert got.shape == (*shape[:-1], 48)
    want = numpy_linear(
        x.flatten(0, -2).numpy(), linear.weight.detach().numpy(),
        linear.bias.detach().numpy() if bias else 0)
    np.testing.assert_allclose(
        got.flatten(0, -2).numpy(), want, rtol=1e-4, atol=1e-4)


@needs_vnni
def test_sums_do_not_saturate():
    """The greatest integers, 3072 products long: 16 bits would overflow."""
    linear = nn.Linear(3072, 16, bias=False)
    linear.weight.data.fill_(1.)
    got = Int8Linear(linear)(torch.ones(2, 3072))
    torch.testing.assert_close(got, torch.full((2, 16), 3072.))
    got = Int8Linear(linear)(-torch.ones(2, 3072))
    torch.testing.assert_close(got, torch.full((2, 16), -3072.))


@needs_vnni
def test_bfloat16_in_and_out():
    torch.manual_seed(0)
    linear = nn.Linear(128, 64)
    x = torch.randn(9, 128).bfloat16()
    layer = Int8Linear(linear).to(torch.bfloat16)
    assert layer.weight_scale.dtype == torch.float32
    got = layer(x)
    assert got.dtype == torch.bfloat16
    want = numpy_linear(x.float().numpy(), linear.weight.detach().numpy(),
                        linear.bias.detach().numpy())
    # 2 ** -8 is bfloat16's rounding
    np.testing.assert_allclose(
        got.float().numpy(), want, rtol=2**-7, atol=2**-6)


@needs_vnni
def test_which_layers_are_replaced():
    model = nn.Sequential(
        nn.Linear(8, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 4)),
        nn.MultiheadAttention(4, 2, batch_first=True))
    assert quantize_linears(model) == 2
    assert isinstance(model[0], Int8Linear)
    assert isinstance(model[2][0], Int8Linear)
    assert isinstance(model[3].out_proj, nn.Linear)


def test_machine_without_vnni(monkeypatch):
    monkeypatch.setattr(int8_linear.torch.cpu, '_is_vnni_supported',
                        lambda: False)
    with pytest.raises(ValueError, match="VNNI.*'fp32' or 'bf16'"):
        check_int8()
