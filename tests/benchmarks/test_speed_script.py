"""benchmarks/speed.py from the command line to its files."""
import json
import os
from dataclasses import replace
from unittest import mock

import pytest
from tiny import tiny_arch

from benchmarks import speed
from benchmarks.report import difference, label, ratio, share, workload_table
from benchmarks.workloads import Case, Workload

ARCH = tiny_arch(text_cfg=dict(context_length=77))


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
    assert difference([ours, plain]) == pytest.approx(0.025)
    assert ratio(ours, [ours]) is difference([ours]) is None
    assert share(ours, dict(fp32=1e13)) == 0.25
    ours['precision'] = 'pure-bf16'
    assert share(ours, dict(fp32=1e13, bf16=5e12)) == 0.5
    failed = _record('plain', None, runs=[], error='killed')
    assert ratio(ours, [ours, failed]) is None
    table = workload_table(
        Workload('view', 'one view', []), [ours, failed], dict(bf16=5e12))
    assert '50%' in table and 'not measured: killed' in table
    other = _record('vifi', 1., classes=51)
    assert label(other, [ours, other]) == 'vifi fp32, 51 classes'


@pytest.mark.slow
def test_command_line_writes_its_files(tmp_path, monkeypatch, capsys):
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
    text = (out / 'performance.md').read_text()
    assert '5 classes' in text and 'Largest difference' in text
    assert 'vifi fp32: run 1' in capsys.readouterr().out


@pytest.mark.parametrize('argv, names', [
    (['--only', 'nothing'], 'nothing'), (['--video', 'no.mp4'], 'no.mp4'),
    (['--repeats', '0'], '--repeats'), (['--threads', '-1'], '--threads')])
def test_bad_input(argv, names, capsys):
    with pytest.raises(SystemExit) as end:
        speed.main(argv)
    assert end.value.code == 2 and names in capsys.readouterr().err


def test_list(capsys):
    speed.main(['--list'])
    assert 'accumulate' in capsys.readouterr().out
