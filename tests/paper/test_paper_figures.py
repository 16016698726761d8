"""The paper's figures, typed a second time from the paper."""
import pytest

from projects.vifi_clip_tools.paper.paper_tables import paper_tables

ROWS = dict(none='vanilla CLIP', image='CLIP image-FT', text='CLIP text-FT',
            both='ViFi-CLIP', prompts='VL prompting')
# table, data set: method, figures in the order of the columns
FIGURES = {
    ('2', 'k400'): '''none 62.3 53.4 57.5
        image 72.9 58.0 64.6
        text 73.4 59.7 65.8
        both 76.4 61.1 67.9''',
    ('2', 'hmdb51'): '''none 53.3 46.8 49.8
        image 62.6 47.5 54.0
        text 70.0 51.2 59.1
        both 73.8 53.3 61.9''',
    ('2', 'ucf101'): '''none 78.5 63.6 70.3
        image 86.4 65.3 74.4
        text 90.9 67.4 77.4
        both 92.9 67.7 78.3''',
    ('2', 'ssv2'): '''none 4.9 5.3 5.1
        image 9.2 8.5 8.8
        text 12.4 9.5 10.8
        both 16.2 12.1 13.9''',
    ('3', 'hmdb51'): '''none 41.9 41.9 41.9 41.9
        image 49.6 54.9 57.8 62.0
        text 54.5 61.6 63.1 65.0
        both 57.2 62.7 64.5 66.8''',
    ('3', 'ucf101'): '''none 63.6 63.6 63.6 63.6
        image 74.4 79.1 85.3 90.5
        text 80.1 82.8 85.8 88.1
        both 80.7 85.1 90.0 92.7''',
    ('3', 'ssv2'): '''none 2.7 2.7 2.7 2.7
        image 4.9 6.0 7.2 10.4
        text 6.2 6.1 6.3 9.1
        both 6.2 7.4 8.5 12.4''',
    ('8', 'hmdb51'): 'none 53.3 46.8 49.8\nprompts 77.1 54.9 64.1',
    ('8', 'ucf101'): 'none 78.5 63.6 70.3\nprompts 95.9 74.1 83.6',
    ('8', 'ssv2'): 'none 4.9 5.3 5.1\nprompts 15.8 11.5 13.3',
    ('7', 'hmdb51'): '''none 41.9 41.9 41.9 41.9
        prompts 63.0 65.1 69.6 72.0''',
    ('7', 'ucf101'): '''none 63.6 63.6 63.6 63.6
        prompts 91.0 93.7 95.0 96.4''',
    ('7', 'ssv2'): '''none 2.7 2.7 2.7 2.7
        prompts 6.7 7.9 10.2 13.5''',
    ('5', ''): '''none 51.6 2.7 41.9 63.6
        decision 74.6 10.8 62.2 90.5
        image-fusion 74.0 11.2 64.4 91.7
        embedding 76.9 12.4 66.8 92.7''',
    ('4', ''): '''image 82.8 96.2 281 71.1
        text 73.1 91.2 281 71.1
        both 83.9 96.3 281 71.1''',
    ('6', ''): 'both 281 71.1 124.7',
    ('9', ''): 'prompts 287 71.6',
    ('10', ''): 'none 31.0 59.5\nboth 44.8 72.4',
    ('11', ''): 'none .84 .86 .85\nboth .94 .95 .95',
}
ZERO_SHOT = {  # mean, spread
    'none': ((40.8, .3), (63.2, .2), (59.8, .3), (83.5, .2)),
    'image': ((49.0, .3), (72.9, .8), (62.4, 1.), (85.8, .5)),
    'text': ((48.5, .1), (69.8, 1.1), (68.5, 1.2), (89.6, .3)),
    'both': ((51.3, .6), (76.8, .7), (71.2, 1.), (92.2, .3)),
}
COLUMNS = {
    '1': ['HMDB-51', 'UCF-101', 'K600 top-1', 'K600 top-5'],
    '2': ['base', 'novel', 'HM'], '8': ['base', 'novel', 'HM'],
    '3': ['K=2', 'K=4', 'K=8', 'K=16'], '7': ['K=2', 'K=4', 'K=8', 'K=16'],
    '4': ['top-1', 'top-5', 'GFLOPs', 'views/s (A100)'],
    '5': ['k400 tiny', 'ssv2 K=16', 'hmdb51 K=16', 'ucf101 K=16'],
    '6': ['GFLOPs', 'views/s (A100)', 'parameters (M)'],
    '9': ['GFLOPs', 'views/s (A100)'], '10': ['R@1', 'R@5'],
    '11': ['homogeneity', 'completeness', 'V-measure'],
}
# Figures of the paper in each table, and how many of them are of methods
# that it compares with.
COUNTS = {'1': (48, 32), '2': (84, 36), '3': (84, 36), '4': (34, 22),
          '5': (16, 0), '6': (9, 6), '7': (60, 36), '8': (45, 27),
          '9': (8, 6), '10': (6, 2), '11': (9, 3)}
CELLS = [(table.key, cell) for table in paper_tables().values()
         for cell in table.cells]


def _expected():
    cells = {('1', '', ROWS[row], column): figure
             for row, figures in ZERO_SHOT.items()
             for column, figure in zip(COLUMNS['1'], figures)}
    for (key, group), text in FIGURES.items():
        for line in text.splitlines():
            row, *figures = line.split()
            row = 'image' if row == 'image-fusion' else ROWS.get(row, row)
            for column, figure in zip(COLUMNS[key], figures, strict=True):
                cells[key, group, row, column] = float(figure)
    return cells


def test_our_cells_have_the_papers_figure():
    """Ours: those of methods that are implemented."""
    rows = {*ROWS.values(), 'decision', 'image', 'embedding'}
    found = {(key, cell.group, cell.row, cell.column): cell.paper
             for key, cell in CELLS if cell.row in rows}
    assert found == _expected()
    for key, cell in CELLS:
        assert bool(cell.runs or cell.source) == (cell.row in rows), cell


def test_every_row_of_the_paper_is_there():
    counts = {}
    for key, cell in CELLS:
        counts.setdefault(key, []).append(
            cell.row not in ROWS.values() and key != '5')
    assert {key: (len(others), sum(others))
            for key, others in counts.items()} == COUNTS


def test_harmonic_means_fit():
    """A figure that is wrongly typed would not, in the comparators' rows
    either. The paper rounds base and novel, so that HM may be 0.1 off."""
    for key in '28':
        figures = {(c.group, c.row, c.column): c.paper
                   for other, c in CELLS if other == key}
        for group, row, column in figures:
            if column == 'HM':
                base, novel = (figures[group, row, half]
                               for half in ('base', 'novel'))
                mean = 2 * base * novel / (base + novel)
                assert figures[group, row, 'HM'] == pytest.approx(
                    mean, abs=0.11), (group, row)
