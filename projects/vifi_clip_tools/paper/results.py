"""Cells filled with what the runs gave."""
import json
import math
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from projects.vifi_clip.evaluation.set_summary import harmonic_mean_of
from .layout import Layout
from projects.vifi_clip_tools.paper.lists import lists_text
from .runs import Cell, Run, Table

_HM = 'HM/'


@dataclass(frozen=True)
class Result:
    """What there is for one cell, in its unit.

    Attributes:
        cell (Cell): The cell.
        values (tuple[float, ...]): One of each finished run.
        spread (float, optional): Of the only run (over official splits).
        joint (float, optional): In place of the mean of ``values``, where
            that is not the mean of anything: the harmonic mean of the mean
            base and the mean novel accuracy.
        lists (tuple[str, ...]): Which lists the runs used, each said once.
    """

    cell: Cell
    values: tuple = ()
    spread: Optional[float] = None
    joint: Optional[float] = None
    lists: Tuple[str, ...] = ()

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
    def paper(self) -> Optional[float]:
        """The paper's figure."""
        figure = self.cell.paper
        return figure[0] if isinstance(figure, tuple) else figure

    @property
    def difference(self) -> Optional[float]:
        """Ours minus the paper's."""
        if self.mean is None or self.paper is None:
            return None
        return self.mean - self.paper

    @property
    def digits(self) -> int:
        """Behind the point: shares from 0 to 1 need two."""
        small = self.paper is not None and self.paper < 1
        return 2 if small else 1

    def text(self) -> str:
        """The cell as people read it."""
        figure, digits = self.cell.paper, self.digits
        said = []
        if len(self.values) < len(self.cell.runs) and self.values:
            said.append(f'{len(self.values)} of {len(self.cell.runs)} runs')
        if figure is not None:
            spread = f' ± {figure[1]:.1f}' if isinstance(figure, tuple) else ''
            said.append(f'paper {self.paper:.{digits}f}{spread}')
        if self.difference is not None:
            said.append(f'{self.difference:+.{digits}f}')
        said = [', '.join(said)] if said else []
        if self.difference is not None:
            said += self.lists
        return f'{self._ours()} ({"; ".join(said)})' if said else self._ours()

    def _ours(self) -> str:
        cell, std = self.cell, self.std
        if self.mean is None:
            known = cell.runs or cell.source
            return ('not implemented' if not known else
                    'not run' if cell.runs else 'not measured')
        ours = f'{self.mean:.{self.digits}f}'
        if std is None:
            return ours
        if self.joint is None:
            return f'{ours} ± {std:.1f}'
        return f'{ours}, per seed {statistics.fmean(self.values):.1f} ± ' \
            f'{std:.1f}'


def fill(table: Table, runs: Dict[str, Run], layout: Layout) -> List[Result]:
    """The results of a table's cells.

    Args:
        table (Table): The table.
        runs (dict[str, Run]): Runs by name.
        layout (Layout): Where their results are.

    Raises:
        ValueError: A run's results lack a metric of the table.
    """
    return [
        _from_source(cell, layout) if cell.source else _from_runs(
            cell, runs, layout) for cell in table.cells
    ]


def _from_runs(cell: Cell, runs: Dict[str, Run], layout: Layout) -> Result:
    records = {name: layout.record(runs[name]) for name in cell.runs}
    records = {name: record for name, record in records.items() if record}

    def values(key: str) -> tuple:
        return tuple(cell.scale * _metric(record, key, name)
                     for name, record in records.items())

    lists = tuple(dict.fromkeys(
        lists_text(record.get('lists')) for record in records.values()))
    result = Result(cell, values(cell.metric), lists=lists)
    if not records:
        return result
    if cell.std:
        result = replace(result, spread=values(cell.std)[-1])
    if cell.metric.startswith(_HM):
        halves = [statistics.fmean(values(key)) for key in parts(cell.metric)]
        result = replace(result, joint=harmonic_mean_of(*halves))
    return result


def parts(metric: str) -> List[str]:
    """The metrics of test sets that a cell's metric is made of."""
    if not metric.startswith(_HM):
        return [metric]
    return [f'{half}/{metric[len(_HM):]}' for half in ('base', 'novel')]


def _metric(record: dict, key: str, name: str) -> float:
    metrics = record['metrics']
    if key not in metrics:
        raise ValueError(f'the results of {name} have no {key!r}, only '
                         f'{sorted(metrics)}; remove its metrics.json and run '
                         'it again')
    return metrics[key]


def _from_source(cell: Cell, layout: Layout) -> Result:
    path = Path(layout.folder(cell.source.file))
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
                         'remove it or make it anew') from error
    return Result(cell, (value, ))
