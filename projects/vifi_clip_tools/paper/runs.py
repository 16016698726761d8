"""What a run, a cell and a table are; what the paper calls its methods, and
the figures that it prints."""
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import (Callable, Dict, Iterable, List, Mapping, NamedTuple,
                    Optional, Sequence, Tuple)

# Mean and, if given, spread, by (row, column).
Figures = Dict[Tuple[str, str], Tuple[float, Optional[float]]]

FROZEN, IMAGE, TEXT = 'vanilla CLIP', 'CLIP image-FT', 'CLIP text-FT'
BOTH, PROMPTS = 'ViFi-CLIP', 'VL prompting'
TUNED = (IMAGE, TEXT, BOTH)
ACTIONCLIP, XCLIP, A5, A6 = 'ActionCLIP', 'X-CLIP', 'A5', 'A6'
# A5 stands in all tables of accuracy but the fully supervised, which has A6.
COMPARED, SUPERVISED = (ACTIONCLIP, XCLIP, A5), (ACTIONCLIP, XCLIP, A6)
# The knob that makes each row's model; its value is in the names of runs.
KNOB = {FROZEN: ('TUNE', 'none'), IMAGE: ('TUNE', 'image'),
        TEXT: ('TUNE', 'text'), BOTH: ('TUNE', 'both'),
        PROMPTS: ('TUNE', 'prompts'), ACTIONCLIP: ('METHOD', 'actionclip'),
        XCLIP: ('METHOD', 'xclip'), A5: ('METHOD', 'a5'),
        A6: ('METHOD', 'a6')}
SEEDS = (1, 2, 3)
SHOTS = (2, 4, 8, 16)
HALVES = ('base', 'novel', 'HM')
DATASETS = ('hmdb51', 'ucf101', 'ssv2')
TOP1 = 'acc/top1'


@dataclass(frozen=True)
class Run:
    """One training and its test, or a test alone.

    ``uses`` is the run whose last checkpoint this one starts from (by the
    knob ``start``), or tests if it does not train. A run that does not train
    and uses none tests frozen CLIP. With ``alpha`` it tests weights between
    those of CLIP and the checkpoint, as ``vifi-clip merge --alpha`` makes.
    """

    name: str  # its folder below the matrix's folder
    config: str  # entry config, 'vifi_few_shot'
    knobs: Mapping[str, str] = field(default_factory=dict)
    dataset: str = ''  # what --dataset selects it by
    train: bool = True
    test: bool = True
    uses: Optional[str] = None
    start: str = 'PRETRAINED'  # its towers; LOAD_FROM: all of it
    alpha: Optional[float] = None
    train_options: Tuple[str, ...] = ()  # more of the command line


class Source(NamedTuple):
    """A figure that another command than train and test makes."""

    file: str  # JSON, in the folder of the runs
    read: Callable[[dict], float]  # the figure, from the file's content


class Cell(NamedTuple):
    """One figure of a table. Without runs and source, we have no such method.
    """

    row: str  # the method
    column: str  # the metric, half or number of shots
    runs: Tuple[str, ...] = ()  # names of the runs it averages (seeds)
    # Key in their metrics; 'HM/...' is the harmonic mean of 'base/...' and
    # 'novel/...'.
    metric: str = ''
    # key of the spread that a single run has (over official splits)
    std: Optional[str] = None
    scale: float = 100.  # factor to percent
    paper: Optional[float] = None  # the paper's figure
    paper_std: Optional[float] = None
    group: str = ''  # data set, where a table has a part for each
    source: Optional[Source] = None  # in place of runs


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

    def beside(self, figures: Figures) -> 'Table':
        """Take the paper's figures: they say which cells there are, filled or
        not. Where cells are of a data set, their columns begin with it."""
        filled = {(cell.row, cell.group, cell.column): cell
                  for cell in self.cells}
        grouped = any(cell.group for cell in self.cells)
        self.cells = []
        for (row, name), (paper, std) in figures.items():
            group, _, column = name.rpartition(' ') if grouped else (
                '', '', name)
            cell = filled.get((row, group, column),
                              Cell(row, column, group=group))
            self.cells.append(cell._replace(paper=paper, paper_std=std))
        return self


def check_choice(option: str, given: Optional[Iterable[str]],
                 choices: Iterable[str]) -> None:
    """Refuse values of an option that do not exist."""
    unknown = [value for value in given or () if value not in choices]
    if unknown:
        raise ValueError(f'{option} {" ".join(unknown)}: choose from '
                         f'{", ".join(choices)}')


def by_name(tables: Iterable[Table]) -> Dict[str, Run]:
    """Return all runs of some tables, each once, in order; a ValueError if
    two different ones have one name."""
    runs: Dict[str, Run] = {}
    for table in tables:
        for run in table.runs:
            if runs.setdefault(run.name, run) != run:
                raise ValueError(f'two different runs are called {run.name}')
    return runs


def with_needed(chosen: Iterable[Run], runs: Mapping[str, Run]) -> List[Run]:
    """Return the chosen runs, each after those whose checkpoints it uses."""
    ordered: Dict[str, Run] = {}
    for run in chosen:
        chain = [run]
        while chain[-1].uses:
            chain.append(runs[chain[-1].uses])
        ordered.update((needed.name, needed) for needed in reversed(chain))
    return list(ordered.values())


def read_figures() -> Dict[str, Figures]:
    """Read figures.txt: the figures by number of their table."""
    text = Path(__file__).with_name('figures.txt').read_text('utf-8')
    tables: Dict[str, Figures] = {}
    for block in text.split('\nTable ')[1:]:
        key, *lines = block.strip().splitlines()
        (_, *columns), *rows = (re.split(' {2,}', line) for line in lines)
        figures = tables[key] = {}
        for row, *cells in rows:
            for column, cell in zip(columns, cells, strict=True):
                if cell != '-':
                    mean, _, std = cell.partition('±')
                    figures[row, column] = (float(mean),
                                            float(std) if std else None)
    return tables
