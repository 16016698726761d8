"""Repeated frames are encoded once, and nothing changes."""
import pytest
import torch
from mmaction.registry import MODELS
from projects.vifi_clip.models.image_backbone import unique_frames
from tiny import tiny_arch


def _backbone(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(
        dict(type='CLIPVisionBackbone', arch=tiny_arch()), **kwargs))


def _count(backbone):
    """Frames of each pass through the tower (a hook would be respected)."""
    counts, embed = [], backbone.embed_chunk
    backbone.embed_chunk = lambda x: counts.append(len(x)) or embed(x)
    return counts


def test_repeats_anywhere_and_one_pixel_that_differs():
    a, b, c = torch.randn(3, 3, 40, 40)
    near = a.clone()
    near[2, 39, 38] += 1e-6  # in none of the sampled places
    x = torch.stack([a, b, a, c, b, a, near, near])
    frames, rows = unique_frames(x)
    # the last two are alike, but not like their group's first
    assert len(frames) == 5 and torch.equal(frames[rows], x)
    x = torch.zeros(2, 3, 40, 40)
    x[1, 0, 0, 0] = float('nan')
    frames, rows = unique_frames(x)
    assert frames is x and rows is None


@pytest.mark.parametrize('prompts', [None, dict(length=2, depth=2)])
def test_gradients_of_repeated_frames_add_up(prompts):
    kwargs = dict(type='VLDeepPromptBackbone', prompts=prompts)
    ours, plain = _backbone(**kwargs), _backbone(**kwargs, reuse_frames=False)
    plain.load_state_dict(ours.state_dict())
    counts = _count(ours)
    x = torch.randn(2, 3, 32, 32)[[0, 0, 1, 0]]
    weight = torch.randn(4, 32)
    (ours(x) * weight).sum().backward()
    (plain(x) * weight).sum().backward()
    assert counts == [2]
    torch.testing.assert_close(ours(x), plain(x), atol=1e-5, rtol=1e-5)
    for a, b in zip(ours.parameters(), plain.parameters()):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('vision_cfg', [
    dict(patch_dropout=0.5),  # chance
    dict(layers=(1, 1, 1, 1), width=8)])  # batch norm sees the whole batch
def test_not_where_frames_depend_on_each_other_or_on_chance(vision_cfg):
    backbone = _backbone(arch=tiny_arch(vision_cfg=vision_cfg))
    counts, x = _count(backbone), torch.ones(4, 3, 32, 32)
    backbone.train()(x)
    backbone.eval()(x)
    assert counts == [4, 1]


def test_many_frames_are_embedded_in_parts_without_gradient():
    backbone, x = _backbone().eval(), torch.randn(37, 3, 32, 32)
    counts = _count(backbone)
    with torch.no_grad():
        parts = backbone(x)
    torch.testing.assert_close(parts, backbone(x), atol=1e-5, rtol=1e-5)
    # A hook sees all at once: FSDP's count the calls in all processes.
    backbone.visual.transformer.resblocks[0].register_forward_hook(
        lambda *args: None)
    with torch.no_grad():
        backbone(x)
    assert counts == [16, 16, 5, 37, 37]


def test_gradients_of_pixels_are_each_frames_own():
    backbone = _backbone().eval()
    x = torch.zeros(4, 3, 32, 32, requires_grad=True)
    backbone(x)[:, 0].sum().backward()
    norms = x.grad.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, norms[:1].expand(4))
    assert norms[0] > 0


def test_tracing_and_export():
    backbone, y = _backbone().eval(), torch.randn(3, 3, 32, 32)
    x = torch.zeros_like(y)  # equal frames, when traced
    for other in (torch.jit.trace(backbone, x, check_trace=False),
                  torch.export.export(backbone, (x, )).module()):
        torch.testing.assert_close(other(y), backbone(y), atol=1e-5, rtol=1e-5)
