"""Claims about the cells of the small world's tables are judged."""
import math

import numpy as np
import pytest
from matrix_world import write_predictions, write_record

from projects.vifi_clip_tools.paper import claims
from projects.vifi_clip_tools.paper.additions import KEY, PARTS, gains_text
from projects.vifi_clip_tools.paper.claims import (Claim, compare, judge,
                                                   mini_claims, read_hits)
from projects.vifi_clip_tools.paper.results import Records
from projects.vifi_clip_tools.paper.runs import BOTH, Cell, Run, Table
from projects.vifi_clip_tools.paper.tables import mini_tables


def test_every_claim_is_about_cells_that_exist():
    places = {(key, cell.row, cell.column)
              for key, table in mini_tables().items() for cell in table.cells}
    made = mini_claims()
    assert len(made) == len(set(made)) == 67
    for claim in made:
        assert {claim.better, claim.worse} <= places, claim


def _world(rng, seeds, videos, spread, gain=0.):
    """Hits of a method: videos differ in difficulty, seeds in skill.

    The difficulty is the same for all methods (``rng`` aside).
    """
    difficulty = np.random.default_rng(5).normal(0, 1.2, videos)
    own = rng.normal(0, .7, videos)  # what this method finds hard
    skill = rng.normal(0, spread, (seeds, 1)) if seeds > 1 else 0.
    noise = rng.normal(0, .7, (seeds, videos))
    return (difficulty + own + skill + gain + noise > 0).astype(float)


def test_error_of_videos_is_the_binomial_one():
    """One seed a side: what is left is McNemar's, paired, error."""
    rng = np.random.default_rng(0)
    one, other = _world(rng, 1, 1000, 0.), _world(rng, 1, 1000, 0.)
    verdict, difference = compare([one], [other]), (one - other)[0]
    assert verdict.gain == pytest.approx(100 * difference.mean())
    error = 100 * difference.std(ddof=1) / math.sqrt(1000)
    assert (verdict.high - verdict.low) / 2 == pytest.approx(1.96 * error,
                                                             rel=0.05)


def test_error_of_seeds_is_welchs():
    """Each seed right on a share of its own: Welch's interval."""
    # so many videos that their part of the error nearly vanishes
    verdict = compare(*([np.repeat(np.array(shares)[:, None], 2000, 1)]
                        for shares in ((.5, .6, .7), (.2, .3, .4))))
    # standard error sqrt(2 * 0.01 / 3) = 0.0816, t of 4 degrees: 2.776
    assert verdict.gain == pytest.approx(30.)
    reach = (verdict.high - verdict.low) / 2
    assert reach == pytest.approx(100 * 2.776 * 0.0816, rel=0.08)
    assert verdict.chance == pytest.approx(0.0213, rel=0.3)


@pytest.mark.parametrize('spread', [0.05, 0.3])
@pytest.mark.parametrize('seeds', [(3, 3), (3, 1)])
def test_nothing_is_found_where_nothing_is(monkeypatch, spread, seeds):
    """In 120 worlds without a difference, one in twenty or little more is
    called one, whether seeds or videos matter."""
    monkeypatch.setattr(claims, 'DRAWS', 300)
    rng, wrong = np.random.default_rng(1), 0
    for world in range(120):
        sides = [_world(rng, count, 200, spread) for count in seeds]
        wrong += compare([sides[0]], [sides[1]], seed=world).chance < 0.05
    # at a rate of 0.05, P(more than 13 of 120) is 0.003
    assert wrong <= 13


def right(count, seeds):
    """Of 100 videos, the first are right."""
    return np.repeat([[1.] * count + [0.] * (100 - count)], seeds, 0)


def test_harmonic_mean_of_two_sets():
    verdict = compare([right(60, 2), right(40, 2)], [right(50, 2)] * 2)
    assert verdict.gain == pytest.approx(48. - 50.)  # 2 * 60 * 40 / 100
    assert 'inconclusive' in verdict.text()


def _hits(cell):
    """Of 100 videos, as many as the row says are right in three seeds."""
    if cell.row == 'damaged':
        raise ValueError('p.csv is cut')
    if cell.row == 'not run':
        return None
    # another column's videos are others
    videos = [cell.column + str(i) for i in range(100)]
    return [videos], [right(int(cell.row), 3)]


@pytest.mark.parametrize('better, worse, verdict', [
    ('90', '30', 'holds: +60.0'), ('30', '90', 'reversed: -60.0'),
    ('50', '49', 'inconclusive: +1.0'), ('50', 'not run', 'not run'),
    ('50', 'damaged', 'not judged: p.csv is cut'),
    ('50', '49 ', 'not judged: tested on other videos')])
def test_verdicts(better, worse, verdict):
    """A claim that cannot be judged leaves the others alone."""
    pair = (better, 'x'), (worse.strip(), 'y' if worse[-1] == ' ' else 'x')
    table = Table('4', 'x', cells=[Cell(*name) for name in pair])
    claims_made = [Claim('a over b', *((key, *name) for name in pair))
                   for key in '94']
    (_, text), = judge(claims_made, [table], _hits)
    assert text.startswith(verdict)


FULL = {f'full/seed{s}': Run(f'full/seed{s}', 'vifi_mini', dict(SEED=str(s)))
        for s in (1, 2)}


def hits_of(layout, metric='acc/top1'):
    return read_hits(Cell('a', 'x', tuple(FULL), metric),
                     Records(layout, FULL))


def test_hits_of_runs(layout):
    assert hits_of(layout, 'HM/acc/top1') is None
    run = FULL['full/seed1']
    write_record(layout, run, {
        'base/acc/top1': 2 / 3, 'novel/acc/top1': 0.5, 'HM/acc/top1': 4 / 7})
    write_predictions(layout, run, [0, 1, 2], [0, 1, 0], 'base')
    # a video without label that could not be read is not right
    write_predictions(layout, run, [0, -1], [0, -1], 'novel')
    videos, (base, novel) = hits_of(layout, 'HM/acc/top1')
    assert base.tolist() == [[1, 1, 0]] and novel.tolist() == [[1, 0]]
    assert videos == [['v0.mp4', 'v1.mp4', 'v2.mp4'], ['v0.mp4', 'v1.mp4']]


def test_predictions_of_another_test(layout):
    """Two seeds have to be of the same videos, line by line."""
    write_record(layout, FULL['full/seed1'], {'acc/top1': 1.})
    for predictions in None, ([0, 1], [0, 0]), ([], []):
        if predictions:
            write_predictions(layout, FULL['full/seed1'], *predictions)
        with pytest.raises((ValueError, OSError), match='predictions.csv'):
            hits_of(layout)
    for run in FULL.values():
        write_record(layout, run, {'acc/top1': .5})
        path = write_predictions(layout, run, [0, 1], [0, 0])
    head, first, second = path.read_text().splitlines()
    path.write_text('\n'.join([head, second, first]) + '\n')
    with pytest.raises(ValueError, match='full/seed2'):
        hits_of(layout)


def test_gains():
    """Beside each other, in their own words."""
    table = Table(KEY, 'x', cells=[
        Cell(row, 'base', (row, )) for row in (
            BOTH, PARTS[0].row, PARTS[1].row, PARTS[2].row)])
    count = dict(zip((cell.row for cell in table.cells), (50, 90, 10, 51)))
    text = gains_text([table], lambda cell: (
        [[str(i) for i in range(100)]], [right(count[cell.row], 3)]))
    rows = [line for line in text.splitlines() if line.startswith('| ')]
    assert [row.split(' | ')[1][:10] for row in rows[1:]] == [
        'gains: +40', 'loses: -40', 'inconclusi']
    assert gains_text([Table('4', 'x')], None) == ''
