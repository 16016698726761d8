"""tools/benchmark.py from the command line to its files."""
import json
import os
from dataclasses import replace

import pytest
from benchmarks.run import main
from benchmarks.cases import Case, Workload
from benchmarks.execute import run_workload
from benchmarks.points import points
from benchmarks.tables import (difference, label, ratio, report, share,
                               workload_table)
from tiny import tiny_arch

ARCH = tiny_arch(text_cfg=dict(context_length=77))


@pytest.fixture(autouse=True)
def _environment():
    """What a tool sets for its process is not other tests' business."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


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
        Workload('view', 'one view'), [ours, failed], dict(bf16=5e12))
    assert '50%' in table and 'not measured: killed' in table


def test_difference_is_relative():
    records = [_record('vifi', 1., result=[2., 4.1]),
               _record('plain', 1., result=[2., 4.])]
    assert difference(records) == pytest.approx(0.025)
    assert difference(records[:1]) is None


@pytest.mark.parametrize('apart', [False, True])
def test_a_subject_that_fails_stops_nobody_else(apart):
    good = Case('vifi', frames=2, classes=5, arch=ARCH)
    bad = replace(good, work='file', subject='xclip')
    said = []
    workload = Workload('w', 'title', [bad, good], apart)
    records = run_workload(workload, 'cpu', 1, 2, said.append)
    assert 'KeyError' in records[0]['error']
    assert records[1]['error'] is None and len(records[1]['runs']) == 2
    assert records[1]['peak_bytes'] > 100 * 2**20
    text = report(dict(cpu='x'), dict(fp32=1e9), [workload], records)
    assert 'not measured' in text


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


@pytest.mark.parametrize('argv,words', [
    (['--only', 'nothing'], 'no workload'),
    (['--arch', 'ViT-Z'], 'Unknown arch'),
    (['--video', 'no.mp4'], 'no such file'),
])
def test_bad_input(argv, words):
    with pytest.raises(Exception, match=words):
        main(argv)


@pytest.mark.parametrize('argv', [['--repeats', '0'], ['--threads', '-1']])
def test_bad_numbers(argv):
    with pytest.raises(SystemExit):
        main(argv)


def test_list(capsys):
    main(['--list'])
    assert 'accumulate' in capsys.readouterr().out


def test_points_for_the_model_on_paper():
    cases = [Case('vifi', 'step', accumulate=4), Case('plain'),
             Case('vifi', precision='bf16'), Case('vifi', arch=ARCH),
             Case('vifi', classes=51)]
    records = [dict(seconds=8., peak_bytes=2**30) for _ in cases]
    step, view = points(records, cases)
    assert step['seconds'] == 2 and step['tune'] == 'both'
    assert step['class_chunk'] == 0
    many, = points(records[:1], [Case('vifi', 'step', classes=4000)])
    assert many['class_chunk'] == pytest.approx(
        16384 / 4 / many['tokens'], rel=0.06)
    assert (view['workload'], view['tune']) == ('eval_view', 'none')
    assert 8 <= step['tokens'] <= 12  # 'a photo of a abseiling.'
    assert label(dict(vars(cases[4]), name='x'), [
        dict(vars(c), name='x') for c in (cases[1], cases[4])]) == (
            'x, 51 classes')
