"""The paper's tables: every cell, and the runs behind ours."""
from typing import Any, Callable, Dict, List, Sequence, Tuple

from . import paper
from .paper import BOTH, DATASETS, FROZEN, IMAGE, PROMPTS, TEXT, Figures
from .runs import Cell, Run, Source, Table, by_number

SEEDS = (1, 2, 3)
# The knob TUNE of each row.
TUNE = {FROZEN: 'none', IMAGE: 'image', TEXT: 'text', BOTH: 'both',
        PROMPTS: 'prompts'}
TOP1 = 'acc/top1'
# VL prompting starts from ViFi-CLIP trained on Kinetics-400 (section 5).
_BRIDGE = Run('zero_shot/train/both', 'vifi_zero_shot', dict(TUNE='both'),
              'k400', test=False)

# (row, data set, column) to what a cell has besides the paper's figure.
Ours = Dict[Tuple[str, str, str], Dict[str, Any]]


def _table(key: str, title: str, figures: Figures, ours: Ours,
           runs: Sequence[Run] = (), grouped: bool = False,
           **more) -> Table:
    """A table with all rows of the paper; those not in ``ours`` lack runs.
    Where it is ``grouped``, columns begin with a data set, which has a part
    of the table to itself."""
    cells = []
    for (row, column), figure in figures.items():
        group, _, name = column.partition(' ') if grouped else ('', '', column)
        cells.append(Cell(row, name, paper=figure, group=group,
                          **ours.get((row, group, name), {})))
    return Table(key, title, tuple(cells), tuple(runs), **more)


def zero_shot() -> Table:
    """Table 1: trained on Kinetics-400, tested elsewhere."""
    columns = (('hmdb51', 'HMDB-51', 'top1'), ('ucf101', 'UCF-101', 'top1'),
               ('k600', 'K600 top-1', 'top1'), ('k600', 'K600 top-5', 'top5'))
    ours, runs = {}, {}
    for row in (FROZEN, IMAGE, TEXT, BOTH):
        knobs, source = dict(TUNE=TUNE[row]), None
        if row != FROZEN:
            source = f'zero_shot/train/{TUNE[row]}'
            runs[source] = Run(source, 'vifi_zero_shot', knobs, 'k400',
                               test=False)
        for dataset, column, top in columns:
            name = f'zero_shot/{dataset}/{TUNE[row]}'
            runs[name] = Run(name, 'vifi_zero_shot',
                             dict(knobs, EVAL=dataset), dataset, train=False,
                             uses=source)
            ours[row, '', column] = dict(
                runs=(name, ), metric=f'{dataset}/acc/{top}_mean',
                std=f'{dataset}/acc/{top}_std')
    return _table('1', 'Zero-shot: trained on Kinetics-400, 32 frames, one '
                  'view', paper.ZERO_SHOT, ours, runs.values())


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


def _names(runs: List[Run]) -> Tuple[str, ...]:
    return tuple(run.name for run in runs)


def _base_to_novel(key: str, title: str, figures: Figures, datasets: tuple,
                   rows: tuple) -> Table:
    ours, runs = {}, [_BRIDGE] if PROMPTS in rows else []
    for dataset in datasets:
        for row in rows:
            mine = _seeded(f'base2novel/{dataset}', 'vifi_base2novel',
                           dict(DATASET=dataset), row, dataset)
            runs += mine
            for half in ('base', 'novel', 'HM'):
                ours[row, dataset, half] = dict(runs=_names(mine),
                                                metric=f'{half}/{TOP1}')
    return _table(key, title, figures, ours, runs, grouped=True)


def _k_shots(row: str, dataset: str, shots: int) -> List[Run]:
    """The run of a few-shot cell: one published draw for each K."""
    name, knobs = f'few_shot/{dataset}', dict(DATASET=dataset)
    if row != FROZEN:
        name += f'/{shots}shot'
        knobs['SHOTS'] = str(shots)
    return _seeded(name, 'vifi_few_shot', knobs, row, dataset, seeds=(1, ))


def _few_shot(key: str, title: str, figures: Figures, rows: tuple) -> Table:
    ours, runs = {}, [_BRIDGE] if PROMPTS in rows else []
    for dataset in DATASETS:
        for row in rows:
            for shots in paper.SHOTS:
                mine = _k_shots(row, dataset, shots)
                runs += mine
                ours[row, dataset, f'K={shots}'] = dict(runs=_names(mine),
                                                        metric=TOP1)
    return _table(key, title, figures, ours, runs, grouped=True)


def fusion() -> Table:
    """Table 5: how frames become a video."""
    ours, runs = {}, []
    for row in (FROZEN, 'decision', 'image', 'embedding'):
        knobs = dict(TUNE='none') if row == FROZEN else dict(
            TUNE='both', FUSION=row)
        tiny = Run(f'fusion/k400_tiny/{"none" if row == FROZEN else row}',
                   'vifi_k400', dict(knobs, TRAIN_LIST='train_tiny.txt'),
                   'k400', train=row != FROZEN)
        runs.append(tiny)
        ours[row, '', 'k400 tiny'] = dict(runs=(tiny.name, ), metric=TOP1)
        for dataset in ('ssv2', 'hmdb51', 'ucf101'):
            if row in (FROZEN, 'embedding'):  # which are Table 3's
                mine = _k_shots(FROZEN if row == FROZEN else BOTH, dataset,
                                16)
            else:
                mine = _seeded(f'fusion/{dataset}_16shot/{row}',
                               'vifi_few_shot',
                               dict(DATASET=dataset, SHOTS='16', FUSION=row),
                               BOTH, dataset, seeds=(1, ))
            runs += mine
            ours[row, '', f'{dataset} K=16'] = dict(runs=_names(mine),
                                                    metric=TOP1)
    return _table('5', 'Fusion of frames', paper.FUSION, ours, runs)


def supervised() -> Table:
    """Table 4: fully supervised, 4 x 3 views."""
    ours, runs = {}, []
    for row in (IMAGE, TEXT, BOTH):
        run = Run(f'supervised/{TUNE[row]}', 'vifi_k400',
                  dict(TUNE=TUNE[row]), 'k400')
        runs.append(run)
        for column in ('top-1', 'top-5'):
            ours[row, '', column] = dict(
                runs=(run.name, ), metric=f'acc/{column.replace("-", "")}')
        ours[row, '', 'GFLOPs'] = dict(source=_complexity(_gflops))
        ours[row, '', 'views/s (A100)'] = dict(source=_complexity(_speed))
    return _table('4', 'Fully supervised on Kinetics-400, 16 frames, 4x3 '
                  'views', paper.SUPERVISED, ours, runs, note=_COMPLEXITY)


_COMPLEXITY = (
    'Compute: `vifi-clip complexity vifi_k400 vifi_k400:TUNE=prompts --json '
    'FOLDER/complexity.json`, with `--measure` on an A100, in the folder of '
    'the runs; docs/complexity.md says what is counted.')


def _gflops(config: dict) -> float:
    return config['asked']['image'] / 1e9


def _speed(config: dict) -> float:
    return config['measured']['views_per_second']['median']


def _parameters(config: dict) -> float:
    # Without the token embeddings, as the paper's figure nearly is.
    return (config['parameters'] - config['token_parameters']) / 1e6


def _complexity(value: Callable[[dict], float], *changes: str) -> Source:
    """A figure of ``vifi-clip complexity``, from the record of vifi_k400 with
    some ``changes``, as 'TUNE=prompts'."""
    def read(record: dict) -> float:
        if record['convention'] != 'macs':
            raise ValueError('made with --convention flops, where the paper '
                             'counts multiply-adds once')
        return value(next(
            config for config in record['configs']
            if config['title'] == ['vifi_k400', *changes]
            and config['frames'] == 16 and (value is not _speed or (
                'A100' in (record['machine'] or '')  # as the paper's
                and 'error' not in config['measured']))))

    return Source('complexity.json', read)


def compute() -> List[Table]:
    """Tables 6 and 9: operations, speed and parameters."""
    columns = {'GFLOPs': _gflops, 'views/s (A100)': _speed,
               'parameters (M)': _parameters}
    fine_tuned, prompted = (
        {(row, '', column): dict(source=_complexity(value, *changes))
         for column, value in columns.items()}
        for row, *changes in ((BOTH, ), (PROMPTS, 'TUNE=prompts')))
    return [
        _table('6', 'Compute', paper.COMPUTE, fine_tuned, unit='',
               note=_COMPLEXITY),
        _table('9', 'Compute of prompting', paper.COMPUTE_PROMPTING, prompted,
               unit='', note=_COMPLEXITY)
    ]


def retrieval() -> Table:
    """Table 10: text to video on MSR-VTT 9k."""
    ours, runs = {}, []
    for row in (FROZEN, BOTH):
        run = Run(f'retrieval/{TUNE[row]}', 'vifi_retrieval',
                  dict(TUNE=TUNE[row]), 'msrvtt', train=row != FROZEN)
        runs.append(run)
        for k in (1, 5):
            ours[row, '', f'R@{k}'] = dict(
                runs=(run.name, ), metric=f'retrieval/R{k}', scale=1.)
    return _table('10', 'Text-to-video retrieval, MSR-VTT 9k',
                  paper.RETRIEVAL, ours, runs)


def clusters() -> Table:
    """Table 11: how well clusters of HMDB-51's embeddings fit its classes."""
    def score(row: str, key: str) -> Source:
        return Source('tsne.json', lambda record: next(
            model[key] for model in record['models'] if model['name'] == row))

    ours = {(row, '', column): dict(
                source=score(row, column.replace('-', '_').lower()))
            for row in (FROZEN, BOTH)
            for column in ('homogeneity', 'completeness', 'V-measure')}
    return _table(
        '11', 'Clusters of HMDB-51', paper.CLUSTERS, ours, unit='',
        note='Ours: `vifi-clip tsne` of HMDB-51\'s embeddings with '
        f'`--names "{FROZEN}, {BOTH}" --json FOLDER/tsne.json`, in the folder '
        'of the runs.')


def paper_tables() -> Dict[str, Table]:
    """The paper's Tables 1 to 11 by number."""
    tuned = (FROZEN, IMAGE, TEXT, BOTH)
    tables = (
        zero_shot(),
        _base_to_novel('2', 'Base-to-novel, 16 shots', paper.BASE_TO_NOVEL,
                       ('k400', *DATASETS), tuned),
        _few_shot('3', 'Few-shot', paper.FEW_SHOT, tuned),
        supervised(), fusion(), *compute(),
        _few_shot('7', 'Few-shot, bridge and prompt',
                  paper.FEW_SHOT_PROMPTING, (FROZEN, PROMPTS)),
        _base_to_novel('8', 'Base-to-novel, bridge and prompt',
                       paper.BASE_TO_NOVEL_PROMPTING, DATASETS,
                       (FROZEN, PROMPTS)),
        retrieval(), clusters())
    return by_number(tables)
