"""The paper's tables: every cell, and the runs behind ours; the same on the
small world.

Those of the small world have no figure of the paper's. The 24 classes of
``full`` are the miniature's Kinetics-400, those of the target set its HMDB-51.
Bridge and prompt starts from the model of ``full`` that has the same seed.
"""
from typing import Dict, List, Tuple

from .runs import (BOTH, DATASETS, FROZEN, HALVES, IMAGE, PROMPTS, SEEDS,
                   SHOTS, TEXT, TOP1, TUNE, TUNED, Cell, Run, Source, Table,
                   read_figures)

# VL prompting starts from ViFi-CLIP trained on Kinetics-400 (section 5).
_BRIDGE = Run('zero_shot/train/both', 'vifi_zero_shot', dict(TUNE='both'),
              'k400', test=False)
_COMPLEXITY = (
    'Compute: `vifi-clip complexity vifi_k400 vifi_k400:TUNE=prompts --json '
    'FOLDER/complexity.json`, with `--measure` on an A100, in the folder of '
    'the runs; docs/complexity.md says what is counted.')
_SPEED = 'views/s (A100)'
# Columns of compute, from a config's part of that file.
_COMPUTE = {
    'GFLOPs': lambda config: config['asked']['image'] / 1e9,
    _SPEED: lambda config: config['measured']['views_per_second']['median'],
    # Without the token embeddings, as the paper's figure nearly is.
    'parameters (M)': lambda config: (
        config['parameters'] - config['token_parameters']) / 1e6}


def paper_tables() -> Dict[str, Table]:
    """The paper's Tables 1 to 11 by number."""
    all_rows, bridged = (FROZEN, *TUNED), (FROZEN, PROMPTS)
    tables = (
        _zero_shot(),
        _base_to_novel(Table('2', 'Base-to-novel, 16 shots'),
                       ('k400', *DATASETS), all_rows),
        _few_shot(Table('3', 'Few-shot'), all_rows),
        _supervised(),
        _fusion(),
        _compute('6', 'Compute', BOTH),
        _few_shot(Table('7', 'Few-shot, bridge and prompt', [_BRIDGE]),
                  bridged),
        _base_to_novel(
            Table('8', 'Base-to-novel, bridge and prompt', [_BRIDGE]),
            DATASETS, bridged),
        _compute('9', 'Compute of prompting', PROMPTS, 'TUNE=prompts'),
        _retrieval(),
        _clusters())
    figures = read_figures()
    return {table.key: table.beside(figures[table.key]) for table in tables}


def _zero_shot() -> Table:
    """Trained on Kinetics-400, tested elsewhere."""
    table = Table('1', 'Zero-shot: trained on Kinetics-400, 32 frames, '
                  'one view')
    for row in (FROZEN, *TUNED):
        knobs, source = dict(TUNE=TUNE[row]), None
        if row != FROZEN:
            source = f'zero_shot/train/{TUNE[row]}'
            table.runs.append(Run(source, 'vifi_zero_shot', knobs, 'k400',
                                  test=False))
        for dataset, column, top in (
                ('hmdb51', 'HMDB-51', 'top1'), ('ucf101', 'UCF-101', 'top1'),
                ('k600', 'K600 top-1', 'top1'),
                ('k600', 'K600 top-5', 'top5')):
            run = Run(f'zero_shot/{dataset}/{TUNE[row]}', 'vifi_zero_shot',
                      dict(knobs, EVAL=dataset), dataset, train=False,
                      uses=source)
            metric = f'{dataset}/acc/{top}'
            table.add(row, [run], {column: f'{metric}_mean'},
                      std=f'{metric}_std')
    return table


def _seeded(name: str, config: str, knobs: dict, row: str, dataset: str,
            seeds=SEEDS) -> List[Run]:
    """A row's runs over seeds; frozen CLIP needs one and no training."""
    if row == FROZEN:
        return [Run(f'{name}/none', config, dict(knobs, TUNE='none'), dataset,
                    train=False)]
    return [Run(f'{name}/{TUNE[row]}/seed{seed}', config,
                dict(knobs, TUNE=TUNE[row], SEED=str(seed)), dataset,
                uses=_BRIDGE.name if row == PROMPTS else None)
            for seed in seeds]


def _base_to_novel(table: Table, datasets: Tuple[str, ...],
                   rows: Tuple[str, ...]) -> Table:
    for dataset in datasets:
        for row in rows:
            runs = _seeded(f'base2novel/{dataset}', 'vifi_base2novel',
                           dict(DATASET=dataset), row, dataset)
            table.add(row, runs, {half: f'{half}/{TOP1}' for half in HALVES},
                      dataset)
    return table


def _k_shots(row: str, dataset: str, shots: int) -> List[Run]:
    """The run of a few-shot cell: one published draw for each K."""
    name, knobs = f'few_shot/{dataset}', dict(DATASET=dataset)
    if row != FROZEN:
        name += f'/{shots}shot'
        knobs['SHOTS'] = str(shots)
    return _seeded(name, 'vifi_few_shot', knobs, row, dataset, seeds=(1, ))


def _few_shot(table: Table, rows: Tuple[str, ...]) -> Table:
    for dataset in DATASETS:
        for row in rows:
            for shots in SHOTS:
                table.add(row, _k_shots(row, dataset, shots),
                          {f'K={shots}': TOP1}, dataset)
    return table


def _fusion() -> Table:
    """How frames become a video."""
    table = Table('5', 'Fusion of frames')
    for row in (FROZEN, 'decision', 'image', 'embedding'):
        knobs = dict(TUNE='none') if row == FROZEN else dict(
            TUNE='both', FUSION=row)
        tiny = Run(f'fusion/k400_tiny/{"none" if row == FROZEN else row}',
                   'vifi_k400', dict(knobs, TRAIN_LIST='train_tiny.txt'),
                   'k400', train=row != FROZEN)
        table.add(row, [tiny], {'k400 tiny': TOP1})
        for dataset in ('ssv2', 'hmdb51', 'ucf101'):
            if row in (FROZEN, 'embedding'):  # which are Table 3's
                runs = _k_shots(FROZEN if row == FROZEN else BOTH, dataset,
                                16)
            else:
                runs = _seeded(f'fusion/{dataset}_16shot/{row}',
                               'vifi_few_shot',
                               dict(DATASET=dataset, SHOTS='16', FUSION=row),
                               BOTH, dataset, seeds=(1, ))
            table.add(row, runs, {f'{dataset} K=16': TOP1})
    return table


def _supervised() -> Table:
    table = Table('4', 'Fully supervised on Kinetics-400, 16 frames, '
                  '4x3 views', note=_COMPLEXITY)
    for row in (IMAGE, TEXT, BOTH):
        run = Run(f'supervised/{TUNE[row]}', 'vifi_k400',
                  dict(TUNE=TUNE[row]), 'k400')
        table.add(row, [run], {'top-1': TOP1, 'top-5': 'acc/top5'})
        for column in ('GFLOPs', _SPEED):
            table.cells.append(_measured(row, column))
    return table


def _measured(row: str, column: str, *changes: str) -> Cell:
    """A figure of ``vifi-clip complexity``, from the record of vifi_k400 with
    some ``changes``, as 'TUNE=prompts'."""
    def read(record: dict) -> float:
        if record['convention'] != 'macs':
            raise ValueError('made with --convention flops, where the paper '
                             'counts multiply-adds once')
        return _COMPUTE[column](next(
            config for config in record['configs']
            if config['title'] == ['vifi_k400', *changes]
            and config['frames'] == 16 and (column != _SPEED or (
                'A100' in (record['machine'] or '')  # as the paper's
                and 'error' not in config['measured']))))

    return Cell(row, column, source=Source('complexity.json', read))


def _compute(key: str, title: str, row: str, *changes: str) -> Table:
    """Operations, speed and parameters."""
    return Table(key, title, unit='', note=_COMPLEXITY, cells=[
        _measured(row, column, *changes) for column in _COMPUTE])


def _retrieval() -> Table:
    table = Table('10', 'Text-to-video retrieval, MSR-VTT 9k')
    for row in (FROZEN, BOTH):
        run = Run(f'retrieval/{TUNE[row]}', 'vifi_retrieval',
                  dict(TUNE=TUNE[row]), 'msrvtt', train=row != FROZEN)
        table.add(row, [run], {f'R@{k}': f'retrieval/R{k}' for k in (1, 5)},
                  scale=1.)
    return table


def _clusters() -> Table:
    """How well clusters of HMDB-51's embeddings fit its classes."""
    def score(row: str, key: str) -> Source:
        return Source('tsne.json', lambda record: next(
            model[key] for model in record['models'] if model['name'] == row))

    return Table(
        '11', 'Clusters of HMDB-51', unit='',
        note='Ours: `vifi-clip tsne` of HMDB-51\'s embeddings with '
        f'`--names "{FROZEN}, {BOTH}" --json FOLDER/tsne.json`, in the folder '
        'of the runs.',
        cells=[Cell(row, column, source=score(
            row, column.replace('-', '_').lower())) for row in (FROZEN, BOTH)
            for column in ('homogeneity', 'completeness', 'V-measure')])


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
    tables = (_mini_zero_shot(), _mini_base_to_novel(), _mini_few_shot(),
              supervised, fusion, retrieval)
    return {table.key: table for table in tables}


def _mini_zero_shot() -> Table:
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


def _mini_base_to_novel() -> Table:
    """12 base and 12 novel classes of the target set."""
    table = Table('2', 'Base-to-novel, 16 shots (VL prompting: Table 8)',
                  _full(BOTH))
    for row in (FROZEN, *TUNED, PROMPTS):
        runs = _mini('base2novel', 'base2novel', row, SHOTS='16')
        table.add(row, runs, {half: f'{half}/{TOP1}' for half in HALVES})
    return table


def _mini_few_shot() -> Table:
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
