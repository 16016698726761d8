"""The paper's tables on the small world; none has a figure of the paper's.

The 24 classes of ``full`` are the miniature's Kinetics-400, those of the
target set its HMDB-51. Bridge and prompt starts from the model of ``full``
that has the same seed.
"""
from typing import Dict, List, Tuple

from .paper import (BOTH, FROZEN, HALVES, PROMPTS, SEEDS, SHOTS, TOP1, TUNE,
                    TUNED)
from .runs import Run, Table, TableDraft, by_number


def _mini(name: str, protocol: str, row: str, uses: str = '',
          config: str = 'vifi_mini', **knobs) -> List[Run]:
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
            train_options=('--no-validate', )) for seed in SEEDS
    ]


def mini_tables() -> Dict[str, Table]:
    """The tables of the small world, by the number of the paper's."""
    return by_number([
        _zero_shot(),
        _base_to_novel(),
        _few_shot(),
        _table('4', 'Fully supervised, 24 classes, 4x3 views',
               {row: _full(row) for row in (FROZEN, *TUNED)},
               {'top-1': TOP1, 'top-5': 'acc/top5'}),
        _table('5', 'Fusion of frames',
               {**{kind: _mini(f'fusion/{kind}', 'full', BOTH, FUSION=kind)
                   for kind in ('decision', 'image')},
                'embedding': _full(BOTH)}, {'top-1': TOP1}),
        _table('10', 'Text-to-video retrieval, 240 captions',
               {row: _mini('retrieval', 'retrieval', row,
                           config='mini_retrieval')
                for row in (FROZEN, BOTH)},
               {f'R@{k}': f'retrieval/R{k}' for k in (1, 5)}, scale=1.),
    ])


def _table(key: str, title: str, rows: Dict[str, List[Run]],
           metrics: Dict[str, str], needed: Tuple[Run, ...] = (),
           **cell) -> Table:
    """A table whose columns are metrics of the same runs."""
    draft = TableDraft(key, title, needed)
    for row, runs in rows.items():
        draft.add(row, runs, metrics, **cell)
    return draft.table()


def _full(row: str) -> List[Run]:
    return _mini('full', 'full', row)


def _zero_shot() -> Table:
    """Tested on classes that `full` has not seen."""
    rows = {FROZEN: _mini('zero_shot', 'zero_shot', FROZEN)}
    for row in TUNED:
        rows[row] = [Run(run.name.replace('full', 'zero_shot'), run.config,
                         dict(run.knobs, PROTOCOL='zero_shot'), 'zero_shot',
                         train=False, uses=run.name) for run in _full(row)]
    return _table('1', 'Zero-shot: trained on 24 classes, tested on others',
                  rows, {'24 target classes': f'target/{TOP1}',
                         '8 more classes': f'zero_shot/{TOP1}'},
                  tuple(run for row in TUNED for run in _full(row)))


def _base_to_novel() -> Table:
    """12 base and 12 novel classes of the target set."""
    rows = {row: _mini('base2novel', 'base2novel', row, SHOTS='16')
            for row in (FROZEN, *TUNED)}
    rows[PROMPTS] = _mini('base2novel', 'base2novel', PROMPTS,
                          uses='full/both', SHOTS='16')
    return _table('2', 'Base-to-novel, 16 shots (VL prompting: Table 8)', rows,
                  {half: f'{half}/{TOP1}' for half in HALVES},
                  tuple(_full(BOTH)))


def _few_shot() -> Table:
    """K shots of the 24 classes of the target set."""
    draft = TableDraft('3', 'Few-shot (VL prompting: Table 7)', _full(BOTH))
    for row in (FROZEN, BOTH, PROMPTS):
        for shots in SHOTS:
            name, knobs = 'few_shot', {}
            if row != FROZEN:
                name, knobs = f'few_shot/{shots}shot', dict(SHOTS=str(shots))
            runs = _mini(name, 'few_shot', row,
                         uses='full/both' if row == PROMPTS else '', **knobs)
            draft.add(row, runs, {f'K={shots}': TOP1})
    return draft.table()
