"""Whether the paper's claims hold, as far as seeds can tell."""
import statistics
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from .paper import BOTH, FROZEN, IMAGE, PROMPTS, SHOTS, TEXT
from .results import Result
from .runs import Table

Place = Tuple[str, str]  # row, column
LEVEL = 0.05


@dataclass(frozen=True)
class Claim:
    """One cell is said to be better than another of the same table.

    Attributes:
        table (str): Key of the table.
        text (str): The claim in words.
        better (Place): Row and column.
        worse (Place): Row and column.
    """

    table: str
    text: str
    better: Place
    worse: Place


def mini_claims() -> List[Claim]:
    """The paper's claims in terms of the small world's tables."""
    claims = []
    for column in ('24 target classes', '8 more classes'):
        claims += [_over('1', BOTH, row, column)
                   for row in (FROZEN, IMAGE, TEXT)]
    claims += [_over('2', BOTH, FROZEN, column)
               for column in ('base', 'novel', 'HM')]
    claims += [_over('2', BOTH, row, 'HM') for row in (IMAGE, TEXT)]
    claims.append(_over('2', PROMPTS, BOTH, 'HM'))
    for shots in SHOTS:
        claims.append(_over('3', BOTH, FROZEN, f'K={shots}'))
    claims.append(Claim('3', f'{BOTH}: more shots help (16 over 2)',
                        (BOTH, 'K=16'), (BOTH, 'K=2')))
    for shots in SHOTS:
        claims.append(_over('3', PROMPTS, BOTH, f'K={shots}'))
    claims += [_over('7', 'embedding', kind, 'top-1')
               for kind in ('decision', 'image')]
    claims += [_over('8', BOTH, row, 'top-1')
               for row in (FROZEN, IMAGE, TEXT)]
    return claims + [_over('8', IMAGE, TEXT, 'top-1')]


def _over(table: str, better: str, worse: str, column: str) -> Claim:
    return Claim(table, f'{better} over {worse}, {column}', (better, column),
                 (worse, column))


def judge(claims: Sequence[Claim],
          filled: Sequence[Tuple[Table, List[Result]]]) -> List[tuple]:
    """Compare each claim's cells.

    A claim holds, or does not, if the difference is unlikely (p < 0.05) to be
    due to the seeds: Welch's t test, or the one-sample test against frozen
    CLIP, which has no seed. The test videos are the same for all, so their
    choice is not in the spread.

    Args:
        claims (Sequence[Claim]): What is claimed.
        filled (Sequence): Tables with their results.

    Returns:
        list[tuple[Claim, str]]: Each claim with a verdict in words.
    """
    found: Dict[Tuple[str, str, str], Result] = {
        (table.key, r.cell.row, r.cell.column): r
        for table, results in filled for r in results
    }
    keys = {table.key for table, _ in filled}
    return [(claim, _verdict(found[(claim.table, *claim.better)].values,
                             found[(claim.table, *claim.worse)].values))
            for claim in claims if claim.table in keys]


def _verdict(better: tuple, worse: tuple) -> str:
    if not better or not worse:
        return 'not run'
    gain = statistics.fmean(better) - statistics.fmean(worse)
    chance = p_value(better, worse)
    if chance is None:
        return f'cannot be told: no spread to judge by ({gain:+.1f})'
    figures = f'{gain:+.1f}, p = {chance:.2g}'
    if chance >= LEVEL:
        return f'cannot be told from the spread ({figures})'
    return f'{"holds" if gain > 0 else "does not hold"} ({figures})'


def p_value(a: Sequence[float], b: Sequence[float]) -> Optional[float]:
    """Two-sided p-value of equal means.

    Returns:
        float, optional: None where neither side has a spread to judge by.
    """
    from scipy import stats  # comes with MMAction2
    if len(a) < 2 and len(b) < 2:
        return None
    if len(a) < 2:
        a, b = b, a
    if statistics.pstdev(a) == 0 and (len(b) < 2 or statistics.pstdev(b) == 0):
        return None  # a few test videos: all seeds got the same number right
    if len(b) < 2:
        return float(stats.ttest_1samp(a, b[0]).pvalue)
    return float(stats.ttest_ind(a, b, equal_var=False).pvalue)
