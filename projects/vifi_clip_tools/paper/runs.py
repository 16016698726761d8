"""What a run, a cell and a table are."""
from dataclasses import dataclass, field
from typing import (Callable, Dict, Iterable, List, Mapping, NamedTuple,
                    Optional, Sequence, Tuple)

from .paper import Figure, Figures


@dataclass(frozen=True)
class Run:
    """One training and its test, or a test alone.

    ``uses`` is the run whose last checkpoint this one starts from (as
    ``PRETRAINED``), or tests if it does not train. A run that does not train
    and uses none tests frozen CLIP.
    """

    name: str  # its folder below the matrix's folder
    config: str  # entry config, 'vifi_few_shot'
    knobs: Mapping[str, str] = field(default_factory=dict)
    dataset: str = ''  # what --dataset selects it by
    train: bool = True
    test: bool = True
    uses: Optional[str] = None
    train_options: Tuple[str, ...] = ()  # more of the command line


class Source(NamedTuple):
    """A figure that another command than train and test makes."""

    file: str  # JSON, in the folder of the runs
    read: Callable[[dict], float]  # the figure, from the file's content


class Cell(NamedTuple):
    """One figure of a table. Without runs and source, we have no such method.

    Attributes:
        row (str): The method.
        column (str): The metric, half or number of shots.
        runs (tuple[str, ...]): Names of the runs it averages (seeds).
        metric (str): Key in the runs' metrics. ``HM/...`` is the harmonic
            mean of ``base/...`` and ``novel/...``.
        std (str, optional): Key of the spread, where a single run has one of
            its own (over official splits).
        scale (float): Factor to percent. Defaults to 100.
        paper (float | tuple[float, float], optional): The paper's figure.
        group (str): Data set, where a table has a part for each.
        source (Source, optional): In place of runs.
    """

    row: str
    column: str
    runs: Tuple[str, ...] = ()
    metric: str = ''
    std: Optional[str] = None
    scale: float = 100.
    paper: Optional[Figure] = None
    group: str = ''
    source: Optional[Source] = None


@dataclass
class Table:
    """A table of the paper."""

    key: str  # its number
    title: str
    # that the cells need, those that others use first
    runs: List[Run] = field(default_factory=list)
    cells: List[Cell] = field(default_factory=list)
    unit: str = 'Percent'
    note: str = ''  # where figures that are of no run come from

    def add(self, row: str, runs: Sequence[Run], metrics: Mapping[str, str],
            group: str = '', **cell) -> None:
        """Fill cells of a row: by column, a metric of the same runs."""
        self.runs += runs
        names = tuple(run.name for run in runs)
        self.cells += [Cell(row, column, names, metric, group=group, **cell)
                       for column, metric in metrics.items()]

    def beside(self, figures: Figures, grouped: bool = False) -> 'Table':
        """Take the paper's figures: they say which cells there are, filled or
        not. ``grouped``: their columns begin with a data set, which has a
        part of the table to itself."""
        filled = {(cell.row, cell.group, cell.column): cell
                  for cell in self.cells}
        self.cells = []
        for (row, name), figure in figures.items():
            group, _, column = name.rpartition(' ') if grouped else (
                '', '', name)
            cell = filled.get((row, group, column),
                              Cell(row, column, group=group))
            self.cells.append(cell._replace(paper=figure))
        return self


def check_choice(option: str, given: Optional[Iterable[str]],
                 choices: Iterable[str]) -> None:
    """Refuse values of an option that do not exist."""
    unknown = [value for value in given or () if value not in choices]
    if unknown:
        raise ValueError(f'{option} {" ".join(unknown)}: choose from '
                         f'{", ".join(choices)}')


def by_name(tables: Iterable[Table]) -> Dict[str, Run]:
    """Return all runs of some tables, each once, in order.

    Raises:
        ValueError: Two different runs have one name.
    """
    runs: Dict[str, Run] = {}
    for table in tables:
        for run in table.runs:
            if runs.setdefault(run.name, run) != run:
                raise ValueError(f'two different runs are called {run.name}')
    return runs


def with_needed(chosen: Iterable[Run], runs: Mapping[str, Run]) -> List[Run]:
    """Return the chosen runs, each after those whose checkpoints it uses."""
    ordered: Dict[str, Run] = {}

    def add(run: Run) -> None:
        if run.uses and run.uses not in ordered:
            add(runs[run.uses])
        ordered.setdefault(run.name, run)

    for run in chosen:
        add(run)
    return list(ordered.values())
