"""Where a run's files are, whether it is finished, and its commands."""
import json
import math
import os
import os.path as osp
import shlex
import sys
from pathlib import Path
from typing import Dict, Iterable, List, Optional
from unittest.mock import patch

from projects.vifi_clip_configs.knobs import (experiment, is_place,
                                              knob_values, read_knobs)
from projects.vifi_clip_configs.shipped import root
from .runs import Run

ROOT = root()


class ShellText(str):
    """Words that stand for what a shell makes of them, later."""


class Layout:
    """The folder of a matrix; ``root`` holds a folder for each run."""

    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, name: str, *file: str) -> str:
        """Return the work directory of a run, or a file of it: 'metrics.json'
        is written at a test's very end, 'trained' marks that a training
        reached its own."""
        return osp.join(self.root, name, *file)

    def predictions_file(self, name: str, part: str = '') -> str:
        """Return the predictions of a run's test, or of one of its sets."""
        return self.path(name, f'predictions_{part}.csv' if part else
                         'predictions.csv')

    def checkpoint(self, name: str) -> str:
        """Return the last checkpoint of a run; shell text until it is
        trained."""
        marker = Path(self.path(name), 'last_checkpoint')
        if not (osp.isfile(self.path(name, 'trained')) and marker.is_file()):
            # A checkpoint of an unfinished training is not the last.
            return ShellText(f'$(cat {shlex.quote(str(marker))})')
        # The folder may have moved since; the file's name has not.
        return self.path(name, osp.basename(marker.read_text().strip()))

    def record(self, run: Run) -> Optional[dict]:
        """Read what the run's test wrote, if it is this very run's.

        A record whose knobs differ is of other settings and counts as none,
        and so does a damaged one, which is told. A knob that it lacks came
        later, and was as by default.
        """
        path = Path(self.path(run.name, 'metrics.json'))
        if not path.is_file():
            return None
        knobs = wanted_knobs(run)
        try:
            record = json.loads(path.read_text())
            had = {**default_knobs(run), **record['knobs']}
            same = (knobs.items() <= had.items()
                    and not record.get('single_view')
                    and record.get('config') == f'{run.config}.py')
            damaged = not all(map(math.isfinite, record['metrics'].values()))
        except (ValueError, KeyError, TypeError, AttributeError,
                RecursionError, OverflowError):
            damaged = True
        if damaged:
            print(f'note: {path} is not what tools/test.py --metrics writes; '
                  f'{run.name} counts as not run', file=sys.stderr)
            return None
        return record if same else None

    def finished(self, run: Run) -> bool:
        """Whether there is nothing left to do."""
        if run.test:
            return self.record(run) is not None
        return osp.isfile(self.path(run.name, 'trained'))

    def steps(self, run: Run) -> List[List[str]]:
        """Command lines, each after its tool: train, merge or test."""
        config = config_file(run.config)
        work = ['--work-dir', self.path(run.name)]
        steps = []
        if run.train and not osp.isfile(self.path(run.name, 'trained')):
            steps.append(['train', config, *work, '--resume',
                          *run.train_options])
        if run.test:
            tested = run.name if run.train else run.uses
            checkpoint = self.checkpoint(tested) if tested else 'none'
            if run.alpha is not None:
                merged = self.path(run.name, 'merged.pth')
                clip = knob_values(default_knobs(run))['MINI_CLIP']
                steps.append(['merge', clip, checkpoint, '--alpha',
                              str(run.alpha), '--out', merged, '--overwrite'])
                checkpoint = merged
            steps.append(['test', config, checkpoint, *work, '--metrics',
                          self.path(run.name, 'metrics.json')])
            if not run.config.endswith('retrieval'):  # which has no classes
                steps[-1] += ['--predictions',
                              self.predictions_file(run.name)]
        return steps

    def environ(self, run: Run) -> Dict[str, str]:
        """The run's knobs."""
        knobs = dict(run.knobs)
        if run.train and run.uses:
            knobs[run.start] = self.checkpoint(run.uses)
        return knobs


def config_file(config: str) -> str:
    """Path of an entry config, by its name."""
    return str(ROOT / 'configs' / f'{config}.py')


def default_knobs(run: Run) -> Dict[str, str]:
    """Find the knobs that the run's config and METHOD read: default by name.
    """
    with patch.dict(os.environ, run.knobs):
        return read_knobs(config_file(run.config))


def wanted_knobs(run: Run) -> Dict[str, str]:
    """What decides the run's result, as its config will read it: all knobs
    but those that say where something is."""
    knobs = {**knob_values(default_knobs(run)), **run.knobs}
    return {name: value for name, value in knobs.items()
            if not is_place(name) and name not in ('PRETRAINED', 'LOAD_FROM')}


def different(runs: Iterable[Run]) -> Iterable[Run]:
    """Return a run for each config and METHOD, which say what knobs there
    are."""
    return {(run.config, run.knobs.get('METHOD')): run
            for run in runs}.values()


def default_folder(mini: bool, runs: Iterable[Run]) -> str:
    """Where the runs of a matrix go.

    Knobs that the user turns for all of them are in its name, so that no
    model trained with 16 frames is tested with 32.
    """
    runs = list(runs)
    turned = {name for run in runs for name in run.knobs}
    parts = set()
    for run in different(runs):
        left = {name: value for name, value in default_knobs(run).items()
                if name not in turned}
        parts.update(filter(None, experiment(left).split('-')))
    name = 'matrix_mini' if mini else 'matrix'
    return osp.join('work_dirs', '-'.join([name, *sorted(parts)]))


def shell_script(run: Run, layout: Layout, gpus: int) -> str:
    """Write the run as a shell script for this folder, fit for ``bash -c``
    and for Slurm: a line per step, joined with ``&&``. One GPU runs without a
    launcher."""
    environ = ' '.join(f'{name}={_quote(value)}'
                       for name, value in layout.environ(run).items())
    lines = []
    needed = layout.path(run.uses, 'trained') if run.uses else ''
    if needed and not osp.isfile(needed):
        # Without its checkpoint the run would go on from nothing.
        lines.append(f'ls {shlex.quote(needed)}')
    for kind, file, *rest in layout.steps(run):
        words = [_quote(word) for word in rest]
        if kind == 'merge':
            lines.append(' '.join(['vifi-clip merge', _quote(file), *words]))
            continue
        program, tool = 'python', f'{kind}.py'
        if gpus > 1:
            # CONFIG [CHECKPOINT] GPUS, then options
            words.insert(1 if kind == 'test' else 0, str(gpus))
            program, tool = 'bash', f'dist_{kind}.sh'
        lines.append(' '.join(filter(None, [
            environ, program, _from_here(str(ROOT / 'tools' / tool)),
            _from_here(file), *words])))
        if kind == 'train':
            lines.append('touch ' + shlex.quote(
                layout.path(run.name, 'trained')))
    return ' && \\\n  '.join(lines)


def _quote(word: str) -> str:
    return f'"{word}"' if isinstance(word, ShellText) else shlex.quote(word)


def _from_here(path: str) -> str:
    """Relative to the current folder if it is below that."""
    short = osp.relpath(path)
    return shlex.quote(path if short.startswith('..') else short)
