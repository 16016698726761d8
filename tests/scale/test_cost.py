"""The closed forms against the paper, torch's own counter and real steps."""
import open_clip
import pytest
import torch
from tiny import tiny_arch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from projects.vifi_clip.scale.cost import (IMAGE_B16, TEXT_B16, Machine,
                                           Tower, Work, flops, memory,
                                           seconds, tower_flops, traffic,
                                           trained_parameters)

PLAIN = dict(one_token_last=False)


def _towers():
    """OpenCLIP's own small towers with the closed form's view of them."""
    arch = tiny_arch(vision_cfg=dict(layers=3), text_cfg=dict(layers=3))
    model = open_clip.CLIP(**arch)
    image = Tower(64, 3, 17, 32, patch_inputs=3 * 8 * 8, **PLAIN)
    text = Tower(32, 3, 24, 32, table=49408, **PLAIN)
    return model, image, text


def _count(function) -> int:
    # the mathematical form is products, which every counter knows
    with FlopCounterMode(display=False) as counter, sdpa_kernel(
            SDPBackend.MATH):
        function()
    return counter.get_total_flops()


def _forward(model, kind):
    if kind == 'image':
        return model.encode_image(torch.randn(5, 3, 32, 32))
    return model.encode_text(torch.randint(1, 999, (5, 24)))


@pytest.mark.parametrize('kind', ['image', 'text'])
def test_towers_as_torch_counts_them(kind):
    model, *towers = _towers()
    tower = towers[kind == 'text']
    forward = _count(lambda: _forward(model, kind))
    assert 5 * tower.flops == pytest.approx(forward, rel=0.01)
    both = _count(lambda: _forward(model, kind).sum().backward())
    assert 5 * tower_flops(tower, True, False, False) == pytest.approx(
        both, rel=0.01)


def test_frozen_weights_under_prompts():
    model, image, _ = _towers()
    model.requires_grad_(False)
    model.visual.class_embedding.requires_grad_(True)  # as prompts do
    both = _count(lambda: _forward(model, 'image').sum().backward())
    assert 5 * tower_flops(image, True, True, False) == pytest.approx(
        both, rel=0.01)


def test_parameters_as_built():
    model, image, text = _towers()
    assert image.parameters == sum(
        p.numel() for p in model.visual.parameters())
    names = [n for n, _ in model.named_parameters()]
    built = sum(p.numel() for n, p in model.named_parameters()
                if not n.startswith('visual') and n != 'logit_scale'
                and 'token_embedding' not in n)
    assert names and text.parameters == built


def test_figures_of_the_paper():
    image = Tower(768, 12, 197, 512, patch_inputs=768, **PLAIN)
    text = Tower(512, 12, 77, 512, **PLAIN)
    work = Work(frames=16, classes=400, cached=False, image=image, text=text)
    parts = flops(work)
    assert parts['image'] / 1e9 == pytest.approx(562, rel=0.002)
    assert parts['text'] / 1e9 == pytest.approx(2384, rel=0.002)
    # Table 6 counts multiplications alone
    assert parts['image'] / 2e9 == pytest.approx(281, rel=0.002)


def test_last_block_of_one_token():
    plain = Tower(768, 12, 197, 512, patch_inputs=768, **PLAIN)
    # queries, projection and MLP are 20 of a block's 24 W^2
    saved = 196 * 768**2 * 20 + 4 * 197 * 196 * 768
    assert plain.flops - IMAGE_B16.flops == saved


def test_what_trains_decides():
    base = dict(frames=8, classes=400, tokens=14)
    both, image, text = (flops(Work(tune=t, **base))
                         for t in ('both', 'image', 'text'))
    assert image['text'] == 0 and image['image'] == both['image']
    # forward alone, and with both gradients; pixels need none
    patches = 8 * IMAGE_B16.patch_flops
    assert both['image'] == pytest.approx(3 * text['image'] - patches)
    assert text['text'] == both['text'] > 0
    once = flops(Work(tune='both', accumulation=8, text_once=True, **base))
    assert once['text'] == pytest.approx(both['text'] / 8)


def test_memory_of_chunked_classes_does_not_grow():
    small, large = (
        memory(Work(tune='both', classes=n, class_chunk=500))['activations']
        for n in (4000, 40000))
    assert small == large
    assert memory(Work(tune='both', classes=40000))['activations'] > 5 * large


def test_adam_and_shards():
    work = Work(tune='both', processes=4, strategy='fsdp')
    weights = IMAGE_B16.parameters + TEXT_B16.parameters
    assert trained_parameters(work) == weights
    parts = memory(work)
    assert parts['optimizer'] == 8 * weights / 4
    assert parts['gradients'] == 4 * weights / 4
    # DDP: the buckets hold the gradients once more
    assert memory(Work(tune='both', processes=4))['gradients'] == 8 * weights


def test_traffic():
    ring = 2 * 3 / 4 * 4 * (IMAGE_B16.parameters + TEXT_B16.parameters)
    ddp = Work(tune='both', processes=4, accumulation=16)
    assert traffic(ddp) == ring
    assert traffic(Work(tune='both', processes=1)) == 0
    sharded = Work(tune='both', processes=4, accumulation=16, strategy='fsdp')
    assert traffic(sharded) > 16 * ring
    slow = seconds(ddp, Machine(1e12, 1e9)) - seconds(ddp, Machine(1e12))
    assert slow == pytest.approx(ring / 1e9)


@pytest.mark.parametrize('bad', [
    dict(tune='all'), dict(frames=0), dict(strategy='zero'),
    dict(processes=0)])
def test_bad_settings(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Work(**bad)
