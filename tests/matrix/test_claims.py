"""Verdicts on the paper's claims."""
import pytest

from projects.vifi_clip.matrix.claims import (Claim, judge, mini_claims,
                                              p_value)
from projects.vifi_clip.matrix.mini_tables import mini_tables
from projects.vifi_clip.matrix.results import Result
from projects.vifi_clip.matrix.runs import Cell, Table


def test_every_claim_is_about_cells_that_exist():
    places = {(key, cell.row, cell.column)
              for key, table in mini_tables().items() for cell in table.cells}
    for claim in mini_claims():
        assert (claim.table, *claim.better) in places, claim
        assert (claim.table, *claim.worse) in places, claim


def test_p_value_by_hand():
    # Welch: means 2 and 5, variances 1 and 1, n = 3: t = 3.674, df = 4
    assert p_value((1, 2, 3), (4, 5, 6)) == pytest.approx(0.0213, abs=2e-4)
    # one sample against a fixed figure: t = 3.4641, df = 2
    assert p_value((1, 2, 3), (4, )) == pytest.approx(0.0742, abs=2e-4)
    assert p_value((4, ), (1, 2, 3)) == p_value((1, 2, 3), (4, ))
    assert p_value((1, ), (2, )) is None
    assert p_value((2, 2), (2, 2)) is None is p_value((2, 2), (3, ))


@pytest.mark.parametrize('better, worse, said', [
    ((50., 51., 52.), (30., 31., 32.), 'holds (+20.0'),
    ((30., 31., 32.), (50., 51., 52.), 'does not hold (-20.0'),
    ((50., 40., 30.), (35., 36., 37.), 'cannot be told from the spread'),
    ((50., ), (30., ), 'cannot be told: no spread to judge by (+20'),
    ((50., 51., 52.), (20., ), 'holds (+31.0'), ((), (1., 2.), 'not run')])
def test_verdicts(better, worse, said):
    results = [Result(Cell(row, 'top-1', (), 'acc/top1'), values)
               for row, values in (('a', better), ('b', worse))]
    table = Table('8', 'x', tuple(r.cell for r in results), ())
    claim = Claim('8', 'a over b', ('a', 'top-1'), ('b', 'top-1'))
    elsewhere = Claim('9', '', ('a', 'top-1'), ('b', 'top-1'))
    (_, verdict), = judge([claim, elsewhere], [(table, results)])
    assert verdict.startswith(said)
