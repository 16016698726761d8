"""Runs on this machine, several at a time, and goes on after a failure."""
import subprocess
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import torch

from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.errors import UserError
from ..cli.processes import Step, ended_by_signals
from ..run import test, train
from .layout import Layout, ShellText, shell_script
from .runs import Run

# What a step's process runs, with a command line.
TOOLS: Dict[str, Callable[[Sequence[str]], None]] = dict(
    train=lambda argv: train.run(train.parse_args(argv)),
    test=lambda argv: test.run(test.parse_args(argv)))


def run_alone(layout: Layout, run: Run) -> None:
    """One run in this process: what is left of its training, then its test."""
    for kind in ('train', 'test'):
        # Anew each time: the test's checkpoint is there after the training.
        for tool, *argv in layout.steps(run):
            if tool != kind:
                continue
            for word in [*argv, *layout.environ(run).values()]:
                if isinstance(word, ShellText):
                    raise UserError(
                        f'there is no checkpoint: {word} would name it; '
                        'remove the file "trained" beside it to train again')
            TOOLS[kind](argv)
        if kind == 'train' and run.train:
            Path(layout.path(run.name, 'trained')).touch()


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
