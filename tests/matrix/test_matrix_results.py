"""Cells from records of runs."""
import json
import statistics
from pathlib import Path

import pytest
from matrix_world import write_record

from projects.vifi_clip_tools.paper.layout import Layout
from projects.vifi_clip_tools.paper.paper_tables import paper_tables
from projects.vifi_clip_tools.paper.results import Result, fill
from projects.vifi_clip_tools.paper.runs import Cell, Run, Table, by_name

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
    assert result.text() == (
        '44.0 ± 2.6 (paper 43.0, +1.0; lists not recorded)')


def test_some_runs_are_missing(layout):
    for run, value in zip(RUNS[1:], (0.40, 0.44)):
        write_record(layout, run, {'acc/top1': value})
    result = _fill(layout, paper=(45., 0.3))
    assert result.values == pytest.approx((40., 44.))
    assert result.std == pytest.approx(8**0.5)
    assert result.text() == (
        '42.0 ± 2.8 (2 of 3 runs, paper 45.0 ± 0.3, -3.0; lists not '
        'recorded)')


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
    assert result.text() == (
        '76.8 ± 0.7 (paper 76.8 ± 0.7, +0.0; lists not recorded)')


def test_zero_is_a_result(layout):
    write_record(layout, RUNS[0], {'acc/top1': 0.})
    result = _fill(layout, runs=NAMES[:1], paper=2.7)
    assert result.text() == '0.0 (paper 2.7, -2.7; lists not recorded)'


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


def test_harmonic_mean_is_of_the_means(layout):
    """Base 80, 40 and novel 40, 80: each run's HM is 53.3, that of the means
    60."""
    for run, (base, novel) in zip(RUNS, ((.8, .4), (.4, .8))):
        hm = 2 * base * novel / (base + novel)
        write_record(layout, run, {'base/acc/top1': base, 'HM/acc/top1': hm,
                                   'novel/acc/top1': novel})
    result = _fill(layout, metric='HM/acc/top1', runs=NAMES[:2])
    assert result.mean == pytest.approx(60.)
    assert result.values == pytest.approx((53.333, 53.333), abs=1e-3)
    assert result.text() == '60.0, per seed 53.3 ± 0.0'


def _entry(part, name, origin, dataset='ucf101'):
    return dict(part=part, file=name, sha256='', origin=origin,
                dataset=dataset)


@pytest.mark.parametrize('entries, said', [
    ([_entry('train', 'few_shot_train_4shot_seed1.txt', 'release'),
      _entry('test', 'val_split1.txt', 'release')], "the paper's lists"),
    # the release has no list of all training videos
    ([_entry('train', 'train.txt', 'annotations', 'k400'),
      _entry('test', 'val.txt', 'release', 'k400')], "the paper's lists"),
    ([_entry('test', 'val_split1.txt', 'release, labels fixed', 'hmdb51')],
     "not the paper's lists: test lists with labels fixed"),
    ([_entry('train', 'few_shot_train_4shot_seed1.txt', 'annotations'),
      _entry('test', 'val_split1.txt', 'changed')],
     "not the paper's lists: train lists from the official annotations, test "
     'lists changed after they were made'),
    ([_entry('test', 'mine.txt', 'unknown', None)],
     "not the paper's lists: test lists of unknown origin"),
    ([_entry('test', 'val.txt', 'annotations', 'kitchen')],
     "not the paper's lists: test lists from the official annotations"),
    ([], 'lists not recorded'), ('val.txt', 'lists not recorded'),
    ([dict(part='test')], 'lists not recorded')])
def test_lists_beside_the_figure(layout, entries, said):
    write_record(layout, RUNS[0], {'acc/top1': .4}, lists=entries)
    result = _fill(layout, runs=NAMES[:1], paper=40.)
    assert result.text() == f'40.0 (paper 40.0, +0.0; {said})'


def test_figures_of_other_commands(layout):
    """`complexity` and `tsne` write them into the folder of the runs."""
    tables = paper_tables()
    runs = by_name(tables.values())

    def said(key, row, column):
        results = {(r.cell.row, r.cell.column): r
                   for r in fill(tables[key], runs, layout)}
        return results[row, column].text()

    assert said('6', 'ViFi-CLIP', 'GFLOPs') == 'not measured (paper 281.0)'
    assert said('6', 'X-CLIP', 'GFLOPs') == 'not implemented (paper 287.0)'
    config = dict(title=['vifi_k400'], frames=16, asked=dict(image=281.04e9),
                  parameters=149_620_000, token_parameters=25_300_000,
                  measured=dict(views_per_second=dict(median=70.)))
    record = dict(convention='macs', machine='2 CPU cores', configs=[config])
    path = Path(layout.root, 'complexity.json')
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    assert said('6', 'ViFi-CLIP', 'GFLOPs') == '281.0 (paper 281.0, +0.0)'
    assert said('4', 'CLIP text-FT', 'GFLOPs') == '281.0 (paper 281.0, +0.0)'
    assert said('6', 'ViFi-CLIP', 'parameters (M)') == (
        '124.3 (paper 124.7, -0.4)')
    assert said('9', 'VL prompting', 'GFLOPs').startswith('not measured')
    # only an A100 stands beside the paper's
    speed = ('6', 'ViFi-CLIP', 'views/s (A100)')
    assert said(*speed).startswith('not measured')
    path.write_text(json.dumps(dict(record, machine='NVIDIA A100-SXM4')))
    assert said(*speed) == '70.0 (paper 71.1, -1.1)'
    for change in dict(frames=8), dict(measured=dict(error='no memory')):
        other = dict(record, machine='A100', configs=[{**config, **change}])
        path.write_text(json.dumps(other))
        assert said(*speed).startswith('not measured')
    path.write_text(json.dumps(dict(record, convention='flops')))
    with pytest.raises(ValueError, match='complexity.json'):
        said(*speed)
    Path(layout.root, 'tsne.json').write_text(json.dumps(dict(models=[
        dict(name='vanilla CLIP', homogeneity=float('nan')),
        dict(name='ViFi-CLIP', homogeneity=.9, completeness=.91,
             v_measure=.905)])))
    with pytest.raises(ValueError, match='tsne.json'):
        said('11', 'ViFi-CLIP', 'V-measure')
    path = Path(layout.root, 'tsne.json')
    path.write_text(path.read_text().replace('NaN', '0.84, "completeness": '
                                             '0.8, "v_measure": 0.8'))
    assert said('11', 'ViFi-CLIP', 'V-measure') == '0.91 (paper 0.95, -0.04)'
