"""Cells and reports from records of runs that nobody ran; the table and the
picture of the quick start."""
import csv
import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import cv2
import pytest
from commands import refused, vifi
from matrix_world import clear_knobs, fill_folder, write_record

from projects.vifi_clip_tools.mini_world.build import build
from projects.vifi_clip_tools.mini_world.world import WorldParams
from projects.vifi_clip_tools.paper.layout import Layout
from projects.vifi_clip_tools.paper.quickstart import (draw_picture,
                                                       write_table)
from projects.vifi_clip_tools.paper.results import Records, fill
from projects.vifi_clip_tools.paper.runs import Cell, Run, Table, by_name
from projects.vifi_clip_tools.paper.tables import mini_tables, paper_tables

PAPER = paper_tables()
PAPER_RUNS = by_name(PAPER.values())
RUNS = [Run(f'few/seed{seed}', 'vifi_few_shot',
            dict(DATASET='ucf101', SHOTS='4', SEED=str(seed), TUNE='both'))
        for seed in (1, 2, 3)]
NAMES = tuple(run.name for run in RUNS)


def result_of(layout, **cell):
    cell = dict(dict(row='ours', column='K=4', runs=NAMES,
                     metric='acc/top1'), **cell)
    table = Table('3', 'Few-shot', RUNS, [Cell(**cell)])
    return fill(table, Records(layout, {run.name: run for run in RUNS}))[0]


def report(layout, *options):
    assert vifi('report', '--work-dir', layout.root, *options) == 0
    return {path.suffix: path for path in Path(layout.root).glob('report.*')}


def rows_of(text):
    """Cells of the lines of Markdown tables."""
    return [[cell.strip() for cell in line.strip('|').split('|')]
            for line in text.splitlines() if line.startswith('| ')]


@pytest.mark.parametrize('values, cell, text', [
    # deviations -3, 1, 2: (9 + 1 + 4) / 2 = 7, whose root is 2.6
    ([.41, .45, .46], dict(paper=43.),
     '44.0 ± 2.6 (paper 43.0, +1.0; lists not recorded)'),
    ([.40, .44], dict(paper=45., paper_std=0.3), '42.0 ± 2.8 (2 of 3 runs, '
     'paper 45.0 ± 0.3, -3.0; lists not recorded)'),
    ([], dict(paper=45., paper_std=0.3), 'not run (paper 45.0 ± 0.3)'),
    ([0.], dict(runs=NAMES[:1], paper=2.7),
     '0.0 (paper 2.7, -2.7; lists not recorded)'),
    ([44.8], dict(runs=NAMES[:1], scale=1.), '44.8'),
    # the spread within one run, over the official splits
    ([.768], dict(runs=NAMES[:1], std='spread', paper=76.8, paper_std=0.7),
     '76.8 ± 0.7 (paper 76.8 ± 0.7, +0.0; lists not recorded)')])
def test_text_of_a_cell(layout, values, cell, text):
    for run, value in zip(RUNS, values):
        write_record(layout, run, {'acc/top1': value, 'spread': .007})
    assert result_of(layout, **cell).text() == text


def test_harmonic_mean_is_of_the_means(layout):
    """Base 80, 40 and novel 40, 80: each run's HM is 53.3, that of the means
    60."""
    for run, (base, novel) in zip(RUNS, ((.8, .4), (.4, .8))):
        hm = 2 * base * novel / (base + novel)
        write_record(layout, run, {'base/acc/top1': base, 'HM/acc/top1': hm,
                                   'novel/acc/top1': novel})
    result = result_of(layout, metric='HM/acc/top1', runs=NAMES[:2])
    assert result.values == pytest.approx((53.333, 53.333), abs=1e-3)
    assert result.text() == '60.0, per seed 53.3 ± 0.0'


def test_missing_metric(layout):
    write_record(layout, RUNS[1], {'acc/top5': .9})
    with pytest.raises(ValueError, match='few/seed2'):
        result_of(layout)


@pytest.mark.parametrize('key, value', dict(
    SHOTS='8', DATASET='hmdb51', TUNE='image', NUM_FRAMES='16', PIXELS='clip',
    FUSION='decision', single_view=True, config='vifi_k400.py').items())
def test_records_of_other_settings_do_not_count(layout, key, value):
    path = write_record(layout, RUNS[0], {'acc/top1': .4})
    assert result_of(layout).values == (40., )
    record = json.loads(path.read_text())
    changed = record['knobs'] if key.isupper() else record
    assert changed[key] != value
    changed[key] = value
    path.write_text(json.dumps(record))
    assert result_of(layout).values == ()


def test_records_older_than_a_knob(layout, monkeypatch):
    """Are of its default."""
    path = write_record(layout, RUNS[0], {'acc/top1': .4})
    record = json.loads(path.read_text())
    del record['knobs']['AUX']
    path.write_text(json.dumps(record))
    assert result_of(layout).values == (40., )
    monkeypatch.setenv('AUX', 'taco')
    assert result_of(layout).values == ()


def test_environment_says_which_settings_are_meant(layout, monkeypatch):
    monkeypatch.setenv('NUM_FRAMES', '16')
    monkeypatch.setenv('DATA_ROOT', '/here')
    write_record(layout, RUNS[0], {'acc/top1': .4})
    monkeypatch.setenv('DATA_ROOT', '/there')  # a place, which may differ
    assert result_of(layout).values == (40., )
    monkeypatch.delenv('NUM_FRAMES')
    assert result_of(layout).values == ()


def test_damaged_records(layout, capsys):
    """They stop no other run, and are told once."""
    path = write_record(layout, RUNS[0], {})
    for text in ('{"knobs": ', '[]', '{}', '{"knobs": null, "metrics": {}}',
                 '{"knobs": {}, "metrics": {"acc/top1": NaN}}',
                 '{"knobs": {}, "metrics": {"acc/top1": "much"}}'):
        path.write_text(text)
        assert result_of(layout, runs=NAMES[:1]).text() == 'not run'
        assert capsys.readouterr().err.count(str(path)) == 1


def entry(part, name, origin, dataset='ucf101'):
    return dict(part=part, file=name, sha256='', origin=origin,
                dataset=dataset)


@pytest.mark.parametrize('entries, said', [
    ([entry('train', 'few.txt', 'release'), entry('test', 'v.txt', 'release')],
     "the paper's lists"),
    # the release has no list of all training videos
    ([entry('train', 'train.txt', 'annotations', 'k400'),
      entry('test', 'val.txt', 'release', 'k400')], "the paper's lists"),
    ([entry('test', 'val_split1.txt', 'release, labels fixed', 'hmdb51')],
     "not the paper's lists: test lists with labels fixed"),
    ([entry('train', 'x', 'annotations'), entry('test', 'x', 'changed')],
     "not the paper's lists: train lists from the official annotations, test "
     'lists changed after they were made'),
    ([entry('test', 'mine.txt', 'unknown', None)],
     "not the paper's lists: test lists of unknown origin"),
    ([entry('test', 'val.txt', 'annotations', 'kitchen')],
     "not the paper's lists: test lists from the official annotations"),
    *((wrong, 'lists not recorded') for wrong in (
        [], 'val.txt', [dict(part='test')]))])
def test_lists_beside_the_figure(layout, entries, said):
    write_record(layout, RUNS[0], {'acc/top1': .4}, lists=entries)
    result = result_of(layout, runs=NAMES[:1], paper=40.)
    assert result.text() == f'40.0 (paper 40.0, +0.0; {said})'


def test_figures_of_other_commands(layout):
    """`complexity` and `tsne` write them into the folder of the runs."""
    def said(key, row, column):
        return {(r.cell.row, r.cell.column): r for r in fill(
            PAPER[key], Records(layout, PAPER_RUNS))}[row, column].text()

    assert said('6', 'ViFi-CLIP', 'GFLOPs') == 'not measured (paper 281.0)'
    assert said('10', 'A5', 'R@1') == 'not implemented (paper 36.7)'
    config = dict(title=['vifi_k400'], frames=16, asked=dict(image=281.04e9),
                  trained=124_320_000,
                  measured=dict(views_per_second=dict(median=70.)))
    record = dict(convention='macs', machine='2 CPU cores', configs=[config])
    path = Path(layout.root, 'complexity.json')
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    assert said('6', 'ViFi-CLIP', 'GFLOPs') == '281.0 (paper 281.0, +0.0)'
    assert said('6', 'ViFi-CLIP', 'parameters (M)') == (
        '124.3 (paper 124.7, -0.4)')
    # of other methods, with their own frames
    others = [dict(config, title=['vifi_k400', f'METHOD={method}'],
                   frames=frames, trained=trained)
              for method, frames, trained in (
                  ('actionclip', 16, 1), ('actionclip', 32, 168_500_000),
                  ('xclip', 32, 1), ('xclip', 16, 131_500_000))]
    path.write_text(json.dumps(dict(record, configs=[config, *others])))
    assert said('6', 'ActionCLIP', 'parameters (M)').startswith('168.5 (')
    assert said('6', 'X-CLIP', 'parameters (M)').startswith('131.5 (')
    assert said('9', 'X-CLIP', 'GFLOPs').startswith('281.0 (')
    assert said('9', 'A5', 'GFLOPs') == 'not measured (paper 284.0)'
    path.write_text(json.dumps(record))
    # only an A100 stands beside the paper's
    speed = ('6', 'ViFi-CLIP', 'views/s (A100)')
    assert said(*speed).startswith('not measured')
    path.write_text(json.dumps(dict(record, machine='NVIDIA A100-SXM4')))
    assert said(*speed) == '70.0 (paper 71.1, -1.1)'
    for change in dict(frames=8), dict(measured=dict(error='no memory')):
        path.write_text(json.dumps(dict(
            record, machine='A100', configs=[{**config, **change}])))
        assert said(*speed).startswith('not measured')
    path.write_text(json.dumps(dict(record, convention='flops')))
    with pytest.raises(ValueError, match='complexity.json'):
        said(*speed)
    path, score = Path(layout.root, 'tsne.json'), ('11', 'ViFi-CLIP',
                                                   'V-measure')
    models = [dict.fromkeys(('homogeneity', 'completeness', 'v_measure'), .84)
              | dict(name=name) for name in ('vanilla CLIP', 'ViFi-CLIP')]
    path.write_text(json.dumps(dict(models=models)))
    assert said(*score) == '0.84 (paper 0.95, -0.11)'
    path.write_text(path.read_text().replace('0.84', 'NaN'))
    with pytest.raises(ValueError, match='tsne.json'):
        said(*score)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The report of all tables of the paper, four cells of which lack runs:
    files by ending, and what was printed."""
    layout = Layout(str(tmp_path_factory.mktemp('whole')))
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        clear_knobs(patch)
        fill_folder(layout, PAPER.values(), {'base2novel/ssv2/both/seed2',
                                             'supervised/text'})
        return report(layout), out.getvalue()


def test_all_tables_of_the_paper(whole):
    text = whole[0]['.md'].read_text()
    assert text in whole[1] and text.count('not run') == 2
    assert [line.split('.')[0] for line in text.splitlines()
            if line.startswith('## ')] == [f'## Table {key}' for key in PAPER]
    # a grid for each data set: a head and the methods
    heads = [row[0] for row in rows_of(text)]
    for group, methods, times in ('k400', 7, 1), ('ssv2', 7, 4):
        assert heads.count(group) == times
        start = heads.index(group)
        assert len(set(heads[start:start + methods + 1])) == methods + 1
    # three runs at 51.3 - 0.7 .. but one run there: see fill_folder
    row = next(r for r in rows_of(text) if r[0] == 'ViFi-CLIP')
    unknown = '; lists not recorded)'
    assert row[1] == f'50.6 ± 0.6 (paper 51.3 ± 0.6, -0.7{unknown}'
    # three seeds: 73.8 - 0.7, + 0.3, + 1.3; the harmonic mean is that of
    # 74.1 and 53.6, beside the mean of three
    assert rows_of(text)[heads.index('hmdb51') + 7] == [
        'ViFi-CLIP', f'74.1 ± 1.0 (paper 73.8, +0.3{unknown}',
        f'53.6 ± 1.0 (paper 53.3, +0.3{unknown}',
        '62.2, per seed 62.2 ± 1.0 (paper 61.9, +0.3' + unknown]


def test_csv(whole):
    rows = list(csv.DictReader(io.StringIO(whole[0]['.csv'].read_text())))
    cells = {(r['table'], r['group'], r['row'], r['column']): r for r in rows}
    assert len(rows) == len(cells) == 403  # see test_tables.py
    for key, expected in {
            # seeds 1 and 3: 12.1 - 0.7 and 12.1 + 1.3
            ('2', 'ssv2', 'ViFi-CLIP', 'novel'): dict(
                ours='12.4', std='1.414', runs='2', runs_wanted='3',
                paper='12.1', paper_std='', difference='0.3'),
            ('1', '', 'CLIP text-FT', 'K600 top-1'): dict(
                paper='68.5', paper_std='1.2')}.items():
        assert cells[key].items() >= expected.items()


def test_what_results_rest_on(layout, monkeypatch):
    metrics = dict.fromkeys(('acc/top1', 'retrieval/R1', 'retrieval/R5'), .3)
    for name, more in (
            ('few_shot/ssv2/none', dict(templates='{}')),
            ('few_shot/ssv2/2shot/prompts/seed1', dict(templates=None)),
            ('retrieval/none', dict(templates=None, mean=None))):
        write_record(layout, PAPER_RUNS[name], metrics, **more)
    monkeypatch.setenv('NUM_FRAMES', '8')
    write_record(layout, PAPER_RUNS['supervised/both'], {'acc/top1': .8})
    monkeypatch.delenv('NUM_FRAMES')
    text = report(layout)['.md'].read_text()
    for words in ('Percent. 0 of 21 runs finished.', '1 of 75 runs finished',
                  "Prompts: '{}'.", "Prompts: '{}'; learnt prompts. Pixel "
                  'means: [123.675', 'Prompts: captions as they are.\n',
                  'Left out because of other settings: supervised/both'):
        assert words in text


def test_pictures(whole, layout):
    """Bars have colours, of many rows of panels and of few."""
    fill_folder(layout, mini_tables().values())
    files = report(layout, '--mini')
    assert 'inconclusive' in files['.md'].read_text()
    for path in whole[0]['.png'], files['.png']:
        shown = cv2.imread(str(path)).astype(int)
        assert ((shown.max(-1) - shown.min(-1)) > 60).mean() > 0.02


def test_folders_and_tables(layout, tmp_path, monkeypatch, capsys):
    fill_folder(layout, [PAPER['4']])
    out = tmp_path / 'new/out'
    assert report(layout, '--out', out) == {}
    assert {path.name for path in out.iterdir()} == {
        'report.md', 'report.csv', 'report.png'}
    refused(capsys, 'report', '--work-dir', layout.root, '--table', '2', '12',
            names='--table 12')
    monkeypatch.chdir(tmp_path / 'new')
    refused(capsys, 'report', '--mini', names=['work_dirs/matrix_mini',
                                               'vifi-clip matrix'])


def test_quickstart(tmp_path, capsys):
    """Its table and picture, of one clip of each class and split."""
    refused(capsys, 'quickstart', 'mine.mp4', names='mine.mp4')
    world, out = tmp_path / 'mini', str(tmp_path)
    build(world, WorldParams(train_per_class=1, test_per_class=1, num_stills=3,
                             target_train_per_class=0, size=32), workers=1)
    truth = [int(line.split()[-1]) for line in
             (world / 'annotations/val.txt').read_text().splitlines()]
    frozen = dict(single=20., multi=25., single_labels=[0] * len(truth))
    tuned = [dict(single=40. + 2 * i, multi=50. + 4 * i, single_labels=truth)
             for i in range(3)]
    results = {'frozen CLIP': [frozen], 'ViFi-CLIP (fine-tuned)': tuned}
    table = write_table(results, str(world), out)
    assert table in capsys.readouterr().out
    assert re.search(r'chance +\| 4\.2 +\| 4\.2', table)
    assert re.search(r'frozen CLIP +\| 20\.0 +\| 25\.0', table)
    # means of 40, 42, 44 and 50, 54, 58; sample standard deviations
    assert re.search(r'fine-tuned\) \| 42\.0 ± 2\.0 \| 54\.0 ± 4\.0 \| 3',
                     table)
    assert (tmp_path / 'results.md').read_text().strip() == table
    assert json.loads((tmp_path / 'results.json').read_text()) == results
    picture = cv2.imread(draw_picture(results, str(world), out))
    assert picture.shape[1] > 1000 and picture.std() > 10
