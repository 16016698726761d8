"""Every subject does its work, and ours gives the plain result."""
import itertools
from dataclasses import replace

import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock
from tiny import tiny_arch

from benchmarks.plain import PlainViFiCLIP
from benchmarks.subjects import build, build_recognizer, frames_of
from benchmarks.workloads import Case, all_workloads, class_names, flop_of
from projects.vifi_clip.models.blocks import FusedBlock

ARCH = tiny_arch(text_cfg=dict(context_length=77))


def _case(subject, **kwargs):
    return Case(subject, arch=ARCH, **{'frames': 2, 'classes': 5, **kwargs})


@pytest.mark.parametrize('subject, precision', [
    *itertools.product(['vifi', 'encoder'], ['fp32', 'bf16', 'pure-bf16']),
    *itertools.product(['plain', 'mmaction2'], ['fp32', 'bf16']),
    pytest.param('xclip', 'bf16', marks=pytest.mark.slow)])
def test_views(subject, precision):
    case = _case(subject, precision=precision, batch=3)
    scores = build(case, 'cpu')()
    if subject == 'encoder':
        assert scores.shape == (6, 32)
        return
    assert scores.shape == (3, 5)
    torch.testing.assert_close(
        scores.float().sum(1), torch.ones(3), atol=2e-2, rtol=0)


def test_plain_is_openclips_and_equals_ours():
    case = _case('vifi', batch=2)
    model = build_recognizer(case, 'cpu').eval()
    plain = PlainViFiCLIP(model, 2).eval()
    kinds = {type(m) for m in plain.modules()}
    assert ResidualAttentionBlock in kinds and FusedBlock not in kinds
    assert plain.tokens.shape == (5, 77)
    expected = plain(frames_of(case))
    torch.testing.assert_close(
        build(case, 'cpu')(), expected, atol=1e-5, rtol=1e-5)
    # not because all scores are alike
    assert (expected - expected.mean(1, keepdim=True)).abs().max() > 1e-3


@pytest.mark.parametrize('tune, accumulate', [
    ('both', 1), ('image', 3), ('text', 3)])
def test_first_loss_of_a_step_equals_the_plain_one(tune, accumulate):
    kwargs = dict(work='step', tune=tune, accumulate=accumulate)
    ours = build(_case('vifi', **kwargs), 'cpu')
    plain = build(_case('plain', **kwargs), 'cpu')
    losses = [(float(ours()), float(plain())) for _ in range(3)]
    for a, b in losses:
        assert a == pytest.approx(b, abs=1e-5)
    assert len({round(a, 7) for a, _ in losses}) > 1  # it trains


def test_a_file(tmp_path, monkeypatch):
    """Read at its real size, the plain result is ours."""
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    arch = tiny_arch(
        vision_cfg=dict(image_size=224, patch_size=56),
        text_cfg=dict(context_length=77))
    ours, plain = (build(Case(subject, 'file', frames=2, classes=5, arch=arch),
                         'cpu')() for subject in ('vifi', 'plain'))
    assert ours.shape == (1, 5)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-4)


def test_operations_are_the_papers():
    """562 and 2,384 GFLOP, 2 for each multiply-add."""
    encoder, plain = flop_of(Case('encoder')), flop_of(Case('plain'))
    assert encoder / 1e9 == pytest.approx(562, abs=0.5)
    assert (plain - encoder) / 1e9 == pytest.approx(2384, abs=0.5)


def test_operations_of_files_and_steps():
    encoder, plain = flop_of(_case('encoder')), flop_of(_case('plain'))
    assert flop_of(_case('vifi')) == encoder
    assert flop_of(_case('vifi', work='file')) == 12 * encoder
    assert flop_of(_case('plain', work='step')) == 3 * plain
    text = flop_of(_case('vifi', work='step')) - 3 * encoder
    share = text / (3 * (plain - encoder))  # of 77 tokens
    assert 6 / 77 < share < 13 / 77
    eight = _case('vifi', work='step', accumulate=8)
    assert flop_of(eight) == text + 24 * encoder
    assert flop_of(replace(eight, tune='image')) == 24 * encoder


@pytest.mark.parametrize('quick', [False, True])
def test_workloads_have_names_and_a_case_of_ours(quick):
    workloads = all_workloads('ViT-B-16-quickgelu', quick)
    assert len({w.key for w in workloads}) == len(workloads)
    for workload in workloads:
        assert workload.cases[0].subject == 'vifi'
        assert len(set(map(repr, workload.cases))) == len(workload.cases)
    assert [len(set(class_names(n))) for n in (51, 1000)] == [51, 1000]
