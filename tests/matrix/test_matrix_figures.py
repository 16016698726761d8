"""The paper's figures, typed a second time from the paper."""
import pytest

from projects.vifi_clip.matrix.paper_tables import paper_tables

ROWS = dict(none='vanilla CLIP', image='CLIP image-FT', text='CLIP text-FT',
            both='ViFi-CLIP', prompts='bridge and prompt')
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
        both 57.2 62.7 64.5 66.8''',
    ('3', 'ucf101'): '''none 63.6 63.6 63.6 63.6
        both 80.7 85.1 90.0 92.7''',
    ('3', 'ssv2'): '''none 2.7 2.7 2.7 2.7
        both 6.2 7.4 8.5 12.4''',
    ('4', 'hmdb51'): 'both 73.8 53.3 61.9\nprompts 77.1 54.9 64.1',
    ('4', 'ucf101'): 'both 92.9 67.7 78.3\nprompts 95.9 74.1 83.6',
    ('4', 'ssv2'): 'both 16.2 12.1 13.9\nprompts 15.8 11.5 13.3',
    ('5', 'hmdb51'): '''both 57.2 62.7 64.5 66.8
        prompts 63.0 65.1 69.6 72.0''',
    ('5', 'ucf101'): '''both 80.7 85.1 90.0 92.7
        prompts 91.0 93.7 95.0 96.4''',
    ('5', 'ssv2'): 'both 6.2 7.4 8.5 12.4\nprompts 6.7 7.9 10.2 13.5',
    ('7', ''): '''decision 74.6 10.8 62.2 90.5
        image-fusion 74.0 11.2 64.4 91.7
        embedding 76.9 12.4 66.8 92.7''',
    ('8', ''): 'image 82.8 96.2\ntext 73.1 91.2\nboth 83.9 96.3',
    ('10', ''): 'both 44.8 72.4',
}
ZERO_SHOT = {  # mean, spread
    'none': ((40.8, .3), (63.2, .2), (59.8, .3), (83.5, .2)),
    'image': ((49.0, .3), (72.9, .8), (62.4, 1.), (85.8, .5)),
    'text': ((48.5, .1), (69.8, 1.1), (68.5, 1.2), (89.6, .3)),
    'both': ((51.3, .6), (76.8, .7), (71.2, 1.), (92.2, .3)),
}
COLUMNS = {
    '1': ['HMDB-51', 'UCF-101', 'K600 top-1', 'K600 top-5'],
    '2': ['base', 'novel', 'HM'], '4': ['base', 'novel', 'HM'],
    '3': ['K=2', 'K=4', 'K=8', 'K=16'], '5': ['K=2', 'K=4', 'K=8', 'K=16'],
    '7': ['k400 tiny', 'ssv2 K=16', 'hmdb51 K=16', 'ucf101 K=16'],
    '8': ['top-1', 'top-5'], '10': ['R@1', 'R@5'],
}


def _expected():
    cells = {('1', '', ROWS[row], column): figure
             for row, figures in ZERO_SHOT.items()
             for column, figure in zip(COLUMNS['1'], figures)}
    for (key, group), text in FIGURES.items():
        for line in text.splitlines():
            row, *figures = line.split()
            row = ROWS.get(row, row.replace('-fusion', ''))
            for column, figure in zip(COLUMNS[key], figures, strict=True):
                cells[key, group, row, column] = float(figure)
    for column in COLUMNS['10']:  # the paper has no frozen CLIP here
        cells['10', '', ROWS['none'], column] = None
    return cells


def test_every_cell_has_the_papers_figure():
    found = {(table.key, cell.group, cell.row, cell.column): cell.paper
             for table in paper_tables().values() for cell in table.cells}
    assert found == _expected()
    assert len(found) == 152


@pytest.mark.parametrize('group', ['k400', 'hmdb51', 'ucf101', 'ssv2'])
def test_harmonic_means_are_of_their_halves(group):
    """A misread figure would not fit the other two."""
    for key in '24':
        if (key, group) in FIGURES:
            for line in FIGURES[key, group].splitlines():
                base, novel, mean = map(float, line.split()[1:])
                assert 2 * base * novel / (base + novel) == pytest.approx(
                    mean, abs=0.11)
