"""Cells from records of runs."""
import json
import statistics

import pytest
from matrix_world import write_record

from projects.vifi_clip.matrix.layout import Layout
from projects.vifi_clip.matrix.results import Result, fill
from projects.vifi_clip.matrix.runs import Cell, Run, Table

RUNS = [Run(f'few/seed{seed}', 'vifi_few_shot',
            dict(DATASET='ucf101', SHOTS='4', SEED=str(seed), TUNE='both'))
        for seed in (1, 2, 3)]
NAMES = tuple(run.name for run in RUNS)


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / 'runs'))


def _fill(layout, **cell):
    cell = dict(dict(row='ours', column='K=4', runs=NAMES,
                     metric='acc/top1'), **cell)
    table = Table('3', 'Few-shot', (Cell(**cell), ), tuple(RUNS))
    result, = fill(table, {run.name: run for run in RUNS}, layout)
    return result


def test_mean_and_sample_deviation(layout):
    for run, value in zip(RUNS, (0.41, 0.45, 0.46)):
        write_record(layout, run, {'acc/top1': value})
    result = _fill(layout, paper=43.)
    assert result.mean == pytest.approx(44.)
    # deviations -3, 1, 2: (9 + 1 + 4) / 2 = 7
    assert result.std == pytest.approx(7**0.5)
    assert result.difference == pytest.approx(1.)
    assert result.text() == '44.0 ± 2.6 (paper 43.0, +1.0)'


def test_some_runs_are_missing(layout):
    for run, value in zip(RUNS[1:], (0.40, 0.44)):
        write_record(layout, run, {'acc/top1': value})
    result = _fill(layout, paper=(45., 0.3))
    assert result.values == pytest.approx((40., 44.))
    assert result.std == pytest.approx(8**0.5)
    assert result.text() == (
        '42.0 ± 2.8 (2 of 3 runs, paper 45.0 ± 0.3, -3.0)')


def test_a_single_run_has_no_deviation(layout):
    write_record(layout, RUNS[0], {'acc/top1': 0.4})
    assert _fill(layout).std is None
    assert _fill(layout).text() == '40.0 (1 of 3 runs)'


def test_nothing_was_run(layout):
    result = _fill(layout, paper=(45., 0.3))
    assert (result.mean, result.std, result.difference) == (None, ) * 3
    assert result.text() == 'not run (paper 45.0 ± 0.3)'
    assert _fill(layout).text() == 'not run'


def test_spread_within_one_run(layout):
    """Over the official splits, in Table 1."""
    write_record(layout, RUNS[0],
                 {'ucf/top1_mean': .768, 'ucf/top1_std': .007})
    result = _fill(layout, runs=NAMES[:1], metric='ucf/top1_mean',
                   std='ucf/top1_std', paper=(76.8, 0.7))
    assert result.std == pytest.approx(0.7)
    assert result.text() == '76.8 ± 0.7 (paper 76.8 ± 0.7, +0.0)'


def test_zero_is_a_result(layout):
    write_record(layout, RUNS[0], {'acc/top1': 0.})
    result = _fill(layout, runs=NAMES[:1], paper=2.7)
    assert result.text() == '0.0 (paper 2.7, -2.7)'


def test_metrics_that_are_percent(layout):
    write_record(layout, RUNS[0], {'retrieval/R1': 44.8})
    result = _fill(layout, runs=NAMES[:1], metric='retrieval/R1', scale=1.)
    assert result.mean == 44.8


def test_missing_metric(layout):
    path = write_record(layout, RUNS[1], {'acc/top5': .9})
    with pytest.raises(ValueError, match=r"few/seed2 have no 'acc/top1', only "
                       r"\['acc/top5'\]; remove"):
        _fill(layout)
    path.unlink()
    assert _fill(layout).values == ()


@pytest.mark.parametrize('knob, value', [
    ('SHOTS', '8'), ('DATASET', 'hmdb51'), ('TUNE', 'image'),
    ('NUM_FRAMES', '16'), ('PIXELS', 'clip'), ('FUSION', 'decision')])
def test_records_of_other_settings_do_not_count(layout, knob, value):
    path = write_record(layout, RUNS[0], {'acc/top1': .4})
    record = json.loads(path.read_text())
    assert record['knobs'][knob] != value
    record['knobs'][knob] = value
    path.write_text(json.dumps(record))
    assert _fill(layout).values == ()


def test_environment_says_which_settings_are_meant(layout, monkeypatch):
    monkeypatch.setenv('NUM_FRAMES', '16')
    write_record(layout, RUNS[0], {'acc/top1': .4})
    assert _fill(layout).values == (40., )
    monkeypatch.delenv('NUM_FRAMES')
    assert _fill(layout).values == ()


def test_places_do_not_matter(layout, monkeypatch):
    monkeypatch.setenv('DATA_ROOT', '/here')
    monkeypatch.setenv('PRETRAINED', '/here/clip.pt')
    write_record(layout, RUNS[0], {'acc/top1': .4})
    monkeypatch.setenv('DATA_ROOT', '/there')
    monkeypatch.delenv('PRETRAINED')
    assert _fill(layout).values == (40., )


@pytest.mark.parametrize('text', [
    '{"knobs": ', '[]', '{}', '', '{"knobs": null, "metrics": {}}',
    '{"knobs": {}, "metrics": {"acc/top1": NaN}}',
    '{"knobs": {}, "metrics": {"acc/top1": "much"}}'])
def test_damaged_record(layout, text, capsys):
    """It stops no other run, and is told once."""
    write_record(layout, RUNS[0], {'acc/top1': .4}).write_text(text)
    assert _fill(layout).values == () == _fill(layout).values
    assert capsys.readouterr().err.count(
        'seed1/metrics.json is not what') == 1


@pytest.mark.parametrize('change', [
    dict(single_view=True), dict(config='vifi_k400.py')])
def test_record_of_another_test(layout, change):
    path = write_record(layout, RUNS[0], {'acc/top1': .4})
    assert _fill(layout).values == (40., )
    path.write_text(json.dumps(dict(json.loads(path.read_text()), **change)))
    assert _fill(layout).values == ()


def test_deviation_is_that_of_statistics():
    values = (61.2, 64.7, 60.3)
    cell = Cell('r', 'c', ('a', 'b', 'c'), 'm')
    assert Result(cell, values, spread=9.).std == statistics.stdev(values)
