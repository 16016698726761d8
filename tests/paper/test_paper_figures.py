"""The paper's figures. figures.txt was typed twice and compared; here it is
pinned, and some of each table are read again from the paper."""
import hashlib
from pathlib import Path

import pytest

from projects.vifi_clip_tools.paper import paper
from projects.vifi_clip_tools.paper.paper_tables import paper_tables

CELLS = {(key, cell.group, cell.row, cell.column): cell
         for key, table in paper_tables().items() for cell in table.cells}
OURS = {*paper.TUNE, 'decision', 'image', 'embedding'}
# Figures of the paper in each table, and how many of them are of methods
# that it compares with.
COUNTS = {'1': (48, 32), '2': (84, 36), '3': (84, 36), '4': (34, 22),
          '5': (16, 0), '6': (9, 6), '7': (60, 36), '8': (45, 27),
          '9': (8, 6), '10': (6, 2), '11': (9, 3)}


def test_figures_stay():
    file = Path(paper.__file__).with_name('figures.txt')
    assert hashlib.sha256(file.read_bytes()).hexdigest() == (
        '0971c4af54c6d3a53922ea3e27b9521c02a7b42c4f41408bec0adb505641204e')


@pytest.mark.parametrize('key, group, row, figures', [
    ('1', '', 'ViFi-CLIP', {
        'HMDB-51': (51.3, .6), 'UCF-101': (76.8, .7),
        'K600 top-1': (71.2, 1.), 'K600 top-5': (92.2, .3)}),
    ('2', 'k400', 'ViFi-CLIP', dict(base=76.4, novel=61.1, HM=67.9)),
    ('2', 'ssv2', 'CLIP text-FT', dict(base=12.4, novel=9.5, HM=10.8)),
    ('3', 'ucf101', 'ViFi-CLIP', {'K=2': 80.7, 'K=4': 85.1, 'K=8': 90.,
                                  'K=16': 92.7}),
    ('4', '', 'ViFi-CLIP', {'top-1': 83.9, 'top-5': 96.3, 'GFLOPs': 281,
                            'views/s (A100)': 71.1}),
    ('5', '', 'image', {'k400 tiny': 74., 'ssv2 K=16': 11.2,
                        'hmdb51 K=16': 64.4, 'ucf101 K=16': 91.7}),
    ('6', '', 'ViFi-CLIP', {'GFLOPs': 281, 'views/s (A100)': 71.1,
                            'parameters (M)': 124.7}),
    ('7', 'hmdb51', 'VL prompting', {'K=2': 63., 'K=4': 65.1, 'K=8': 69.6,
                                     'K=16': 72.}),
    ('8', 'ucf101', 'VL prompting', dict(base=95.9, novel=74.1, HM=83.6)),
    ('9', '', 'VL prompting', {'GFLOPs': 287, 'views/s (A100)': 71.6}),
    ('10', '', 'ViFi-CLIP', {'R@1': 44.8, 'R@5': 72.4}),
    ('11', '', 'vanilla CLIP', {'homogeneity': .84, 'completeness': .86,
                                'V-measure': .85})])
def test_figures_beside_ours(key, group, row, figures):
    assert {cell.column: cell.paper for (*where, _), cell in CELLS.items()
            if where == [key, group, row]} == figures


def test_every_row_of_the_paper_is_there():
    counts = {key: [0, 0] for key in COUNTS}
    for (key, *_), cell in CELLS.items():
        counts[key][0] += 1
        counts[key][1] += cell.row not in OURS
        # ours are those of methods that are implemented
        assert bool(cell.runs or cell.source) == (cell.row in OURS), cell
    assert {key: tuple(pair) for key, pair in counts.items()} == COUNTS
