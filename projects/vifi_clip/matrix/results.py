"""Cells filled with what the runs gave."""
import statistics
from dataclasses import dataclass
from typing import Dict, List, Optional

from .layout import Layout
from .runs import Cell, Run, Table


@dataclass(frozen=True)
class Result:
    """What there is for one cell, in percent.

    Attributes:
        cell (Cell): The cell.
        values (tuple[float, ...]): One of each finished run.
        spread (float, optional): Of the only run (over official splits).
    """

    cell: Cell
    values: tuple = ()
    spread: Optional[float] = None

    @property
    def mean(self) -> Optional[float]:
        """Mean over runs; None if none has been finished."""
        return statistics.fmean(self.values) if self.values else None

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

    def text(self) -> str:
        """The cell as people read it."""
        figure = self.cell.paper
        said = []
        if len(self.values) < len(self.cell.runs) and self.values:
            said.append(f'{len(self.values)} of {len(self.cell.runs)} runs')
        if figure is not None:
            spread = f' ± {figure[1]:.1f}' if isinstance(figure, tuple) else ''
            said.append(f'paper {self.paper:.1f}{spread}')
        if self.difference is not None:
            said.append(f'{self.difference:+.1f}')
        ours = 'not run'
        if self.mean is not None:
            ours = f'{self.mean:.1f}'
            ours += f' ± {self.std:.1f}' if self.std is not None else ''
        return f'{ours} ({", ".join(said)})' if said else ours


def fill(table: Table, runs: Dict[str, Run], layout: Layout) -> List[Result]:
    """The results of a table's cells.

    Args:
        table (Table): The table.
        runs (dict[str, Run]): Runs by name.
        layout (Layout): Where their results are.

    Raises:
        ValueError: A run's results lack a metric of the table.
    """
    results = []
    for cell in table.cells:
        values, spread = [], None
        for name in cell.runs:
            record = layout.record(runs[name])
            if record is None:
                continue
            values.append(cell.scale * _metric(record, cell.metric, name))
            if cell.std:
                spread = cell.scale * _metric(record, cell.std, name)
        results.append(Result(cell, tuple(values), spread))
    return results


def _metric(record: dict, key: str, name: str) -> float:
    metrics = record['metrics']
    if key not in metrics:
        raise ValueError(f'the results of {name} have no {key!r}, only '
                         f'{sorted(metrics)}; remove its metrics.json and run '
                         'it again')
    return metrics[key]
