"""benchmarks/speed.py from the command line to its files."""
import json
import os
from dataclasses import replace
from unittest import mock

import pytest
from tiny import tiny_arch

from benchmarks.report import difference, label, ratio, share, workload_table
from benchmarks.speed import main, run_workload
from benchmarks.workloads import Case, Workload

ARCH = tiny_arch(text_cfg=dict(context_length=77))


@pytest.fixture(autouse=True)
def _environment():
    """What a script sets for its process is not other tests' business."""
    with mock.patch.dict(os.environ):
        yield


def _record(subject, seconds, **kwargs):
    record = dict(
        vars(Case(subject)), name=f'{subject} fp32', workload='view',
        runs=[seconds], seconds=seconds, peak_bytes=2**30, error=None)
    record.update(kwargs)
    return record


def test_ratio_and_share():
    ours, plain = _record('vifi', 2., flop=5e12), _record('plain', 9.)
    assert ratio(ours, [ours, plain]) == 4.5
    assert ratio(ours, [ours]) is None
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


def test_difference_is_relative():
    records = [_record('vifi', 1., result=[2., 4.1]),
               _record('plain', 1., result=[2., 4.])]
    assert difference(records) == pytest.approx(0.025)
    assert difference(records[:1]) is None


@pytest.mark.slow
def test_a_subject_that_fails_stops_nobody_else():
    good = Case('vifi', frames=2, classes=5, arch=ARCH)
    bad = replace(good, work='file', subject='xclip')
    records = run_workload(Workload('w', 'title', [bad, good]), 2, 'cpu', 1)
    assert 'KeyError' in records[0]['error']
    assert records[1]['error'] is None and len(records[1]['runs']) == 2
    assert records[1]['peak_bytes'] > 100 * 2**20


@pytest.mark.slow
def test_command_line_writes_its_files(tmp_path, capsys):
    arch = tmp_path / 'arch.json'
    arch.write_text(json.dumps(ARCH))
    out = tmp_path / 'new' / 'out'
    main(['--arch', str(arch), '--quick', '--only', 'step-51c', '--out',
          str(out), '--repeats', '1', '--device', 'cpu', '--threads', '1'])
    data = json.loads((out / 'performance.json').read_text())
    assert {r['subject'] for r in data['records']} == {'vifi', 'plain'}
    for record in data['records']:
        assert record['seconds'] > 0 and record['flop'] > 0
    assert data['peaks'].keys() == {'fp32', 'bf16'}
    assert (out / 'performance.png').read_bytes()[:4] == b'\x89PNG'
    text = (out / 'performance.md').read_text()
    assert '51 classes' in text and 'Largest difference' in text
    assert 'vifi fp32: run 1' in capsys.readouterr().out


@pytest.mark.parametrize('argv, names', [
    (['--only', 'nothing'], 'nothing'), (['--video', 'no.mp4'], 'no.mp4'),
    (['--repeats', '0'], '--repeats'), (['--threads', '-1'], '--threads')])
def test_bad_input(argv, names, capsys):
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2 and names in capsys.readouterr().err


def test_list(capsys):
    main(['--list'])
    assert 'accumulate' in capsys.readouterr().out
