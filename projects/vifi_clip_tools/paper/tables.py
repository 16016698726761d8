"""The paper's tables: every cell, and the runs behind ours; the same on the
small world.

Those of the small world have no figure of the paper's. The 24 classes of
``full`` are the miniature's Kinetics-400, those of the target set its HMDB-51.
What starts from Kinetics-400 starts from the model of ``full`` that has the
same seed.
"""
from dataclasses import replace
from typing import Dict, List, Optional, Tuple

from .additions import additions
from .runs import (A5, ACTIONCLIP, BOTH, COMPARED, DATASETS, FROZEN, HALVES,
                   IMAGE, KNOB, PROMPTS, SEEDS, SHOTS, SUPERVISED, TEXT, TOP1,
                   TUNED, XCLIP, Cell, Run, Source, Table, read_figures)

_ROWS = (FROZEN, *COMPARED, *TUNED)
# Of Tables 7 to 9: in the first two, all of them start from Kinetics-400.
_BRIDGED = (*COMPARED, PROMPTS)
_COMPLEXITY = (
    'Compute: `vifi-clip complexity vifi_k400 vifi_k400:TUNE=prompts '
    'vifi_k400:METHOD=actionclip vifi_k400:METHOD=xclip vifi_k400:METHOD=a5 '
    '--json FOLDER/complexity.json`, with `--measure` on an A100, in the '
    'folder of the runs; docs/complexity.md says what is counted.')
_SPEED = 'views/s (A100)'
# Columns of compute, from a config's part of that file.
_COMPUTE = {
    'GFLOPs': lambda config: config['asked']['image'] / 1e9,
    _SPEED: lambda config: config['measured']['views_per_second']['median'],
    'parameters (M)': lambda config: config['trained'] / 1e6}


def paper_tables() -> Dict[str, Table]:
    """The paper's Tables 1 to 11 by number."""
    bridges = tuple(_source(row) for row in _BRIDGED)
    tables = (
        _zero_shot(),
        _base_to_novel(Table('2', 'Base-to-novel, 16 shots'),
                       ('k400', *DATASETS), _ROWS),
        _few_shot(Table('3', 'Few-shot'), _ROWS),
        _supervised(),
        _fusion(),
        _compute('6', 'Compute', (ACTIONCLIP, XCLIP, BOTH)),
        _few_shot(Table('7', 'Few-shot, from Kinetics-400', [*bridges]),
                  (FROZEN, *_BRIDGED), bridged=True),
        _base_to_novel(
            Table('8', 'Base-to-novel, from Kinetics-400', [*bridges]),
            DATASETS, (FROZEN, *_BRIDGED), bridged=True),
        _compute('9', 'Compute of prompting', _BRIDGED),
        _retrieval(),
        _clusters())
    figures = read_figures()
    return {table.key: table.beside(figures[table.key]) for table in tables}


def _source(row: str) -> Run:
    """The training on Kinetics-400 that is tested elsewhere, and that what
    goes on from there starts from: prompts, from ViFi-CLIP (section 5)."""
    knob, value = KNOB[BOTH if row == PROMPTS else row]
    return Run(f'zero_shot/train/{value}', 'vifi_zero_shot', {knob: value},
               'k400', test=False)


def _zero_shot() -> Table:
    """Trained on Kinetics-400, tested elsewhere."""
    table = Table('1', 'Zero-shot: trained on Kinetics-400, 32 frames, '
                  'one view')
    for row in _ROWS:
        knob, value = KNOB[row]
        source = None if row == FROZEN else _source(row)
        table.runs += [source] if source else []
        for dataset, column, top in (
                ('hmdb51', 'HMDB-51', 'top1'), ('ucf101', 'UCF-101', 'top1'),
                ('k600', 'K600 top-1', 'top1'),
                ('k600', 'K600 top-5', 'top5')):
            run = Run(f'zero_shot/{dataset}/{value}', 'vifi_zero_shot',
                      {knob: value, 'EVAL': dataset}, dataset, train=False,
                      uses=source and source.name)
            metric = f'{dataset}/acc/{top}'
            table.add(row, [run], {column: f'{metric}_mean'},
                      std=f'{metric}_std')
    return table


def _seeded(name: str, config: str, knobs: dict, row: str, dataset: str,
            seeds=SEEDS, source: Optional[str] = None, **options) -> List[Run]:
    """A row's runs over seeds; frozen CLIP needs one and no training. Those
    of other methods that go on from ``source`` have _k400 in their names."""
    knob, value = KNOB[row]
    knobs = {**knobs, knob: value}
    if row == FROZEN:
        return [Run(f'{name}/{value}', config, knobs, dataset, train=False)]
    if source and knob == 'METHOD':
        value += '_k400'
        options['start'] = 'LOAD_FROM'
    return [Run(f'{name}/{value}/seed{seed}', config,
                dict(knobs, SEED=str(seed)), dataset,
                uses=source and source.format(seed=seed), **options)
            for seed in seeds]


def _base_to_novel(table: Table, datasets: Tuple[str, ...],
                   rows: Tuple[str, ...], bridged: bool = False) -> Table:
    for dataset in datasets:
        for row in rows:
            runs = _seeded(f'base2novel/{dataset}', 'vifi_base2novel',
                           dict(DATASET=dataset), row, dataset,
                           source=_source(row).name if bridged else None)
            table.add(row, runs, {half: f'{half}/{TOP1}' for half in HALVES},
                      dataset)
    return table


def _k_shots(row: str, dataset: str, shots: int,
             bridged: bool = False) -> List[Run]:
    """The run of a few-shot cell: one published draw for each K."""
    name, knobs = f'few_shot/{dataset}', dict(DATASET=dataset)
    if row != FROZEN:
        name += f'/{shots}shot'
        knobs['SHOTS'] = str(shots)
    return _seeded(name, 'vifi_few_shot', knobs, row, dataset, seeds=(1, ),
                   source=_source(row).name if bridged else None)


def _few_shot(table: Table, rows: Tuple[str, ...],
              bridged: bool = False) -> Table:
    for dataset in DATASETS:
        for row in rows:
            for shots in SHOTS:
                table.add(row, _k_shots(row, dataset, shots, bridged),
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
    table = Table('4', 'Fully supervised on Kinetics-400, 16 frames, 4x3 '
                  'views (ActionCLIP: 32, 10x3; A6: 16, 5x1)',
                  note=_COMPLEXITY)
    for row in (*SUPERVISED, *TUNED):
        knob, value = KNOB[row]
        run = Run(f'supervised/{value}', 'vifi_k400', {knob: value}, 'k400')
        table.add(row, [run], {'top-1': TOP1, 'top-5': 'acc/top5'})
        for column in ('GFLOPs', _SPEED):
            table.cells.append(_measured(row, column))
    return table


def _measured(row: str, column: str) -> Cell:
    """A figure of ``vifi-clip complexity``, from the record of vifi_k400 with
    the row's knob."""
    changes = {BOTH: [], IMAGE: [], TEXT: []}.get(row, ['='.join(KNOB[row])])
    frames = 32 if row == ACTIONCLIP else 16

    def read(record: dict) -> float:
        if record['convention'] != 'macs':
            raise ValueError('made with --convention flops, where the paper '
                             'counts multiply-adds once')
        return _COMPUTE[column](next(
            config for config in record['configs']
            if config['title'] == ['vifi_k400', *changes]
            and config['frames'] == frames and (column != _SPEED or (
                'A100' in (record['machine'] or '')  # as the paper's
                and 'error' not in config['measured']))))

    return Cell(row, column, source=Source('complexity.json', read))


def _compute(key: str, title: str, rows: Tuple[str, ...]) -> Table:
    """Operations, speed and parameters that train."""
    return Table(key, title, unit='', note=_COMPLEXITY, cells=[
        _measured(row, column) for row in rows for column in _COMPUTE])


def _retrieval() -> Table:
    table = Table('10', 'Text-to-video retrieval, MSR-VTT 9k')
    for row in (FROZEN, BOTH):
        knob, value = KNOB[row]
        run = Run(f'retrieval/{value}', 'vifi_retrieval', {knob: value},
                  'msrvtt', train=row != FROZEN)
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
        f'`--names "{FROZEN}, {XCLIP}, {BOTH}" --json FOLDER/tsne.json`, in '
        'the folder of the runs.',
        cells=[Cell(row, column, source=score(
            row, column.replace('-', '_').lower()))
            for row in (FROZEN, XCLIP, BOTH)
            for column in ('homogeneity', 'completeness', 'V-measure')])


# How many shots are run from CLIP, and from the model of ``full``.
_MINI_SHOTS, _MINI_BRIDGED_SHOTS = SHOTS, (2, 16)


def _mini(name: str, protocol: str, row: str, config: str = 'vifi_mini',
          bridged: bool = False, **knobs) -> List[Run]:
    """A row's runs over seeds; one without training for frozen CLIP.
    ``--dataset`` selects by the protocol, too."""
    if config == 'vifi_mini':
        knobs = dict(knobs, PROTOCOL=protocol)
    if row == FROZEN:
        knobs.update(SEED='1')
        if config == 'vifi_mini':  # captions have no template
            knobs['TEMPLATE'] = 'photo'
    source = KNOB[BOTH if row == PROMPTS else row][1]
    # Not validated while it trains: the test that follows says the same.
    return _seeded(name, config, knobs, row, protocol,
                   source=f'full/{source}/seed{{seed}}' if bridged else None,
                   train_options=('--no-validate', ))


def _full(row: str) -> List[Run]:
    return [replace(run, test=row != A5)  # of which Table 4 has no row
            for run in _mini('full', 'full', row)]


def mini_tables() -> Dict[str, Table]:
    """The tables of the small world, by the number of the paper's."""
    supervised = Table('4', 'Fully supervised, 24 classes, 4x3 views')
    for row in (FROZEN, *SUPERVISED, *TUNED):
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
    bridges = sum(map(_full, (*COMPARED, BOTH)), [])
    zero_shot, base_to_novel = _mini_zero_shot(), _mini_base_to_novel(
        Table('2', 'Base-to-novel, 16 shots'), _ROWS)
    tables = (
        zero_shot, base_to_novel,
        _mini_few_shot(Table('3', 'Few-shot'), (FROZEN, *COMPARED, BOTH),
                       _MINI_SHOTS),
        supervised, fusion,
        _mini_few_shot(
            Table('7', 'Few-shot, from the 24 classes of Table 4', [*bridges]),
            (FROZEN, *_BRIDGED), _MINI_BRIDGED_SHOTS, bridged=True),
        _mini_base_to_novel(
            Table('8', 'Base-to-novel, from the 24 classes of Table 4',
                  [*bridges]), (FROZEN, *_BRIDGED), bridged=True),
        retrieval, additions(zero_shot, base_to_novel))
    return {table.key: table for table in tables}


def _mini_zero_shot() -> Table:
    """Tested on classes that `full` has not seen."""
    trained = {row: _full(row) for row in _ROWS if row != FROZEN}
    table = Table('1', 'Zero-shot: trained on 24 classes, tested on others',
                  sum(trained.values(), []))
    rows = {FROZEN: _mini('zero_shot', 'zero_shot', FROZEN)}
    for row, runs in trained.items():
        rows[row] = [Run(run.name.replace('full', 'zero_shot'), run.config,
                         dict(run.knobs, PROTOCOL='zero_shot'), 'zero_shot',
                         train=False, uses=run.name) for run in runs]
    for row, runs in rows.items():
        table.add(row, runs, {'24 target classes': f'target/{TOP1}',
                              '8 more classes': f'zero_shot/{TOP1}'})
    return table


def _mini_base_to_novel(table: Table, rows: Tuple[str, ...],
                        bridged: bool = False) -> Table:
    """12 base and 12 novel classes of the target set."""
    for row in rows:
        runs = _mini('base2novel', 'base2novel', row, bridged=bridged,
                     SHOTS='16')
        table.add(row, runs, {half: f'{half}/{TOP1}' for half in HALVES})
    return table


def _mini_few_shot(table: Table, rows: Tuple[str, ...],
                   all_shots: Tuple[int, ...], bridged: bool = False) -> Table:
    """K shots of the 24 classes of the target set."""
    for row in rows:
        for shots in all_shots:
            name, knobs = 'few_shot', {}
            if row != FROZEN:
                name, knobs = f'few_shot/{shots}shot', dict(SHOTS=str(shots))
            table.add(row, _mini(name, 'few_shot', row, bridged=bridged,
                                 **knobs), {f'K={shots}': TOP1})
    return table
