"""The paper's tables on the small world; none has a figure of the paper's.

The 24 classes of ``full`` are the miniature's Kinetics-400, those of the
target set its HMDB-51. Bridge and prompt starts from the model of ``full``
that has the same seed.
"""
from typing import Dict, List

from .paper import (BOTH, FROZEN, HALVES, PROMPTS, SEEDS, SHOTS, TOP1, TUNE,
                    TUNED)
from .runs import Run, Table


def _mini(name: str, protocol: str, row: str, config: str = 'vifi_mini',
          **knobs) -> List[Run]:
    """A row's runs over seeds; one without training for frozen CLIP.
    ``--dataset`` selects by the protocol, too."""
    if config == 'vifi_mini':
        knobs = dict(knobs, PROTOCOL=protocol)
    if row == FROZEN:
        knobs.update(SEED='1', TUNE='none')
        if config == 'vifi_mini':  # captions have no template
            knobs['TEMPLATE'] = 'photo'
        return [Run(f'{name}/none', config, knobs, protocol, train=False)]
    # Not validated while it trains: the test that follows says the same.
    return [Run(f'{name}/{TUNE[row]}/seed{seed}', config,
                dict(knobs, SEED=str(seed), TUNE=TUNE[row]), protocol,
                uses=f'full/both/seed{seed}' if row == PROMPTS else None,
                train_options=('--no-validate', )) for seed in SEEDS]


def _full(row: str) -> List[Run]:
    return _mini('full', 'full', row)


def mini_tables() -> Dict[str, Table]:
    """The tables of the small world, by the number of the paper's."""
    supervised = Table('4', 'Fully supervised, 24 classes, 4x3 views')
    for row in (FROZEN, *TUNED):
        supervised.add(row, _full(row), {'top-1': TOP1, 'top-5': 'acc/top5'})
    fusion = Table('5', 'Fusion of frames')
    for kind in 'decision', 'image':
        fusion.add(kind, _mini(f'fusion/{kind}', 'full', BOTH, FUSION=kind),
                   {'top-1': TOP1})
    fusion.add('embedding', _full(BOTH), {'top-1': TOP1})
    retrieval = Table('10', 'Text-to-video retrieval, 240 captions')
    for row in FROZEN, BOTH:
        retrieval.add(
            row, _mini('retrieval', 'retrieval', row, config='mini_retrieval'),
            {f'R@{k}': f'retrieval/R{k}' for k in (1, 5)}, scale=1.)
    tables = (_zero_shot(), _base_to_novel(), _few_shot(), supervised, fusion,
              retrieval)
    return {table.key: table for table in tables}


def _zero_shot() -> Table:
    """Tested on classes that `full` has not seen."""
    table = Table('1', 'Zero-shot: trained on 24 classes, tested on others',
                  [run for row in TUNED for run in _full(row)])
    rows = {FROZEN: _mini('zero_shot', 'zero_shot', FROZEN)}
    for row in TUNED:
        rows[row] = [Run(run.name.replace('full', 'zero_shot'), run.config,
                         dict(run.knobs, PROTOCOL='zero_shot'), 'zero_shot',
                         train=False, uses=run.name) for run in _full(row)]
    for row, runs in rows.items():
        table.add(row, runs, {'24 target classes': f'target/{TOP1}',
                              '8 more classes': f'zero_shot/{TOP1}'})
    return table


def _base_to_novel() -> Table:
    """12 base and 12 novel classes of the target set."""
    table = Table('2', 'Base-to-novel, 16 shots (VL prompting: Table 8)',
                  _full(BOTH))
    for row in (FROZEN, *TUNED, PROMPTS):
        runs = _mini('base2novel', 'base2novel', row, SHOTS='16')
        table.add(row, runs, {half: f'{half}/{TOP1}' for half in HALVES})
    return table


def _few_shot() -> Table:
    """K shots of the 24 classes of the target set."""
    table = Table('3', 'Few-shot (VL prompting: Table 7)', _full(BOTH))
    for row in (FROZEN, BOTH, PROMPTS):
        for shots in SHOTS:
            name, knobs = 'few_shot', {}
            if row != FROZEN:
                name, knobs = f'few_shot/{shots}shot', dict(SHOTS=str(shots))
            table.add(row, _mini(name, 'few_shot', row, **knobs),
                      {f'K={shots}': TOP1})
    return table
