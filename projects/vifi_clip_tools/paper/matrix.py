"""The paper's tables, run by run: listed, printed, or run on this machine,
several at a time, going on after a failure."""
import os
import os.path as osp
import shlex
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import torch

from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import temporary_folder
from ..cli.outputs import check_folder
from ..cli.processes import Step, ended_by_signals
from ..merge import command as merge
from ..run import test, train
from . import quickstart
from .layout import (Layout, ShellText, default_folder, default_knobs,
                     different, shell_script)
from .options import MatrixOptions
from .runs import Run, Table, by_name, check_choice, with_needed
from .tables import mini_tables, paper_tables

# Knobs that mean one data set or run, where the matrix has many.
_OF_ONE = {'LIST_DIR', 'VIDEO_DIR', 'PACKED', 'CLASS_FILE', 'TRAIN_LIST',
           'VAL_LIST', 'SHOTS', 'SEED', 'DATASET', 'EVAL', 'SPLIT', 'PROTOCOL',
           'TUNE', 'FUSION', 'METHOD', 'LOAD_FROM'}
# What a step's process runs, with a command line.
TOOLS: Dict[str, Callable[[Sequence[str]], None]] = dict(
    train=lambda argv: train.run(train.parse_args(argv)),
    merge=lambda argv: merge.run(merge.parse_args(argv)),
    test=lambda argv: test.run(test.parse_args(argv)))
_MINI_JOBS = 4  # each holds about 1 GiB of memory
_SLURM = """#!/usr/bin/env bash
#SBATCH --job-name={job}
#SBATCH --gpus-per-node={gpus}
#SBATCH --ntasks=1
#SBATCH --cpus-per-gpu=8
"""


def matrix(options: MatrixOptions) -> None:
    """List, print or run."""
    tables = mini_tables() if options.mini else paper_tables()
    runs = _choose(options, tables)
    every = by_name(tables.values()).values()
    layout = Layout(options.work_dir or default_folder(options.mini, every))
    turned = {name for run in every for name in run.knobs} | _OF_ONE
    clash = sorted(turned & set(os.environ))
    if clash:
        raise ValueError(
            f'{", ".join(clash)} set in the environment, but the matrix sets '
            'that itself, or has a value for each of its data sets: unset it, '
            'choose runs with --table, --dataset or --only, and set the '
            'places of data with DATA_ROOT and LIST_ROOT')
    if options.commands:
        if options.mini:
            print('# They need data/mini and work_dirs/mini_clip, which '
                  'tools/quickstart.sh makes.\n')
        _print_commands(options, runs, layout)
    elif options.run:
        check_folder('--work-dir', layout.root)
        _run(options, runs, layout)
    else:
        _show(runs, layout)


def _choose(options: MatrixOptions, tables: Dict[str, Table]) -> List[Run]:
    """Return the runs that are asked for, and those they need."""
    keys, datasets = options.table, options.dataset
    only = (options.only or '').lower()
    runs = by_name(tables.values())
    check_choice('--table', keys, tables)
    check_choice('--dataset', datasets,
                 sorted({run.dataset for run in runs.values()}))
    chosen = by_name(tables[key] for key in keys or tables).values()
    if not chosen:
        notes = dict.fromkeys(tables[key].note for key in keys)
        raise ValueError(f'--table {" ".join(keys)} has no runs. '
                         + ' '.join(notes))
    left = [run for run in chosen if only in run.name
            and (not datasets or run.dataset in datasets)]
    if not left:
        raise ValueError(
            f'no run of these tables has --dataset {datasets or "any"} and '
            f'{only!r} in its name; they have the data sets '
            + ', '.join(sorted({run.dataset for run in chosen}))
            + ', and names of ' + ', '.join(sorted({
                part for run in chosen for part in run.name.split('/')})))
    return with_needed(left, runs)


def _show(runs: Sequence[Run], layout: Layout) -> None:
    """List runs and how far they are, in 90 columns."""
    width = max((len(run.name) for run in runs if run.uses), default=0)
    config, left = None, 0
    for run in runs:
        if run.config != config:
            config = run.config
            print(config)
        state = ('finished' if layout.finished(run) else
                 'train + test' if run.train and run.test else
                 'train' if run.train else 'test')
        left += state != 'finished'
        start = f'  <- {run.uses}' if run.uses else ''
        print(f'  {state:<13}{run.name:<{width}}{start}'.rstrip())
    print(f'\nThey go to {layout.root}\n--run runs them, --commands shell '
          'prints them with their knobs.\n'
          f'{len(runs)} runs, {left} to do.')


def _print_commands(options: MatrixOptions, runs: Sequence[Run],
                    layout: Layout) -> None:
    """Print commands for a cluster, to be run in this folder."""
    knobs = set().union(*map(default_knobs, different(runs)))
    for name in sorted(knobs & set(os.environ)):
        print(f'export {name}={shlex.quote(os.environ[name])}')
    pending = set()
    for run in runs:
        if layout.finished(run):
            continue
        script = shell_script(run, layout, options.gpus)
        if options.commands == 'shell':
            print(f'# {run.name}\n{script}\n')
            continue
        folder = shlex.quote(layout.path(run.name))
        head = _SLURM.format(job=run.name.replace('/', '-'), gpus=options.gpus)
        words = f'--parsable --output={folder}/slurm-%j.out'
        if run.uses in pending:
            needed = run.uses.replace('/', '_')
            # what stands after ';' is the cluster's name
            words += f' --dependency=afterok:"${{job_{needed}%%;*}}"'
        pending.add(run.name)
        variable = run.name.replace('/', '_')
        print(f"mkdir -p {folder}\njob_{variable}=$(sbatch {words} "
              f"<<'EOF'\n{head}{script}\nEOF\n)\n")


def _run(options: MatrixOptions, runs: Sequence[Run], layout: Layout) -> None:
    environ, jobs, again = {}, options.jobs or 1, ''
    if options.mini:
        again = ' --mini'
        jobs = options.jobs or min(usable_cores(), _MINI_JOBS)
        data = quickstart.make_data(options.data_root)
        # Videos are read where they are used: ending the workers of one
        # training takes torch 5 s each, and the other runs keep the cores
        # busy.
        environ = dict(DATA_ROOT=osp.abspath(options.data_root), WORKERS='0')
        os.environ['DATA_ROOT'] = environ['DATA_ROOT']
        environ['MINI_CLIP'] = osp.abspath(
            quickstart.pretrain('work_dirs/quickstart', data))
    if options.work_dir:
        again += f' --work-dir {shlex.quote(options.work_dir)}'
    todo = [run for run in runs if not layout.finished(run)]
    print(f'{len(runs) - len(todo)} of {len(runs)} runs are finished; '
          f'{len(todo)} to do, {jobs} at a time, in {layout.root}')
    with ExitStack() as stack:
        if options.mini and todo:
            # All runs read the same clips, 1.6 GB decoded.
            Path(layout.root).mkdir(parents=True, exist_ok=True)
            environ['FRAMES_DIR'] = str(stack.enter_context(
                temporary_folder(layout.root)).absolute())
        failed = Executor(layout, options.gpus, jobs, environ).run(todo)
    print(f'\nThe tables: vifi-clip report{again}')
    if failed:
        listed = '\n'.join(f'  {name}: {why}' for name, why in failed.items())
        raise UserError(f'{len(failed)} of {len(todo)} runs failed:\n'
                        f'{listed}\nRun the same command to retry them.')


def run_alone(layout: Layout, run: Run) -> None:
    """One run in this process: what is left of its training, then its test.
    The file 'trained' has the CPU seconds of the training."""
    for kind in TOOLS:
        start = time.process_time()
        # Anew each time: the test's checkpoint is there after the training.
        for tool, *argv in layout.steps(run):
            if tool != kind:
                continue
            for word in [*argv, *layout.environ(run).values()]:
                if isinstance(word, ShellText):
                    raise UserError(
                        f'there is no checkpoint such as {word}; remove the '
                        'file "trained" beside it to train again')
            TOOLS[kind](argv)
            if kind == 'train':
                Path(layout.path(run.name, 'trained')).write_text(
                    f'{time.process_time() - start:.1f}\n')


class Executor:
    """Works through runs, ``jobs`` at a time, with ``gpus`` each; knobs for
    all of them are in ``environ`` (where data are)."""

    def __init__(self, layout: Layout, gpus: int, jobs: int,
                 environ: Dict[str, str]) -> None:
        self.layout, self.gpus, self.jobs = layout, gpus, jobs
        self.environ = environ
        self.threads = None if torch.cuda.is_available() else max(
            1, usable_cores() // jobs)
        self.failed: Dict[str, str] = {}
        self.done = 0

    def run(self, runs: Sequence[Run]) -> Dict[str, str]:
        """Run them, each after those it uses; return why each run that is
        not finished is not."""
        self.total = len(runs)
        waiting, active = list(runs), {}
        with ended_by_signals():
            try:
                while waiting or active:
                    while len(active) < self.jobs:
                        run = self._next(waiting, active)
                        if run is None:
                            break
                        self._start(run, active)
                    for name, step in list(active.items()):
                        if not step.running(0.2):
                            self._end(active.pop(name))
            except BaseException:  # interrupted: leave no orphan behind
                for step in active.values():
                    step.stop()
                raise
        return self.failed

    def _next(self, waiting: List[Run], active: dict) -> Optional[Run]:
        """The first run whose start is there."""
        for run in list(waiting):
            if run.uses in active or any(run.uses == w.name for w in waiting):
                continue
            waiting.remove(run)
            if run.uses not in self.failed:
                return run
            self.failed[run.name] = f'{run.uses}, which it needs, failed'
            self._say(run.name, 'left out: ' + self.failed[run.name])
        return None

    def _start(self, run: Run, active: Dict[str, Step]) -> None:
        def main(_: Sequence[str]) -> None:
            if self.gpus == 1:
                return run_alone(self.layout, run)
            script = shell_script(run, self.layout, self.gpus)
            code = subprocess.run(['bash', '-c', script]).returncode
            if code:
                raise UserError(f'it ended with exit code {code}')

        active[run.name] = Step(
            run.name, main, [],
            self.layout.path(run.name, 'run.log'),
            {**self.environ, **self.layout.environ(run)}, self.threads)

    def _end(self, step: Step) -> None:
        seconds = time.time() - step.start
        try:
            step.finish()
        except UserError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            # the tools' errors stand last before "... failed; its log is"
            why = lines[-1] if step.killed or not lines[1:] else lines[-2]
            self.failed[step.title] = why[:300]
            self._say(step.title, f'FAILED after {seconds:.0f} s, see '
                      f'{step.log_file}')
            return
        self._say(step.title, f'done in {seconds:.0f} s')

    def _say(self, name: str, what: str) -> None:
        self.done += 1
        print(f'[{self.done:>3}/{self.total}] {name:<32} {what}', flush=True)
