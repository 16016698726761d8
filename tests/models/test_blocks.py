"""The fused block against OpenCLIP's own."""
import copy

import pytest
import torch
from open_clip.transformer import (LayerNorm, QuickGELU,
                                   ResidualAttentionBlock)
from projects.vifi_clip.models.blocks import (FusedBlock, fuse_blocks,
                                              run_blocks)
from projects.vifi_clip.models.towers import build_vision_tower
from tiny import tiny_arch
from torch import nn
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode


def _pair(act=QuickGELU, ls=None):
    torch.manual_seed(0)
    plain = ResidualAttentionBlock(
        32, 4, ls_init_value=ls, act_layer=act, norm_layer=LayerNorm)
    for param in plain.parameters():
        nn.init.normal_(param, std=0.3)
    return plain, fuse_blocks(copy.deepcopy(plain))


def _mask(length):
    return torch.full((length, length), float('-inf')).triu(1)


@pytest.mark.parametrize('act', [QuickGELU, nn.GELU])
@pytest.mark.parametrize('ls', [None, 0.5])
@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize('only', [False, True])
def test_output_and_gradients_equal_openclips(act, ls, causal, only):
    plain, fused = _pair(act, ls)
    assert type(fused) is FusedBlock
    x = torch.randn(3, 7, 32)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    ends = torch.tensor([6, 0, 3]) if only else None
    expected = plain(inputs[0], attn_mask=_mask(7) if causal else None)
    if only:
        expected = expected[torch.arange(3), ends]
    got = fused(inputs[1], is_causal=causal, only=ends)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():  # sums in place, but not in the input
        again = fused(x, is_causal=causal, only=ends)
    torch.testing.assert_close(again, got)
    assert torch.equal(x, inputs[0])
    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()
    (got * weight).sum().backward()
    torch.testing.assert_close(
        inputs[1].grad, inputs[0].grad, atol=1e-4, rtol=1e-5)
    for (name, a), b in zip(plain.named_parameters(), fused.parameters()):
        torch.testing.assert_close(
            b.grad, a.grad, atol=1e-4, rtol=1e-5, msg=name)


class Doubled(nn.Linear):

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize('change', [
    lambda fused: setattr(fused.mlp.c_proj, 'forward', lambda x: x[..., :32]),
    lambda fused: fused.mlp.add_module('more', nn.Hardtanh()),
    lambda fused: setattr(fused.mlp.c_fc, '__class__', Doubled)])
def test_changed_parts_are_respected(change):
    _, fused = _pair()
    x = torch.randn(2, 5, 32)
    before = fused(x)
    change(fused)
    plain = copy.deepcopy(fused)
    plain.__class__ = ResidualAttentionBlock
    assert not torch.allclose(fused(x), before)
    torch.testing.assert_close(fused(x), plain(x))


def test_hooks_are_respected():
    _, fused = _pair()
    x, seen = torch.randn(2, 5, 32), []
    before = fused(x)
    fused.attn.register_forward_hook(lambda m, i, o: seen.append(o[0].shape))
    fused.mlp.c_fc.register_full_backward_hook(
        lambda *args: seen.append('backward'))
    output = fused(x)
    torch.testing.assert_close(output, before, atol=1e-5, rtol=1e-5)
    output.sum().backward()
    assert seen == [(2, 5, 32), 'backward']
    torch.testing.assert_close(  # cut and causal hold on that path, too
        fused(x, is_causal=True, only=torch.tensor([1, 4])),
        fused(x, attn_mask=_mask(5))[[0, 1], [1, 4]])


def test_last_block_computes_the_read_token_alone():
    blocks = build_vision_tower(tiny_arch()).transformer.resblocks
    x, only = torch.randn(2, 17, 64), torch.tensor([0, 0])
    flops = []
    for token in only, None:
        with FlopCounterMode(display=False) as counter:
            read = run_blocks(blocks, x, only=token)
        flops.append(counter.get_total_flops())
    # Of 16 tokens in 2 frames: queries, output and MLP.
    assert flops[1] - flops[0] >= 2 * 2 * 16 * 64 * 64 * (1 + 1 + 8)
    shapes = []
    blocks[-1].register_forward_hook(lambda m, i, o: shapes.append(o.shape))
    torch.testing.assert_close(
        run_blocks(blocks, x, only=only), read[:, 0], atol=1e-5, rtol=1e-5)
    assert shapes == [(2, 17, 64)]  # a hook sees every token


def test_frozen_weights_are_never_copied_for_each_sequence():
    """Under autocast, nn.MultiheadAttention's transposed tokens turn each
    product with a frozen weight into a batched one with a copy of the weight
    for each token position: 40 times slower on CPU."""
    batched = []
    for block in _pair():
        block.requires_grad_(False)
        x = torch.randn(2, 5, 32, requires_grad=True)  # as behind prompts
        with profile() as seen, torch.autocast('cpu', torch.bfloat16):
            block(x)
            with torch.inference_mode():
                block(x.detach())
        batched.append('aten::bmm' in {event.name for event in seen.events()})
    assert batched == [True, False]  # the plain one's, so that it would show
