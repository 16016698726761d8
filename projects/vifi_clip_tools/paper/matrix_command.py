"""``tools/run_matrix.py``: the paper's tables, run by run."""
import argparse
import os
import os.path as osp
import shlex
from typing import Dict, List, Optional, Sequence

from projects.vifi_clip.errors import UserError
from .layout import Layout, check_environ, config_knobs, shell_script
from .mini_tables import mini_tables
from .paper_tables import paper_tables
from .runs import Run, Table, by_name, with_needed
from projects.vifi_clip.apis import config as knobs
from ..cli.options import HelpFormatter

# Knobs that mean one data set or run, where the matrix has many.
_OF_ONE = {'LIST_DIR', 'VIDEO_DIR', 'CLASS_FILE', 'TRAIN_LIST', 'VAL_LIST',
           'SHOTS', 'SEED', 'DATASET', 'EVAL', 'SPLIT', 'PROTOCOL', 'TUNE',
           'FUSION'}
_MINI_JOBS = 4  # each holds about 1 GiB of memory
_SLURM = """#!/usr/bin/env bash
#SBATCH --job-name={job}
#SBATCH --gpus-per-node={gpus}
#SBATCH --ntasks=1
#SBATCH --cpus-per-gpu=8
"""
_EPILOG = """
examples:
  vifi-clip matrix                              # what there is
  vifi-clip matrix --table 2 --dataset hmdb51 --run --gpus 8
  vifi-clip matrix --table 3 --commands slurm --gpus 8 > jobs.sh
  vifi-clip matrix --mini                       # run it all
  vifi-clip report                              # the tables
"""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of the matrix."""
    parser = argparse.ArgumentParser(
        description='List, run or print every cell of the paper\'s tables. '
        'Without --run, or --mini, nothing is run.',
        formatter_class=HelpFormatter,
        epilog=_EPILOG)
    parser.add_argument('--mini', action='store_true', help='run the small '
                        'world instead of the paper\'s data sets')
    parser.add_argument('--table', nargs='+', help='numbers of the paper\'s '
                        'tables (default: all)')
    parser.add_argument('--dataset', nargs='+', help='data sets, or protocols '
                        'of the small world (default: all)')
    parser.add_argument('--only', help='runs whose name holds this text')
    parser.add_argument('--run', action='store_true', help='run what is not '
                        'finished, here')
    parser.add_argument('--dry-run', action='store_true', help='with --mini: '
                        'list the runs, run nothing')
    parser.add_argument('--commands', choices=['shell', 'slurm'],
                        help='print commands for a cluster instead')
    parser.add_argument('--gpus', type=int, default=1, help='GPUs for each '
                        'run (default: 1); the paper\'s batches are for 8')
    parser.add_argument('--jobs', type=int, help='runs at a time on this '
                        'machine (default: 1; --mini: one for each core, '
                        '4 at most)')
    parser.add_argument('--work-dir', help='folder of the runs (default: '
                        'work_dirs/matrix, work_dirs/matrix_mini, with the '
                        'knobs that are turned for all runs)')
    parser.add_argument('--data-root', default='data/mini', help='the small '
                        'world of --mini (default: data/mini)')
    args = parser.parse_args(argv)
    for name in 'gpus', 'jobs':
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name} must be at least 1')
    if args.run + args.dry_run + bool(args.commands) > 1:
        parser.error('--run runs, --dry-run lists, --commands prints: choose '
                     'one')
    # The small world is there to be run; the paper's cells take GPU days.
    args.run |= args.mini and not (args.dry_run or args.commands)
    return args


def default_folder(mini: bool, tables: Dict[str, Table]) -> str:
    """Where the runs of a matrix go.

    Knobs that the user turns for all of them are in its name, so that no
    model trained with 16 frames is tested with 32.
    """
    runs = by_name(tables.values()).values()
    turned = {name for run in runs for name in run.knobs}
    parts = set()
    for config in {run.config for run in runs}:
        known = config_knobs(config)
        left = {k: v for k, v in known.items() if k not in turned}
        parts.update(filter(None, knobs.experiment(left).split('-')))
    name = 'matrix_mini' if mini else 'matrix'
    return osp.join('work_dirs', '-'.join([name, *sorted(parts)]))


def choose(tables: Dict[str, Table], args: argparse.Namespace) -> List[Run]:
    """The runs that the command line asks for, and those they need.

    Raises:
        ValueError: Nothing is left, or there is no such table or data set.
    """
    runs = by_name(tables.values())
    _check_known('--table', args.table, list(tables))
    chosen = by_name(tables[key] for key in args.table or tables)
    if not chosen:
        notes = dict.fromkeys(tables[key].note for key in args.table)
        raise ValueError(f'--table {" ".join(args.table)} has no runs. '
                         + ' '.join(notes))
    _check_known('--dataset', args.dataset,
                 sorted({run.dataset for run in runs.values()}))
    found = [
        run for run in chosen.values()
        if (not args.dataset or run.dataset in args.dataset)
        and (not args.only or args.only in run.name)
    ]
    if not found:
        known = sorted({run.dataset for run in chosen.values()})
        raise ValueError(
            f'no run of these tables has --dataset {args.dataset or "any"} '
            f'and {args.only or ""!r} in its name; they have the data sets '
            f'{", ".join(known)}')
    return with_needed(found, runs)


def _check_known(option: str, given: Optional[List[str]],
                 known: List[str]) -> None:
    unknown = [value for value in given or () if value not in known]
    if unknown:
        raise ValueError(f'{option} {" ".join(unknown)}: choose from '
                         f'{", ".join(known)}')


def show(runs: Sequence[Run], layout: Layout) -> None:
    """List runs and how far they are, in 80 columns.

    A name tells the knobs in short; the commands have them in full.
    """
    width = max((len(run.name) for run in runs if run.uses), default=0)
    config = None
    for run in runs:
        if run.config != config:
            config = run.config
            print(config)
        what = ('train + test' if run.train and run.test else
                'train' if run.train else 'test')
        state = 'finished' if layout.finished(run) else what
        start = f'  <- {run.uses}' if run.uses else ''
        print(f'  {state:<13}{run.name:<{width}}{start}'.rstrip())
    left = sum(not layout.finished(run) for run in runs)
    print(f'\nThey go to {layout.root}\n--run runs them, --commands shell '
          'prints them with their knobs.\n'
          f'{len(runs)} runs, {left} to do.')


def print_commands(runs: Sequence[Run], layout: Layout, kind: str,
                   gpus: int) -> None:
    """Commands for a cluster, to be run in this folder."""
    pending = set()
    for line in _exports(runs):
        print(line)
    for run in runs:
        if layout.finished(run):
            continue
        script = shell_script(run, layout, gpus)
        folder = shlex.quote(layout.folder(run.name))
        if kind == 'shell':
            print(f'# {run.name}\n{script}\n')
            continue
        head = _SLURM.format(job=run.name.replace('/', '-'), gpus=gpus)
        options = f'--parsable --output={folder}/slurm-%j.out'
        if run.uses in pending:
            needed = run.uses.replace('/', '_')
            # what stands after ';' is the cluster's name
            options += f' --dependency=afterok:"${{job_{needed}%%;*}}"'
        pending.add(run.name)
        variable = run.name.replace('/', '_')
        print(f"mkdir -p {folder}\njob_{variable}=$(sbatch {options} "
              f"<<'EOF'\n{head}{script}\nEOF\n)\n")


def _exports(runs: Sequence[Run]) -> List[str]:
    """The knobs that are set here, for the shell that runs the commands."""
    known = set()
    for config in {run.config for run in runs}:
        known |= set(config_knobs(config))
    return [f'export {name}={shlex.quote(os.environ[name])}'
            for name in sorted(known & set(os.environ))]


def main(argv: Optional[Sequence[str]] = None) -> None:
    """List, print or run.

    Raises:
        UserError: Runs failed; what is finished stays.
    """
    args = parse_args(argv)
    tables = mini_tables() if args.mini else paper_tables()
    runs = choose(tables, args)
    layout = Layout(args.work_dir or default_folder(args.mini, tables))
    turned = {name for run in runs for name in run.knobs}
    check_environ(os.environ, turned | _OF_ONE)
    if args.commands:
        if args.mini:
            print('# They need data/mini and work_dirs/mini_clip, which '
                  'tools/quickstart.sh makes.\n')
        print_commands(runs, layout, args.commands, args.gpus)
    elif args.run:
        _run(args, runs, layout)
    else:
        show(runs, layout)


def _run(args: argparse.Namespace, runs: Sequence[Run],
         layout: Layout) -> None:
    # These import torch and MMAction2, which a dry run does not need.
    from .execute import Executor
    environ = _prepare_mini(args) if args.mini else {}
    jobs = args.jobs or (min(os.cpu_count() or 1, _MINI_JOBS)
                         if args.mini else 1)
    todo = [run for run in runs if not layout.finished(run)]
    print(f'{len(runs) - len(todo)} of {len(runs)} runs are finished; '
          f'{len(todo)} to do, {jobs} at a time, in {layout.root}')
    failed = Executor(layout, args.gpus, jobs, environ).run(todo)
    options = ' --mini' if args.mini else ''
    if args.work_dir:
        options += f' --work-dir {shlex.quote(args.work_dir)}'
    print(f'\nThe tables: python tools/report.py{options}')
    if failed:
        listed = '\n'.join(f'  {name}: {why}' for name, why in failed.items())
        raise UserError(f'{len(failed)} of {len(todo)} runs failed:\n{listed}'
                        '\nThe same command tries them again.')


def _prepare_mini(args: argparse.Namespace) -> Dict[str, str]:
    """The small world and its CLIP, as the quick start makes them."""
    from . import quickstart
    data = quickstart.make_data(args.data_root)
    data_root = os.environ['DATA_ROOT'] = osp.abspath(args.data_root)
    clip = quickstart.pretrain(
        argparse.Namespace(work_dir='work_dirs/quickstart'), data)
    # Videos are read where they are used: ending the workers of one training
    # takes torch 5 s each, and the other runs keep the cores busy.
    return dict(DATA_ROOT=data_root, MINI_CLIP=osp.abspath(clip),
                WORKERS='0')
