"""Whether the paper's claims hold in the small world, as far as it can tell.

A claim compares two cells whose runs were tested on the same videos. What
could have come out otherwise by chance are the seeds (training videos drawn,
their order) and the test videos. Both are drawn again, many times: videos for
both sides together, seeds for each side on its own. From the variances V of
the difference follows its standard error, with three corrections:

- Of S seeds, S - 1 are drawn: with so few, drawing all would make their
  variance too small by a share of 1 / S (Rao and Wu 1988).
- What a seed and a video have to do with each other alone is in V(videos), in
  V(seeds), and three times in V(both) (Owen 2007), but should count once:
  V = V(videos) + V(seeds) - E with E = V(both) - V(videos) - V(seeds).
- The error is compared with Student's t, whose degrees of freedom follow from
  the seeds' part in it (Satterthwaite 1946).

In simulated worlds without a difference this finds one in 3 to 7 of 100 cases,
the more the more seeds matter; percentiles of the draws do so in up to 11.
"""
import math
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from projects.vifi_clip.evaluation.predictions_file import read_predictions
from projects.vifi_clip.evaluation.set_summary import harmonic_mean_of
from .layout import Layout
from .paper import BOTH, FROZEN, IMAGE, PROMPTS, SHOTS, TEXT
from .results import parts
from .runs import Cell, Run, Table

Place = Tuple[str, str]  # row, column
Hits = List[np.ndarray]  # of one or two test sets: [S seeds, N videos], 0 or 1
Videos = List[List[str]]  # N of each test set
LEVEL = 0.05
DRAWS = 2000


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


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
        gain (float): Better minus worse, percentage points.
        low, high (float): Its 95% confidence interval.
        chance (float): Probability of a gain as far from 0 if there were
            none, two-sided.
    """

    gain: float
    low: float
    high: float
    chance: float

    def text(self) -> str:
        """The verdict in words."""
        said = ('cannot be told' if self.chance >= LEVEL else
                'holds' if self.gain > 0 else 'does not hold')
        return (f'{said}: {self.gain:+.1f} '
                f'({self.low:+.1f} to {self.high:+.1f})')


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
    claims += [_over('4', BOTH, row, 'top-1')
               for row in (FROZEN, IMAGE, TEXT)]
    claims.append(_over('4', IMAGE, TEXT, 'top-1'))
    return claims + [_over('5', 'embedding', kind, 'top-1')
                     for kind in ('decision', 'image')]


def _over(table: str, better: str, worse: str, column: str) -> Claim:
    return Claim(table, f'{better} over {worse}, {column}', (better, column),
                 (worse, column))


def judge(claims: Sequence[Claim], tables: Sequence[Table],
          hits: Callable[[Cell], Optional[Tuple[Videos, Hits]]]
          ) -> List[Tuple[Claim, Union[Verdict, str]]]:
    """Judge the claims about some tables.

    Args:
        claims (Sequence[Claim]): What is claimed.
        tables (Sequence[Table]): Tables; claims about others are left out.
        hits (Callable): As :func:`read_hits`.

    Returns:
        list[tuple[Claim, Verdict | str]]: Or why there is no verdict.
    """
    cells: Dict[Tuple[str, str, str], Cell] = {
        (table.key, cell.row, cell.column): cell
        for table in tables for cell in table.cells
    }
    keys = {table.key for table in tables}
    judged = []
    for claim in claims:
        if claim.table not in keys:
            continue
        try:
            sides = [hits(cells[(claim.table, *place)])
                     for place in (claim.better, claim.worse)]
        except ValueError as error:
            judged.append((claim, f'not judged: {error}'))
            continue
        if None in sides:
            judged.append((claim, 'not run'))
        elif sides[0][0] != sides[1][0]:
            judged.append((claim, 'not judged: tested on other videos'))
        else:
            judged.append((claim, compare(sides[0][1], sides[1][1])))
    return judged


def read_hits(cell: Cell, runs: Dict[str, Run],
              layout: Layout) -> Optional[Tuple[Videos, Hits]]:
    """Which test videos a cell's finished runs got right.

    Args:
        cell (Cell): Of top-1 accuracy, or of HM of two sets.
        runs (dict[str, Run]): Runs by name.
        layout (Layout): Where their results are.

    Returns:
        tuple, optional: The videos of each test set, and [S, N] of each; None
        if no run is finished.

    Raises:
        ValueError: Predictions are absent, of other videos than those of the
            other seeds, or not those of the metrics.
    """
    records = [(runs[name], layout.record(runs[name])) for name in cell.runs]
    records = [(run, record) for run, record in records if record]
    if not records:
        return None
    videos, hits = [], []
    for metric in parts(cell.metric):
        found: Dict[str, np.ndarray] = {}
        part = metric.rpartition('acc/')[0].rstrip('/')
        for run, record in records:
            path = layout.predictions_file(run, part)
            names, right = _read_right(path)
            if not right.size or not math.isclose(
                    right.mean(), record['metrics'][metric], abs_tol=1e-6):
                raise ValueError(f'{path} is not of the test that wrote '
                                 f'metrics.json beside it; {_AGAIN}')
            if found and names != videos[-1]:
                raise ValueError(f'{path} is of other videos than the other '
                                 f'seeds\'; {_AGAIN}')
            if not found:
                videos.append(names)
            found[run.name] = right
        hits.append(np.stack(list(found.values())))
    return videos, hits


_AGAIN = 'remove metrics.json there and run the matrix again'


def _read_right(path: str) -> Tuple[List[str], np.ndarray]:
    """Videos of a file of predictions, and which of them are right [N]."""
    try:
        names, labels, predicted = read_predictions(path)
    except OSError as error:
        raise ValueError(f'{path} cannot be read ({error.strerror}); {_AGAIN}'
                         ) from error
    return names, ((labels == predicted) & (labels >= 0)).astype(float)


def compare(better: Hits, worse: Hits, seed: int = 0) -> Verdict:
    """Judge a difference by drawing seeds and videos again; see the module.

    Args:
        better (list[np.ndarray]): [S, N] of each test set, 1 where a run got
            a video right. Of two sets, the harmonic mean is compared.
        worse (list[np.ndarray]): Likewise, of the same N videos.
        seed (int): Of the draws.

    Returns:
        Verdict: In percentage points.
    """
    from scipy import stats  # comes with MMAction2
    rng = np.random.default_rng(seed)
    videos = [_shares(rng, hits.shape[1], hits.shape[1]) for hits in better]
    seeds = [_shares(rng, len(side[0]), len(side[0]) - 1)
             for side in (better, worse)]
    even = [np.full((1, len(side[0])), 1 / len(side[0]))
            for side in (better, worse)]

    def gains(draws: list, weights: list) -> np.ndarray:
        one, other = (
            _accuracy([((v @ hits.T) * w).sum(1)
                       for v, hits in zip(draws, side)])
            for w, side in zip(weights, (better, worse)))
        return 100 * (one - other)

    all_videos = [np.full((1, hits.shape[1]), 1 / hits.shape[1])
                  for hits in better]
    gain = float(gains(all_videos, even)[0])
    of_videos = gains(videos, even).var()
    of_seeds = gains(all_videos, seeds).var()
    shared = max(gains(videos, seeds).var() - of_videos - of_seeds, 0)
    total = max(of_videos + of_seeds - shared, of_videos, of_seeds)
    if not total:
        return Verdict(gain, gain, gain, float(gain == 0))
    spare = sum(len(side[0]) - 1 for side in (better, worse))
    count = min(hits.shape[1] for hits in better)
    freedom = total**2 / (of_seeds**2 / max(spare, 1)
                          + of_videos**2 / max(count - 1, 1))
    error = math.sqrt(total)
    reach = stats.t.ppf(1 - LEVEL / 2, freedom) * error
    chance = 2 * stats.t.sf(abs(gain) / error, freedom)
    return Verdict(gain, gain - reach, gain + reach, float(chance))


def _shares(rng: np.random.Generator, among: int, draws: int) -> np.ndarray:
    """How often each of some things is drawn, as shares, [DRAWS, among]."""
    if draws < 1:  # a single run has no spread to draw from
        return np.ones((DRAWS, among))
    counts = rng.multinomial(draws, np.full(among, 1 / among), size=DRAWS)
    return counts / draws


def _accuracy(shares: List[np.ndarray]) -> np.ndarray:
    """Accuracy of one set, or the harmonic mean of two, for each draw."""
    if len(shares) == 1:
        return shares[0]
    return np.array([harmonic_mean_of(*pair) for pair in zip(*shares)])
