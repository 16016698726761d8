"""Every subject of speed.py does its work, and ours gives the plain result;
speed.py and decode.py from the command line to their files."""
import itertools
import json
import os
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from helpers import read_index, write_mp4
from open_clip.transformer import ResidualAttentionBlock
from tiny import tiny_arch

from benchmarks import decode, packing, report, speed
from benchmarks.report import difference, picture_label, ratio, share
from benchmarks.subjects import (PlainViFiCLIP, build, build_recognizer,
                                 frames_of)
from benchmarks.workloads import (Case, Workload, all_workloads, class_names,
                                  flop_of)
from projects.vifi_clip.models.blocks import FusedBlock

ARCH = tiny_arch(text_cfg=dict(context_length=77))


def _case(subject, **kwargs):
    return Case(subject, arch=ARCH, **{'frames': 2, 'classes': 5, **kwargs})


@pytest.mark.parametrize('method', ['actionclip', 'xclip', 'a5'])
def test_methods(method):
    """They are built with their own parts; a step is taken."""
    arch = dict(ARCH, embed_dim=64)
    case = _case('vifi', method=method, tune=None, batch=2)
    case = replace(case, arch=arch)
    assert case.name == f'METHOD={method} fp32' and flop_of(case) is None
    head = build_recognizer(case, 'cpu').cls_head
    assert head.temporal is not None
    scores = build(case, 'cpu')()
    torch.testing.assert_close(scores.sum(1), torch.ones(2))
    step = build(replace(case, work='step'), 'cpu')
    assert len({float(step()) for _ in range(2)}) == 2


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


# speed.py


@pytest.fixture(autouse=True)
def _environment():
    """What a script sets for its process is not other tests' business."""
    with mock.patch.dict(os.environ):
        yield


def _record(subject, seconds, **kwargs):
    return {**vars(Case(subject)), **dict(
        name=f'{subject} fp32', workload='view', runs=[seconds],
        seconds=seconds, peak_bytes=2**30, error=None), **kwargs}


def test_figures_of_a_table():
    ours = _record('vifi', 2., flop=5e12, result=[2., 4.1])
    plain = _record('plain', 9., result=[2., 4.])
    assert ratio(ours, [ours, plain]) == 4.5
    assert ratio(plain, [ours, plain], 'vifi fp32') == 2 / 9
    assert difference([ours, plain]) == pytest.approx(0.025)
    assert ratio(ours, [ours]) is difference([ours]) is None
    assert share(ours, dict(fp32=1e13)) == 0.25
    ours['precision'] = 'pure-bf16'
    assert share(ours, dict(fp32=1e13, bf16=5e12)) == 0.5


@pytest.mark.slow
def test_command_line_writes_its_files(tmp_path, monkeypatch):
    """A subject that fails stops nobody else."""
    step = Case('vifi', 'step', frames=2, classes=5, arch=ARCH)
    monkeypatch.setattr(speed, 'all_workloads', lambda arch, quick: [Workload(
        'w', 'a step, 5 classes', [step, replace(step, subject='plain'),
                                   replace(step, subject='xclip')])])
    monkeypatch.setitem(speed._SIZES, 'cpu', [(64, 64, 64)])
    out = tmp_path / 'new' / 'out'
    speed.main(['--quick', '--only', 'w', '--out', str(out), '--repeats', '2',
                '--device', 'cpu', '--threads', '1'])
    data = json.loads((out / 'performance.json').read_text())
    *records, failed = data['records']
    assert [r['subject'] for r in records] == ['vifi', 'plain']
    for record in records:
        assert len(record['runs']) == 2 and min(record['runs']) > 0
        assert record['error'] is None and record['flop'] > 0
        assert record['peak_bytes'] > 100 * 2**20
    assert 'KeyError' in failed['error'] and not failed['runs']
    assert data['peaks'].keys() == {'fp32', 'bf16'}
    assert (out / 'performance.png').read_bytes()[:4] == b'\x89PNG'
    assert '5 classes' in (out / 'performance.md').read_text()


def test_the_picture_says_all_in_words_and_within_its_frame():
    folder = Path(__file__).parents[2] / 'docs'
    records = json.loads((folder / 'performance.json').read_text())['records']
    panels = [(workload, own) for workload in all_workloads('ViT-B-16')
              if (own := [r for r in records
                          if r['workload'] == workload.key and r['seconds']])]
    names = [picture_label(r, own) for _, own in panels for r in own]
    assert 'this package, bf16 weights' in names
    assert not [n for n in names if 'vifi' in n or 'plain' in n or '-' in
                n.replace('micro-batch', '').replace('X-CLIP', '')]
    with mock.patch.object(report.plt, 'close') as close:
        report._picture(panels)
    figure, = close.call_args.args
    for axes in figure.axes:
        for text in [axes.title, *axes.texts, *axes.get_yticklabels()]:
            box = text.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, text
    report.plt.close(figure)


# decode.py


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> Path:
    """Three clips and their list."""
    folder = tmp_path_factory.mktemp('clips')
    names = [Path(write_mp4(folder / f'clip {i}.mp4', 20 + i, (96, 64))).name
             for i in range(3)]
    (folder / 'list.txt').write_text(''.join(f'{n} 0\n' for n in names))
    return folder


@pytest.mark.parametrize('name', ['vifi', 'decord', 'pyav', 'opencv'])
def test_each_reads_the_frames_asked_for(clips, name):
    frames = decode.READERS[name](str(clips / 'clip 1.mp4'), [0, 3, 11, 20])
    assert frames.shape == (4, 64, 96, 3) and frames.dtype == np.uint8
    assert [read_index(frame) for frame in frames] == [0, 3, 11, 20]
    assert frames[0][..., 2].mean() > 100 > frames[0][..., 0].mean()  # RGB


def _raise(*_):
    raise OSError('broken\nin two lines')


def test_figures_and_readers_that_are_wrong(clips, tmp_path, monkeypatch):
    for name, shape in dict(grey=(64, 96, 3), size=(96, 64, 3)).items():
        monkeypatch.setitem(decode.READERS, name, lambda _, indices, s=shape:
                            np.zeros((len(indices), *s), np.uint8))
    monkeypatch.setitem(decode.READERS, 'broken', _raise)
    out = tmp_path / 'out.json'
    figures = decode.main([
        str(clips / 'list.txt'), '--num-frames', '4', '--repeats', '2',
        '--max-videos', '2', '--threads', '1', '--workers', '1', '--out',
        str(out)])
    assert json.loads(out.read_text()) == figures
    assert [Path(video).name for video in figures['videos']] == [
        'clip 0.mp4', 'clip 1.mp4']
    assert {'vifi', 'decord', 'pyav', 'opencv'} <= set(figures['readers'])
    assert all(0 < row['seconds'] < 60e3
               for row in figures['readers'].values())
    assert {'grey', 'size', 'broken'} <= set(figures['left_out'])
    rows = figures['rates']
    assert {'pyav', 'decord'} <= {row['reader'] for row in rows}
    assert all(row['rate'] > 0 and row['workers'] == row['threads'] == 1
               for row in rows)
    assert figures['best'] in rows


def test_the_reader_to_recommend():
    """The fastest; of equals the first, with the fewest processes."""
    def row(reader, threads, workers, rate):
        return dict(reader=reader, threads=threads, workers=workers, rate=rate)

    slow = row('pyav', 1, 1, 10)
    best = row('torchcodec', 1, 2, 20)
    assert decode.recommended([slow, best]) == best
    near = [row('torchcodec', 1, 1, 19.5), row('pyav', 2, 1, 19.2),
            row('pyav', 1, 1, 19.1)]
    assert decode.recommended([slow, best, *near]) == near[-1]


def test_ways_to_pack(clips, monkeypatch, capsys):
    monkeypatch.setattr(packing, 'WAYS', packing.WAYS[:2])
    packing.main([str(clips / 'list.txt'), '--max-videos', '2', '--repeats',
                  '1'])
    header, _, original, *ways = capsys.readouterr().out.splitlines()
    assert 'PSNR' in header and original.startswith('| original')
    assert [line.split()[1:6:2] for line in ways] == [
        ['1', '18', 'medium'], ['2', '18', 'medium']]


@pytest.mark.parametrize('main, args, names', [
    (speed.main, ['--only', 'nothing'], 'nothing'),
    (speed.main, ['--video', 'no.mp4'], 'no.mp4'),
    (speed.main, ['--repeats', '0'], '--repeats'),
    (decode.main, ['no.mp4'], 'no.mp4'),
    (packing.main, ['no.mp4'], 'no.mp4'),
    (decode.main, ['list.txt', '--root', '/no/such'], '/no/such')])
def test_bad_input(clips, monkeypatch, capsys, main, args, names):
    monkeypatch.chdir(clips)
    with pytest.raises(SystemExit) as end:
        main(args)
    assert end.value.code == 2 and names in capsys.readouterr().err
