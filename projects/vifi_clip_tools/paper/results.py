"""Cells filled with what the runs gave."""
import json
import math
import statistics
from functools import lru_cache
from pathlib import Path
from typing import (Any, Dict, Iterable, List, Mapping, NamedTuple, Optional,
                    Tuple)

import numpy as np

from projects.vifi_clip.datasets.video_list import (CHANGED, FIXED, OFFICIAL,
                                                    RELEASE)
from projects.vifi_clip.evaluation import harmonic_mean_of, read_predictions
from ..splits.release import RELEASES
from .layout import Layout
from .runs import Cell, Run, Table

_HM = 'HM/'
_WORDS = {OFFICIAL: 'from the official annotations',
          FIXED: 'with labels fixed', CHANGED: 'changed after they were made'}
_NOT_RELEASED = (('k400', 'train.txt'), ('msrvtt', 'train_9k.json'),
                 ('msrvtt', 'test_JSFUSION.json'))
AGAIN = 'remove metrics.json there and run the matrix again'


class Records:
    """What the tests of runs wrote, each file read once."""

    def __init__(self, layout: Layout, runs: Mapping[str, Run]) -> None:
        self.layout = layout
        self._record = lru_cache(None)(
            lambda name: layout.record(runs[name]))
        self.right = lru_cache(None)(self._right)

    def of(self, names: Iterable[str]) -> Dict[str, dict]:
        """Return the records by name of those runs that are finished."""
        records = {name: self._record(name) for name in names}
        return {name: record for name, record in records.items() if record}

    def _right(self, name: str, metric: str) -> Tuple[List[str], np.ndarray]:
        """Read the test videos of a run, and which of them it got right, [N];
        ``metric`` is ``acc/top1`` or that of one of its sets. ValueError or
        OSError if there are no predictions, or others than those of the
        metrics."""
        part = metric.removesuffix('acc/top1').rstrip('/')
        path = self.layout.predictions_file(name, part)
        names, labels, predicted, *_ = read_predictions(path)
        right = ((labels == predicted) & (labels >= 0)).astype(float)
        told = self._record(name)['metrics'][metric]
        if not right.size or not math.isclose(right.mean(), told,
                                              abs_tol=1e-6):
            raise ValueError(f'{path} is not from the test that wrote '
                             f'metrics.json beside it; {AGAIN}')
        return names, right


class Result(NamedTuple):
    """What there is for one cell, in its unit."""

    cell: Cell
    values: tuple = ()  # one of each finished run
    spread: Optional[float] = None  # of the only run (over official splits)
    # In place of the mean of `values`, where that is not the mean of anything:
    # the harmonic mean of the mean base and the mean novel accuracy.
    joint: Optional[float] = None
    lists: Tuple[str, ...] = ()  # which lists the runs used, each said once

    @property
    def mean(self) -> Optional[float]:
        """Mean over runs; None if none has been finished."""
        if self.joint is not None or not self.values:
            return self.joint
        return statistics.fmean(self.values)

    @property
    def std(self) -> Optional[float]:
        """Sample standard deviation over runs, or within the only one."""
        if len(self.values) > 1:
            return statistics.stdev(self.values)
        return self.spread

    @property
    def difference(self) -> Optional[float]:
        """Ours minus the paper's."""
        if self.mean is None or self.cell.paper is None:
            return None
        return self.mean - self.cell.paper

    def text(self) -> str:
        """The cell as people read it."""
        cell, std, paper = self.cell, self.std, self.cell.paper
        # Shares from 0 to 1 need two digits.
        digits = 2 if paper is not None and paper < 1 else 1
        if self.mean is None:
            ours = ('not run' if cell.runs else 'not measured' if cell.source
                    else 'not implemented')
        else:
            ours = f'{self.mean:.{digits}f}'
        if std is not None:
            if self.joint is not None:
                ours += f', per seed {statistics.fmean(self.values):.1f}'
            ours += f' ± {std:.1f}'
        said = []
        if 0 < len(self.values) < len(cell.runs):
            said.append(f'{len(self.values)} of {len(cell.runs)} runs')
        if paper is not None:
            said.append(f'paper {paper:.{digits}f}')
            if cell.paper_std is not None:
                said[-1] += f' ± {cell.paper_std:.1f}'
        if self.difference is not None:
            said.append(f'{self.difference:+.{digits}f}')
            said = ['; '.join([', '.join(said), *self.lists])]
        return f'{ours} ({", ".join(said)})' if said else ours


def fill(table: Table, records: Records) -> List[Result]:
    """Return the results of a table's cells; a ValueError if a run's results
    lack a metric of the table, or a file of another command is not what it
    writes."""
    return [_from_source(cell, records.layout) if cell.source else
            _from_runs(cell, records.of(cell.runs)) for cell in table.cells]


def _from_runs(cell: Cell, records: Dict[str, dict]) -> Result:
    if not records:
        return Result(cell)

    def values(key: str) -> tuple:
        for name, record in records.items():
            if key not in record['metrics']:
                raise ValueError(
                    f'the results of {name} have no {key!r}, only '
                    f'{sorted(record["metrics"])}; remove its metrics.json '
                    'and run it again')
        return tuple(cell.scale * record['metrics'][key]
                     for record in records.values())

    spread = values(cell.std)[-1] if cell.std else None
    joint = None
    if cell.metric.startswith(_HM):
        joint = harmonic_mean_of(*(statistics.fmean(values(key))
                                   for key in parts(cell.metric)))
    lists = dict.fromkeys(lists_text(record.get('lists'))
                          for record in records.values())
    return Result(cell, values(cell.metric), spread, joint, tuple(lists))


def parts(metric: str) -> List[str]:
    """The metrics of test sets that a cell's metric is made of."""
    if not metric.startswith(_HM):
        return [metric]
    return [f'{half}/{metric[len(_HM):]}' for half in ('base', 'novel')]


def _from_source(cell: Cell, layout: Layout) -> Result:
    path = Path(layout.path(cell.source.file))
    if not path.is_file():
        return Result(cell)
    try:
        value = float(cell.source.read(json.loads(path.read_text())))
        if not math.isfinite(value):
            raise ValueError(f'a figure is {value}')
    except StopIteration:  # the file is of other configs or models
        return Result(cell)
    except (ValueError, KeyError, TypeError, OverflowError,
            RecursionError) as error:
        raise ValueError(f'{path} is not what its command writes: {error}; '
                         'remove it or make it again') from error
    return Result(cell, (value, ))


def lists_text(entries: Any) -> str:
    """Say which lists a run used: the paper's, or which not.

    The paper's are those of the release, and official lists that the paper
    used and the release does not have. ``entries`` are those of its record,
    as ``list_origin`` makes them; older records have none.
    """
    if not entries:
        return 'lists not recorded'
    try:
        other = [
            f'{entry["part"]} lists '
            + _WORDS.get(entry['origin'], 'of unknown origin')
            for entry in entries if not (
                (entry.get('dataset'), entry['file']) in _NOT_RELEASED
                if entry['origin'] == OFFICIAL else
                entry['origin'] == RELEASE
                and entry.get('dataset') in RELEASES)]
    except (TypeError, KeyError, AttributeError):
        return 'lists not recorded'
    if not other:
        return 'the paper\'s lists'
    return f'not the paper\'s lists: {", ".join(dict.fromkeys(other))}'
