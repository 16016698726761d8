"""The tables: every cell has its runs, and every run its settings."""
from pathlib import Path

import pytest
from mmengine.config import Config

from projects.vifi_clip.apis.config import read_knobs
from projects.vifi_clip_tools.paper.mini_tables import mini_tables
from projects.vifi_clip_tools.paper.paper_tables import paper_tables
from projects.vifi_clip_tools.paper.runs import (Run, Table, by_name,
                                                 with_needed)

CONFIGS = Path(__file__).parents[2] / 'configs'
TABLES = dict(paper=paper_tables(), mini=mini_tables())


@pytest.fixture(params=['paper', 'mini'])
def tables(request):
    return TABLES[request.param]


def test_cells_have_their_runs(tables):
    for table in tables.values():
        runs = by_name([table])
        places = [(c.group, c.row, c.column) for c in table.cells]
        assert len(set(places)) == len(places), table.key
        for cell in table.cells:
            assert len(set(cell.runs)) == len(cell.runs)
            assert bool(cell.runs) == bool(cell.metric)
            for name in cell.runs:
                assert runs[name].test, f'{name} writes no metrics'
        needed = {name for cell in table.cells for name in cell.runs}
        assert set(runs) == {run.name for run in with_needed(
            [runs[name] for name in needed], runs)}, 'a run for no cell'


def test_runs_that_are_used_train_and_come_first(tables):
    runs = by_name(tables.values())
    for table in tables.values():
        names = list(by_name([table]))
        for run in table.runs:
            if run.uses:
                assert runs[run.uses].train
                assert names.index(run.uses) < names.index(run.name)
    for run in runs.values():
        if not run.train:  # tests a training, or frozen CLIP
            assert run.uses or run.knobs['TUNE'] == 'none', run.name
        if run.knobs['TUNE'] == 'prompts':
            bridge = runs[run.uses]
            assert bridge.knobs['TUNE'] == 'both'
            if bridge.config != 'vifi_zero_shot':
                assert bridge.knobs['SEED'] == run.knobs['SEED']


def test_seeds_are_three_where_the_paper_averages():
    for key, table in TABLES['paper'].items():
        for cell in table.cells:
            seeds = [name.rpartition('/seed')[2] for name in cell.runs]
            if key in '28' and cell.runs and cell.row != 'vanilla CLIP':
                assert seeds == ['1', '2', '3'], cell
            else:
                assert len(cell.runs) < 2, cell


def test_folders_do_not_hold_each_other(tables):
    """Nor differ in case or in what Slurm's variables are called by."""
    names = [run.name for run in by_name(tables.values()).values()]
    assert len({name.lower().replace('/', '_') for name in names}) == len(
        names)
    for name in names:
        assert not any(other.startswith(name + '/') for other in names)
        assert name.replace('/', '_').isidentifier(), name


def test_two_runs_of_one_name():
    one, other = Run('a', 'vifi_k400'), Run('a', 'vifi_k400', dict(SEED='1'))
    tables = [Table('1', '', [one]), Table('2', '', [one, other])]
    with pytest.raises(ValueError, match='two different runs are called a'):
        by_name(tables)


def test_knobs_are_the_configs_own(tables):
    for run in by_name(tables.values()).values():
        known = read_knobs(str(CONFIGS / f'{run.config}.py'))
        assert set(run.knobs) <= set(known), run.name


def _distinct():
    """Runs by what of them a config sees, but for the seed."""
    found = {}
    for kind, tables in TABLES.items():
        for run in by_name(tables.values()).values():
            knobs = {k: v for k, v in run.knobs.items() if k != 'SEED'}
            found[(run.config, run.train, *sorted(knobs.items()))] = run
    return list(found.values())


@pytest.mark.parametrize('run', _distinct(), ids=lambda run: run.name)
def test_settings(monkeypatch, run):
    knobs = dict(run.knobs)
    if knobs['TUNE'] == 'prompts':
        knobs['PRETRAINED'] = '/there/k400.pth'
    for name, value in knobs.items():
        monkeypatch.setenv(name, value)
    cfg = Config.fromfile(CONFIGS / f'{run.config}.py')
    assert cfg.model.tune == knobs['TUNE']
    assert cfg.randomness.seed == int(
        knobs.get('SEED', read_knobs(cfg.filename)['SEED']))
    if knobs['TUNE'] == 'prompts':
        for part in cfg.model.backbone, cfg.model.cls_head.text_classifier:
            assert part.pretrained == '/there/k400.pth'
    if 'FUSION' in knobs:
        assert cfg.model.cls_head.fusion == knobs['FUSION']
    start = dict(vifi_few_shot='few_shot_train',
                 vifi_base2novel='base_train').get(run.config)
    if start:
        shots, seed = knobs.get('SHOTS', '16'), knobs.get('SEED', '1')
        assert cfg.train_dataloader.dataset.ann_file.endswith(
            f'data_splits/{knobs["DATASET"]}/'
            f'{start}_{shots}shot_seed{seed}.txt')
    # one view, or the 4 x 3 of the fully supervised settings
    tested = {step.type: step for step in cfg.test_dataloader.dataset.pipeline}
    many = run.config == 'vifi_k400' or knobs.get('PROTOCOL') == 'full'
    assert tested['SparseSampleViews'].get('num_views', 1) == (
        4 if many else 1)
    assert ('ThreeCrop' in tested) == many
