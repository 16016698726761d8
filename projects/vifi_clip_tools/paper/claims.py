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
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from scipy import stats  # comes with MMAction2

from projects.vifi_clip.evaluation import harmonic_mean_of
from .results import AGAIN, Records, parts
from .runs import (A6, ACTIONCLIP, BOTH, COMPARED, FROZEN, HALVES, IMAGE,
                   PROMPTS, SHOTS, TEXT, XCLIP, Cell, Table)

Hits = List[np.ndarray]  # of one or two test sets: [S seeds, N videos], 0 or 1
Videos = List[List[str]]  # N of each test set
ReadHits = Callable[[Cell], Optional[Tuple[Videos, Hits]]]
Place = Tuple[str, str, str]  # of a cell: table, row, column
LEVEL = 0.05
DRAWS = 2000


class Claim(NamedTuple):
    """One cell is said to be better than another."""

    text: str
    better: Place
    worse: Place
    words: Tuple[str, str] = ('holds', 'reversed')


class Verdict(NamedTuple):
    """What the runs say of a claim."""

    gain: float  # better minus worse, percentage points
    low: float  # its 95% confidence interval
    high: float
    chance: float  # of a gain as far from 0 if there were none, two-sided

    def text(self, more: str = 'holds', less: str = 'reversed') -> str:
        """Say the verdict in words."""
        word = ('inconclusive' if self.chance >= LEVEL else
                more if self.gain > 0 else less)
        return (f'{word}: {self.gain:+.1f} '
                f'({self.low:+.1f} to {self.high:+.1f})')


def mini_claims() -> List[Claim]:
    """The paper's claims in terms of the small world's tables."""
    def over(table: str, better: str, others: Sequence[str],
             columns: Sequence[str], theirs: str = '') -> List[Claim]:
        return [Claim(f'{better} over {worse}, {column}',
                      (table, better, column),
                      (theirs or table, worse, column))
                for column in columns for worse in others]

    few = 'K=2', 'K=16'
    return [
        *over('1', BOTH, (FROZEN, *COMPARED, IMAGE, TEXT),
              ('24 target classes', '8 more classes')),
        *over('2', BOTH, (FROZEN, *COMPARED), HALVES),
        *over('2', BOTH, (IMAGE, TEXT), ('HM', )),
        *over('3', BOTH, (FROZEN, *COMPARED), [f'K={k}' for k in SHOTS]),
        Claim(f'{BOTH}: more shots help (16 over 2)', ('3', BOTH, 'K=16'),
              ('3', BOTH, 'K=2')),
        # Where X-CLIP is ahead of ViFi-CLIP in the paper.
        *over('4', XCLIP, (BOTH, ), ('top-1', )),
        *over('4', BOTH, (FROZEN, ACTIONCLIP, A6, IMAGE, TEXT), ('top-1', )),
        *over('4', IMAGE, (TEXT, ), ('top-1', )),
        *over('5', 'embedding', ('decision', 'image'), ('top-1', )),
        *over('7', PROMPTS, COMPARED, few),
        *over('8', PROMPTS, COMPARED, ('base', 'HM')),
        # The paper has these side by side in no table.
        *over('7', PROMPTS, (BOTH, ), few, theirs='3'),
        *over('8', PROMPTS, (BOTH, ), ('HM', ), theirs='2')]


def judge(claims: Sequence[Claim], tables: Sequence[Table],
          hits: ReadHits) -> List[Tuple[Claim, str]]:
    """Judge the claims about some tables, and leave out claims about others:
    a verdict each, or why not. ``hits`` is as :func:`read_hits`."""
    cells = {(table.key, cell.row, cell.column): cell
             for table in tables for cell in table.cells}
    judged = []
    for claim in claims:
        pair = [cells.get(place) for place in (claim.better, claim.worse)]
        if None in pair:
            continue
        verdict = 'not run'
        try:
            better, worse = map(hits, pair)
            if better and worse:
                verdict = (compare(better[1], worse[1]).text(*claim.words)
                           if better[0] == worse[0] else
                           'not judged: tested on other videos')
        except (ValueError, OSError) as error:
            verdict = f'not judged: {error}'
        judged.append((claim, verdict))
    return judged


def read_hits(cell: Cell, records: Records) -> Optional[Tuple[Videos, Hits]]:
    """Read which test videos a cell's finished runs got right.

    The cell is of top-1 accuracy, or of HM of two sets. Returns the videos of
    each test set, and [S, N] of each; None if no run is finished. ValueError
    or OSError if predictions are absent or of another test.
    """
    names = list(records.of(cell.runs))
    if not names:
        return None
    videos, hits = [], []
    for metric in parts(cell.metric):
        of_seeds = [records.right(name, metric) for name in names]
        videos.append(of_seeds[0][0])
        for name, (listed, _) in zip(names, of_seeds):
            if listed != videos[-1]:
                raise ValueError(f'the predictions of {name} are of other '
                                 f'videos than the other seeds\'; {AGAIN}')
        hits.append(np.stack([right for _, right in of_seeds]))
    return videos, hits


def compare(better: Hits, worse: Hits, seed: int = 0) -> Verdict:
    """Judge a difference by drawing seeds and videos again; see the module.

    Both are of the same videos. Of two test sets, the harmonic means are
    compared. ``seed`` is that of the draws.
    """
    rng = np.random.default_rng(seed)
    videos = [_shares(rng, hits.shape[1], hits.shape[1]) for hits in better]
    seeds = [_shares(rng, len(side[0]), len(side[0]) - 1)
             for side in (better, worse)]
    all_videos, all_seeds = (
        [np.full((1, drawn.shape[1]), 1 / drawn.shape[1]) for drawn in draws]
        for draws in (videos, seeds))

    def gains(draws: list, weights: list) -> np.ndarray:
        accuracies = []
        for w, side in zip(weights, (better, worse)):
            shares = [((v @ hits.T) * w).sum(1)
                      for v, hits in zip(draws, side)]
            accuracies.append(shares[0] if len(shares) == 1 else np.array(
                [harmonic_mean_of(*pair) for pair in zip(*shares)]))
        return 100 * (accuracies[0] - accuracies[1])

    gain = float(gains(all_videos, all_seeds)[0])
    of_videos = gains(videos, all_seeds).var()
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
    """Draw from some things: the share of each, [DRAWS, among]."""
    if draws < 1:  # a single run has no spread to draw from
        return np.ones((DRAWS, among))
    counts = rng.multinomial(draws, np.full(among, 1 / among), size=DRAWS)
    return counts / draws
