"""tools/report.py on records of runs that nobody ran."""
import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from matrix_world import clear_knobs, fill_folder, write_record

from projects.vifi_clip_tools.paper import report_command as report
from projects.vifi_clip.apis.config import run_main
from projects.vifi_clip_tools.paper import picture
from projects.vifi_clip_tools.paper.layout import Layout
from projects.vifi_clip_tools.paper.mini_tables import mini_tables
from projects.vifi_clip_tools.paper.paper_tables import paper_tables
from projects.vifi_clip_tools.paper.runs import by_name

PAPER = paper_tables()


@pytest.fixture(autouse=True)
def _no_knobs(monkeypatch):
    clear_knobs(monkeypatch)


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / 'matrix'))


def _report(layout, *options):
    report.main(['--work-dir', layout.root, *options])
    return {path.suffix: path for path in Path(layout.root).glob('report.*')}


def _rows(text):
    """Cells of the lines of Markdown tables."""
    return [[cell.strip() for cell in line.strip('|').split('|')]
            for line in text.splitlines()
            if line.startswith('| ')]


def test_all_tables_of_the_paper(layout, capsys):
    fill_folder(layout, PAPER.values())
    files = _report(layout)
    text = files['.md'].read_text()
    assert text in capsys.readouterr().out
    titles = [line.split('.')[0] for line in text.splitlines()
              if line.startswith('## ')]
    assert titles == [f'## Table {key}' for key in PAPER]
    assert 'not run' not in text
    # a grid for each data set: a head and the methods
    heads = [row[0] for row in _rows(text)]
    for key, group, methods in (('2', 'k400', 7), ('3', 'ssv2', 7),
                                ('8', 'ucf101', 5)):
        assert heads.count(group) == dict(k400=1).get(group, 4), key
        start = heads.index(group)
        assert len(set(heads[start:start + methods + 1])) == methods + 1
    # three runs at 51.3 - 0.7 .. but one run there: see fill_folder
    row = next(r for r in _rows(text) if r[0] == 'ViFi-CLIP')
    unknown = '; lists not recorded)'
    assert row[1] == f'50.6 ± 0.6 (paper 51.3 ± 0.6, -0.7{unknown}'
    row = next(r for r in _rows(text) if r[0] == 'X-CLIP')
    assert row[1] == 'not implemented (paper 44.6 ± 5.2)'
    # three seeds: 73.8 - 0.7, + 0.3, + 1.3; the harmonic mean is that of
    # 74.1 and 53.6, beside the mean of three
    row = _rows(text)[heads.index('hmdb51') + 7]
    assert row == ['ViFi-CLIP', f'74.1 ± 1.0 (paper 73.8, +0.3{unknown}',
                   f'53.6 ± 1.0 (paper 53.3, +0.3{unknown}',
                   '62.2, per seed 62.2 ± 1.0 (paper 61.9, +0.3' + unknown]


def test_lines_of_a_grid_are_of_one_length(layout):
    fill_folder(layout, [PAPER['2']], left_out={'base2novel/ssv2/none'})
    text = _report(layout, '--table', '2')['.md'].read_text()
    for block in text.split('\n\n'):
        lines = [line for line in block.splitlines() if line.startswith('|')]
        assert len({len(line) for line in lines}) <= 1
        assert len({line.count('|') for line in lines}) <= 1


def test_csv(layout):
    fill_folder(layout, PAPER.values(),
                left_out={'base2novel/ssv2/both/seed2', 'supervised/text'})
    text = _report(layout)['.csv'].read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    cells = {(r['table'], r['group'], r['row'], r['column']): r for r in rows}
    # the numbers of tests/matrix/test_matrix_figures.py
    assert len(rows) == len(cells) == 403
    novel = cells['2', 'ssv2', 'ViFi-CLIP', 'novel']
    # seeds 1 and 3: 12.1 - 0.7 and 12.1 + 1.3
    assert float(novel['ours']) == pytest.approx(12.4, abs=0.01)
    assert float(novel['std']) == pytest.approx(2**0.5, abs=0.001)
    assert (novel['runs'], novel['runs_wanted']) == ('2', '3')
    assert float(novel['paper']) == 12.1 and novel['paper_std'] == ''
    assert float(novel['difference']) == pytest.approx(0.3, abs=0.01)
    top1 = cells['1', '', 'CLIP text-FT', 'K600 top-1']
    assert (top1['paper'], top1['paper_std']) == ('68.5', '1.2')
    missing = cells['4', '', 'CLIP text-FT', 'top-1']
    assert (missing['ours'], missing['std'], missing['runs'],
            missing['difference']) == ('', '', '0', '')


def test_nothing_was_run(layout):
    Path(layout.root).mkdir()
    files = _report(layout)
    assert set(files) == {'.md', '.csv'}
    text = files['.md'].read_text()
    assert 'not run (paper 51.3 ± 0.6)' in text
    assert 'Percent. 0 of 12 runs finished.' in text


def test_what_results_rest_on(layout):
    runs = by_name(PAPER.values())
    write_record(layout, runs['few_shot/ssv2/none'], {'acc/top1': .02},
                 templates='{}')
    write_record(layout, runs['few_shot/ssv2/2shot/prompts/seed1'],
                 {'acc/top1': .06}, templates=None)
    write_record(layout, runs['retrieval/none'],
                 {'retrieval/R1': 30., 'retrieval/R5': 50.}, templates=None,
                 mean=None)
    text = _report(layout)['.md'].read_text()
    assert "1 of 39 runs finished" in text and "Prompts: '{}'." in text
    assert "Prompts: '{}'; learnt prompts. Pixel means: [123.675" in text
    assert 'Prompts: captions as they are.\n' in text


def test_records_of_other_settings_are_named(layout, monkeypatch):
    run = by_name(PAPER.values())['supervised/both']
    monkeypatch.setenv('NUM_FRAMES', '8')
    write_record(layout, run, {'acc/top1': .8, 'acc/top5': .9})
    assert '80.0' in _report(layout, '--table', '4')['.md'].read_text()
    monkeypatch.delenv('NUM_FRAMES')
    text = _report(layout, '--table', '4')['.md'].read_text()
    assert '0 of 3 runs finished' in text and 'not run' in text
    assert 'Left out, since their knobs differ' in text
    assert 'supervised/both' in text


@pytest.mark.parametrize('tables, options', [
    (PAPER, []), (mini_tables(), ['--mini'])], ids=['paper', 'mini'])
def test_picture(layout, tables, options):
    fill_folder(layout, tables.values())
    data = _report(layout, *options)['.png'].read_bytes()
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    height, width, _ = shown.shape
    panels = sum(len({c.group for c in t.cells if c.runs})
                 for t in tables.values())
    assert width == 3 * 460 and height >= -(-panels // 3) * 290
    # no panel is empty: colours besides grey in each cell of the grid
    rows = -(-panels // 3)
    body = shown[80:].astype(int)
    for i in range(panels):
        part = body[(i // 3) * len(body) // rows:
                    (i // 3 + 1) * len(body) // rows,
                    (i % 3) * 460:(i % 3 + 1) * 460]
        assert ((part.max(-1) - part.min(-1)) > 60).mean() > 0.02


def test_one_colour_for_a_method(layout):
    """In all panels, whatever the methods beside it."""
    import matplotlib.pyplot as plt
    runs = by_name(PAPER.values())
    drawn = []
    for table, results in ((t, report.fill(t, runs, layout))
                           for t in (PAPER['2'], PAPER['8'])):
        drawn.append((table, results))
    assert picture.draw(drawn) is None
    fill_folder(layout, [PAPER['2'], PAPER['8']])
    drawn = [(t, report.fill(t, runs, layout))
             for t in (PAPER['2'], PAPER['8'])]
    panels = picture._panels(drawn)
    assert [title for title, _ in panels][3:5] == [
        '2. Base-to-novel, 16 shots: ssv2',
        '8. Base-to-novel, bridge and prompt: hmdb51']
    figure, axes = plt.subplots()
    picture._bars(axes, 'title', panels[4][1],
                  {'vanilla CLIP': 'red', 'VL prompting': 'blue'})
    colours = [patch.get_facecolor()[:3] for patch in axes.patches]
    assert colours == [(1, 0, 0)] * 3 + [(0, 0, 1)] * 3
    heights = [line.get_ydata()[0] for line in axes.lines
               if len(line.get_ydata()) == 2]
    assert {77.1, 54.9, 64.1, 53.3, 46.8, 49.8} <= set(heights)  # the paper's
    plt.close(figure)


def test_failed_picture_overwrites_nothing(layout, monkeypatch):
    fill_folder(layout, [PAPER['4']])
    before = {k: p.read_bytes() for k, p in _report(layout).items()}
    fill_folder(layout, [PAPER['5']])

    def fail(filled):
        raise ValueError('no font')

    monkeypatch.setattr(picture, 'draw', fail)
    with pytest.raises(ValueError, match='no font'):
        _report(layout)
    after = {p.suffix: p.read_bytes()
             for p in Path(layout.root).glob('*report*')}
    assert after == before


def test_another_folder_for_the_report(layout, tmp_path):
    fill_folder(layout, [PAPER['4']])
    assert _report(layout, '--out', str(tmp_path / 'new/out')) == {}
    assert {p.name for p in (tmp_path / 'new/out').iterdir()} == {
        'report.md', 'report.csv', 'report.png'}


def test_no_folder_of_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_main(report.main, ['--mini']) == 2
    said = capsys.readouterr().err
    assert 'work_dirs/matrix_mini does not exist' in said
    assert 'run_matrix.py' in said
    assert not list(tmp_path.iterdir())


def test_no_such_table(layout, capsys):
    Path(layout.root).mkdir()
    argv = ['--work-dir', layout.root, '--table', '2', '12']
    assert run_main(report.main, argv) == 2
    assert '--table 12: choose from' in capsys.readouterr().err
    assert not list(Path(layout.root).iterdir())
