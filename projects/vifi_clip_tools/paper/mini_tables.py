"""The paper's tables on the small world; none has a figure of the paper's.

The 24 classes of ``full`` are the miniature's Kinetics-400, those of the
target set its HMDB-51. Bridge and prompt starts from the model of ``full``
that has the same seed.
"""
from typing import Dict, Iterable, List

from .paper import BOTH, FROZEN, IMAGE, PROMPTS, SHOTS, TEXT
from .paper_tables import SEEDS, TOP1, TUNE
from .runs import Cell, Run, Table, by_number

_TUNED = (IMAGE, TEXT, BOTH)


def _mini(name: str, protocol: str, row: str, uses: str = '',
          config: str = 'vifi_mini', seeds=SEEDS, **knobs) -> List[Run]:
    """A row's runs over seeds; one without training for frozen CLIP.

    Args:
        name (str): Folder of the row's runs.
        protocol (str): Knob PROTOCOL; ``--dataset`` selects by it, too.
        row (str): The method.
        uses (str): Folder of runs, seed by seed, to start from.
    """
    if config == 'vifi_mini':
        knobs = dict(knobs, PROTOCOL=protocol)
    if row == FROZEN:
        shared = dict(knobs, SEED='1', TUNE='none')
        if config == 'vifi_mini':  # captions have no template
            shared['TEMPLATE'] = 'photo'
        return [Run(f'{name}/none', config, shared, protocol, train=False)]
    # Not validated while it trains: the test that follows says the same.
    return [
        Run(f'{name}/{TUNE[row]}/seed{seed}', config,
            dict(knobs, SEED=str(seed), TUNE=TUNE[row]), protocol,
            uses=f'{uses}/seed{seed}' if uses else None,
            train_options=('--no-validate', )) for seed in seeds
    ]


def _table(key: str, title: str, rows: Dict[str, List[Run]],
           metrics: Dict[str, str], scale: float = 100.,
           needed: Iterable[Run] = ()) -> Table:
    """A table whose columns are metrics of the same runs, which use those
    that are ``needed``."""
    cells = [Cell(row, column, tuple(run.name for run in runs), metric,
                  scale=scale) for row, runs in rows.items()
             for column, metric in metrics.items()]
    return Table(key, title, tuple(cells),
                 (*needed, *(run for runs in rows.values() for run in runs)))


def _full(row: str) -> List[Run]:
    return _mini('full', 'full', row)


def zero_shot() -> Table:
    """Tested on classes that `full` has not seen."""
    rows = {FROZEN: _mini('zero_shot', 'zero_shot', FROZEN)}
    for row in _TUNED:
        rows[row] = [Run(run.name.replace('full', 'zero_shot'), run.config,
                         dict(run.knobs, PROTOCOL='zero_shot'), 'zero_shot',
                         train=False, uses=run.name) for run in _full(row)]
    return _table('1', 'Zero-shot: trained on 24 classes, tested on others',
                  rows, {'24 target classes': f'target/{TOP1}',
                         '8 more classes': f'zero_shot/{TOP1}'},
                  needed=[run for row in _TUNED for run in _full(row)])


def base_to_novel() -> Table:
    """12 base and 12 novel classes of the target set."""
    rows = {row: _mini('base2novel', 'base2novel', row, SHOTS='16')
            for row in (FROZEN, *_TUNED)}
    rows[PROMPTS] = _mini('base2novel', 'base2novel', PROMPTS,
                          uses='full/both', SHOTS='16')
    return _table('2', 'Base-to-novel, 16 shots (VL prompting: Table 8)', rows,
                  {half: f'{half}/{TOP1}' for half in ('base', 'novel', 'HM')},
                  needed=_full(BOTH))


def few_shot() -> Table:
    """K shots of the 24 classes of the target set."""
    cells, runs = [], _full(BOTH)
    for row in (FROZEN, BOTH, PROMPTS):
        for shots in SHOTS:
            name, knobs = 'few_shot', {}
            if row != FROZEN:
                name, knobs = f'few_shot/{shots}shot', dict(SHOTS=str(shots))
            mine = _mini(name, 'few_shot', row,
                         uses='full/both' if row == PROMPTS else '', **knobs)
            runs += mine
            cells.append(Cell(row, f'K={shots}',
                              tuple(run.name for run in mine), TOP1))
    return Table('3', 'Few-shot (VL prompting: Table 7)',
                 tuple(cells), tuple(runs))


def fusion() -> Table:
    """Three fusions on the full set."""
    rows = {kind: _mini(f'fusion/{kind}', 'full', BOTH, FUSION=kind)
            for kind in ('decision', 'image')}
    rows['embedding'] = _full(BOTH)
    return _table('5', 'Fusion of frames', rows, {'top-1': TOP1})


def supervised() -> Table:
    """The full set, 4 x 3 views."""
    rows = {row: _full(row) for row in (FROZEN, *_TUNED)}
    return _table('4', 'Fully supervised, 24 classes, 4x3 views', rows,
                  {'top-1': TOP1, 'top-5': 'acc/top5'})


def retrieval() -> Table:
    """Captions of the full set's clips."""
    rows = {row: _mini('retrieval', 'retrieval', row,
                       config='mini_retrieval') for row in (FROZEN, BOTH)}
    return _table('10', 'Text-to-video retrieval, 240 captions', rows,
                  {f'R@{k}': f'retrieval/R{k}' for k in (1, 5)}, scale=1.)


def mini_tables() -> Dict[str, Table]:
    """The tables of the small world, by the number of the paper's."""
    tables = (supervised(), zero_shot(), base_to_novel(), few_shot(),
              fusion(), retrieval())
    return by_number(tables)
