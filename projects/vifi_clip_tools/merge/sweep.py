"""``vifi-clip merge --evaluate``: the accuracy at each alpha."""
import io
import json
from statistics import fmean
from typing import Dict, List

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from projects.vifi_clip.apis.identity import differences
from projects.vifi_clip.apis.runs import until_it_goes
from projects.vifi_clip.checkpoints.layouts import StateDict
from projects.vifi_clip.checkpoints.settings import fingerprint
from projects.vifi_clip.evaluation import Metrics, harmonic_mean_of
from projects.vifi_clip.files import (read_json, write_bytes, write_json,
                                      write_text)
from ..cli.tables import csv_lines, markdown_table
from ..run.test import Options as TestOptions
from ..run.test import record, tester
from .options import Options
from .weights import Tuned, interpolate


class _Weights(Hook):
    """Puts others in the place of those that a test loads, so that all that
    looks at a checkpoint sees them."""

    priority = 'HIGHEST'
    state: StateDict = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint['state_dict'] = dict(self.state)


def sweep(options: Options, clip: StateDict, tuned: Tuned) -> None:
    """Test the weights at each alpha with one model, and write what there is
    after each: the table, the picture, and beside them what was made how, to
    go on from. ValueError if that was made otherwise."""
    test = TestOptions(config=options.evaluate, checkpoint=tuned.path,
                       common=options.common, single_view=options.single_view)
    file = options.record()
    with until_it_goes(test.config, test.common.cfg_options):
        runner, weights = tester(test), _Weights()
        if not hasattr(runner, '_has_loaded'):
            raise ValueError('--evaluate cannot be combined with '
                             'STRATEGY=fsdp: leave it out')
        runner.register_hook(weights)
        made = json.loads(json.dumps(dict(
            record(runner.cfg, test, {}), amp=test.common.amp,
            cfg_options=test.common.cfg_options,
            weights=fingerprint([*clip.items(), *tuned.state.items()]))))
        made['list'] = made.pop('lists')  # long: not said
        if file.exists() and not options.overwrite:
            before = dict(read_json(file))
            made['metrics'] = before.get('metrics')
            if differs := differences(before, made, ('checkpoint', )):
                raise ValueError(
                    f'--out {options.out} was made with other settings '
                    f'({"; ".join(differs)}); choose another name, or add '
                    '--overwrite')
        rows = made['metrics']  # by alpha
        for alpha in options.alpha:
            if (name := f'{alpha:.10g}') not in rows:
                weights.state = interpolate(clip, tuned.state, alpha)
                runner._has_loaded = False
                rows[name] = {metric: float(value) for metric, value
                              in runner.test().items()}
            if is_main_process():
                write_json(file, made)
                table = _write(options, rows)
    if is_main_process():
        print(table)


def accuracies(metrics: Metrics) -> List[float]:
    """Return the top-1 accuracy (%) on the source, the first set, and the
    mean of those on the targets, all other sets, if there are any."""
    found = [100 * value for name, value in metrics.items()
             if name.rpartition('/')[2] == 'top1' and name[:3] != 'HM/']
    if not found:
        raise ValueError('--evaluate needs a config whose test measures the '
                         f'top-1 accuracy, and this has {list(metrics)}')
    return found if len(found) == 1 else [found[0], fmean(found[1:])]


def _write(options: Options, rows: Dict[str, Metrics]) -> str:
    """Write the table and the picture; return the table's main columns."""
    found = {alpha: accuracies(rows[alpha]) for alpha in sorted(rows,
                                                                key=float)}
    best = max(found, key=lambda alpha: harmonic_mean_of(
        found[alpha][0], found[alpha][-1]))
    write_bytes(options.picture(), _draw(found, best))
    write_text(options.out, csv_lines([
        ['alpha', *rows[best], 'best'],
        *([alpha, *(rows[alpha][name] for name in rows[best]),
           int(alpha == best)] for alpha in found)]))
    head = ['source', 'target'] if len(found[best]) > 1 else ['top-1']
    return markdown_table(['alpha', *head, ''], [
        [alpha, *(f'{value:.2f}' for value in values),
         'best' * (alpha == best)] for alpha, values in found.items()])


def _draw(found: Dict[str, List[float]], best: str) -> bytes:
    """Draw the accuracy on the targets over that on the source, or over alpha
    where there is one set."""
    from matplotlib.figure import Figure  # no pyplot: nothing is global
    words = ['source top-1 (%)', 'target top-1 (%)']
    if len(found[best]) == 1:
        words = ['alpha', 'top-1 (%)']
        found = {alpha: [float(alpha), *found[alpha]] for alpha in found}
    figure = Figure((4.5, 3.5), layout='constrained')
    axes = figure.subplots()
    axes.plot(*zip(*found.values()), 'o-', color='tab:blue')
    axes.plot(*found[best], '*', ms=16, color='tab:orange', label='best')
    for alpha, place in found.items():
        axes.annotate(alpha, place, xytext=(4, 4), fontsize=8,
                      textcoords='offset points')
    axes.set(xlabel=words[0], ylabel=words[1])
    axes.legend()
    out = io.BytesIO()
    figure.savefig(out, dpi=200)
    return out.getvalue()
