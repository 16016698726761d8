"""The paper's tables: every cell, and the runs behind it."""
from typing import Dict, List, Tuple

from . import paper
from .paper import BOTH, FROZEN, IMAGE, PROMPTS, TEXT
from .runs import Cell, Run, Table

SEEDS = (1, 2, 3)
# The knob TUNE of each row.
TUNE = {FROZEN: 'none', IMAGE: 'image', TEXT: 'text', BOTH: 'both',
        PROMPTS: 'prompts'}
TOP1 = 'acc/top1'
# Bridge and prompt starts from ViFi-CLIP trained on Kinetics-400.
_BRIDGE = 'zero_shot/train/both'


def _bridge() -> Run:
    return Run(_BRIDGE, 'vifi_zero_shot', dict(TUNE='both'), 'k400',
               test=False)


def zero_shot() -> Table:
    """Table 1: trained on Kinetics-400, tested elsewhere."""
    columns = (('hmdb51', 'HMDB-51', 'top1'), ('ucf101', 'UCF-101', 'top1'),
               ('k600', 'K600 top-1', 'top1'), ('k600', 'K600 top-5', 'top5'))
    cells, runs = [], {}
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
            cells.append(
                Cell(row, column, (name, ), f'{dataset}/acc/{top}_mean',
                     f'{dataset}/acc/{top}_std',
                     paper=paper.ZERO_SHOT[row, column]))
    return Table('1', 'Zero-shot: trained on Kinetics-400, 32 frames, one '
                 'view', tuple(cells), tuple(runs.values()))


def _seeded(name: str, config: str, knobs: dict, row: str, dataset: str,
            seeds=SEEDS) -> List[Run]:
    """A row's runs over seeds; frozen CLIP needs one and no training."""
    if row == FROZEN:
        return [Run(f'{name}/none', config, dict(knobs, TUNE='none'), dataset,
                    train=False)]
    return [
        Run(f'{name}/{TUNE[row]}/seed{seed}', config,
            dict(knobs, TUNE=TUNE[row], SEED=str(seed)), dataset,
            uses=_BRIDGE if row == PROMPTS else None) for seed in seeds
    ]


def _names(runs: List[Run]) -> Tuple[str, ...]:
    return tuple(run.name for run in runs)


def _base_to_novel(key: str, title: str, datasets: tuple,
                   rows: tuple) -> Table:
    cells, runs = [], [_bridge()] if PROMPTS in rows else []
    for dataset in datasets:
        for row in rows:
            mine = _seeded(f'base2novel/{dataset}', 'vifi_base2novel',
                           dict(DATASET=dataset), row, dataset)
            runs += mine
            cells += [
                Cell(row, half, _names(mine), f'{half}/{TOP1}',
                     paper=paper.BASE_TO_NOVEL[row, f'{dataset} {half}'],
                     group=dataset)
                for half in ('base', 'novel', 'HM')
            ]
    return Table(key, title, tuple(cells), tuple(runs))


def _few_shot(key: str, title: str, rows: tuple) -> Table:
    cells, runs = [], [_bridge()] if PROMPTS in rows else []
    for dataset in ('hmdb51', 'ucf101', 'ssv2'):
        for row in rows:
            for shots in paper.SHOTS:
                name, knobs = f'few_shot/{dataset}', dict(DATASET=dataset)
                if row != FROZEN:
                    name += f'/{shots}shot'
                    knobs['SHOTS'] = str(shots)
                # one published draw for each K
                mine = _seeded(name, 'vifi_few_shot', knobs, row, dataset,
                               seeds=(1, ))
                runs += mine
                column = f'K={shots}'
                cells.append(
                    Cell(row, column, _names(mine), TOP1, group=dataset,
                         paper=paper.FEW_SHOT[row, f'{dataset} {column}']))
    return Table(key, title, tuple(cells), tuple(runs))


def fusion() -> Table:
    """Table 7: how frames become a video."""
    cells, runs = [], []
    for kind in ('decision', 'image', 'embedding'):
        tiny = Run(f'fusion/k400_tiny/{kind}', 'vifi_k400',
                   dict(TUNE=TUNE[BOTH], FUSION=kind,
                        TRAIN_LIST='train_tiny.txt'), 'k400')
        runs.append(tiny)
        cells.append(Cell(kind, 'k400 tiny', (tiny.name, ), TOP1,
                          paper=paper.FUSION[kind, 'k400 tiny']))
        for dataset in ('ssv2', 'hmdb51', 'ucf101'):
            knobs = dict(DATASET=dataset, SHOTS='16')
            name = f'few_shot/{dataset}/16shot'
            if kind != 'embedding':  # which is Table 3's
                knobs['FUSION'] = kind
                name = f'fusion/{dataset}_16shot/{kind}'
            mine = _seeded(name, 'vifi_few_shot', knobs, BOTH, dataset,
                           seeds=(1, ))
            runs += mine
            column = f'{dataset} K=16'
            cells.append(Cell(kind, column, _names(mine), TOP1,
                              paper=paper.FUSION[kind, column]))
    return Table('7', 'Fusion of frames', tuple(cells), tuple(runs))


def supervised() -> Table:
    """Table 8: fully supervised, 4 x 3 views."""
    cells, runs = [], []
    for row in (IMAGE, TEXT, BOTH):
        run = Run(f'supervised/{TUNE[row]}', 'vifi_k400',
                  dict(TUNE=TUNE[row]), 'k400')
        runs.append(run)
        cells += [
            Cell(row, column, (run.name, ), f'acc/{column.replace("-", "")}',
                 paper=paper.SUPERVISED[row, column])
            for column in ('top-1', 'top-5')
        ]
    return Table('8', 'Fully supervised on Kinetics-400, 16 frames, 4x3 views',
                 tuple(cells), tuple(runs))


def retrieval() -> Table:
    """Table 10: text to video on MSR-VTT 9k."""
    cells, runs = [], []
    for row in (FROZEN, BOTH):
        run = Run(f'retrieval/{TUNE[row]}', 'vifi_retrieval',
                  dict(TUNE=TUNE[row]), 'msrvtt', train=row != FROZEN)
        runs.append(run)
        cells += [
            Cell(row, f'R@{k}', (run.name, ), f'retrieval/R{k}', scale=1.,
                 paper=paper.RETRIEVAL.get((row, f'R@{k}'))) for k in (1, 5)
        ]
    return Table('10', 'Text-to-video retrieval, MSR-VTT 9k', tuple(cells),
                 tuple(runs))


def paper_tables() -> Dict[str, Table]:
    """The paper's Tables 1-5, 7, 8 and 10 by number."""
    tuned = (FROZEN, IMAGE, TEXT, BOTH)
    prompted = ('hmdb51', 'ucf101', 'ssv2')
    tables = (
        zero_shot(),
        _base_to_novel('2', 'Base-to-novel, 16 shots',
                       ('k400', *prompted), tuned),
        _few_shot('3', 'Few-shot', (FROZEN, BOTH)),
        _base_to_novel('4', 'Base-to-novel, bridge and prompt', prompted,
                       (BOTH, PROMPTS)),
        _few_shot('5', 'Few-shot, bridge and prompt', (BOTH, PROMPTS)),
        fusion(), supervised(), retrieval())
    return {table.key: table for table in tables}
