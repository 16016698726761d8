"""``tools/scale_model.py``: the cost of a step on paper, and as measured."""
import argparse
import os
import os.path as osp
from dataclasses import replace
from typing import List, Optional, Sequence

from ..scale.cost import STRATEGIES, TUNES, Machine, Work, flops, memory
from ..scale.cost import seconds, traffic
from .help_text import HelpFormatter

_GIB = 2**30
SWEEPS = dict(
    frames=(4, 8, 16, 32, 64),
    batch=(1, 2, 4, 8, 16),
    classes=(51, 400, 4000, 40000),
    processes=(1, 2, 8, 64))


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of the cost model."""
    parser = argparse.ArgumentParser(
        description='FLOPs, memory, traffic and time of a training step of '
        'ViFi-CLIP ViT-B/16 against frames, batch, classes and processes',
        epilog='examples:\n  vifi-clip scale --frames 32 --processes 64\n'
        '  vifi-clip scale --strategy fsdp --batch 16 --tflops 300\n'
        '  vifi-clip scale --measured points.json --plot scale.png',
        formatter_class=HelpFormatter)
    parser.add_argument('--frames', type=int, default=16,
                        help='default: %(default)s')
    parser.add_argument('--batch', type=int, default=4, help='of a process '
                        '(default: %(default)s)')
    parser.add_argument('--classes', type=int, default=400,
                        help='default: %(default)s')
    parser.add_argument('--tokens', type=int, default=77, help='of a '
                        'class text, mean or longest (default: %(default)s, '
                        'the context)')
    parser.add_argument('--tune', choices=TUNES[:-1], default='both')
    parser.add_argument('--processes', type=int, default=8,
                        help='default: %(default)s')
    parser.add_argument('--accumulation', type=int, default=16,
                        help='default: %(default)s')
    parser.add_argument('--strategy', choices=STRATEGIES, default='ddp')
    parser.add_argument('--checkpointing', action='store_true')
    parser.add_argument(
        '--text-once', action='store_true',
        help='classes are encoded once per optimizer step')
    parser.add_argument('--class-chunk', type=int, default=0)
    parser.add_argument('--fp32', action='store_true',
                        help='activations of 4 bytes, not 2')
    parser.add_argument('--tflops', type=float, default=100,
                        help='TFLOP/s that a process reaches (default: 100)')
    parser.add_argument('--bandwidth', type=float, default=10, help='GB/s of '
                        'a process to the others (default: 10)')
    parser.add_argument(
        '--measured', metavar='JSON', help='points of tools/benchmark.py to '
        'set beside the model, which is calibrated on the first of each kind')
    parser.add_argument('--plot', metavar='PNG', help='draw the measured '
                        'points and the lines of the model')
    return parser.parse_args(argv)


def work_of(args: argparse.Namespace) -> Work:
    """The step that the options describe."""
    names = ('frames', 'batch', 'classes', 'tokens', 'tune', 'processes',
             'accumulation', 'strategy', 'checkpointing', 'text_once',
             'class_chunk')
    return Work(bytes=4 if args.fp32 else 2,
                **{name: getattr(args, name) for name in names})


def sweep_table(work: Work, machine: Machine, name: str) -> str:
    """One table of Markdown: the step against one of its settings."""
    lines = [f'| {name} | image TFLOP | text TFLOP | s a step | GiB | '
             'GB sent |', '| ---: | ---: | ---: | ---: | ---: | ---: |']
    for value in SWEEPS[name]:
        one = replace(work, **{name: value})
        parts = flops(one)
        lines.append(
            f'| {value:,} | {parts["image"] / 1e12:.2f} | '
            f'{parts["text"] / 1e12:.2f} | {seconds(one, machine):.2f} | '
            f'{sum(memory(one).values()) / _GIB:.1f} | '
            f'{traffic(one) / 1e9:.2f} |')
    return '\n'.join(lines)


def measured_table(points: list, known) -> str:
    """Measured beside predicted; the points calibrated on say so."""
    lines = ['| step | frames | batch | classes | tune | s measured | s model '
             '| off | GiB measured | GiB model | off |',
             '| --- ' + '| ---: ' * 10 + '|']
    for point in points:
        work, time = point.work, known.seconds(point)
        cells = [point.workload, work.frames, work.batch, work.classes,
                 work.tune, f'{point.seconds:.2f}', f'{time:.2f}']
        fixed = point in known.first
        cells.append('calibrated' if fixed else _off(time, point.seconds))
        if point.peak_bytes and work.tune != 'none':
            peak = known.peak(work)
            cells += [f'{point.peak_bytes / _GIB:.1f}', f'{peak / _GIB:.1f}',
                      'calibrated' if fixed else _off(peak, point.peak_bytes)]
        else:
            cells += ['', '', '']
        lines.append('| ' + ' | '.join(map(str, cells)) + ' |')
    return '\n'.join(lines)


def _off(predicted: float, measured: float) -> str:
    return f'{100 * (predicted / measured - 1):+.0f}%'


def draw(points: list, known, path: str) -> None:
    """Time and memory against each setting that was measured at several
    values with the others equal; the lines are the model's."""
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    panels = [(name, what, groups) for what in ('seconds', 'GiB')
              for name in ('frames', 'batch', 'classes')
              if (groups := _lines(points, name, what))]
    if not panels:
        raise ValueError('--plot: no two measured points differ in frames, '
                         'batch or classes alone')
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4 * columns, 3.2 * rows), squeeze=False)
    for axis in axes.flat[len(panels):]:
        axis.set_axis_off()
    for (name, what, groups), axis in zip(panels, axes.flat):
        _draw_panel(axis, name, what, groups, known)
    figure.suptitle('Points: measured. Lines: the model.')
    figure.tight_layout()
    temporary = f'{path}.tmp'
    figure.savefig(temporary, format='png', dpi=90)
    plt.close(figure)
    os.replace(temporary, path)


def _lines(points: list, name: str, what: str) -> List[list]:
    """Points that differ in one setting only, two or more."""
    groups: dict = {}
    for point in points:
        if what == 'GiB' and (not point.peak_bytes
                              or point.work.tune == 'none'):
            continue  # the model's memory is that of training
        same = {name: 1}
        if name == 'classes':  # more of them have other names
            same['tokens'] = 1
        key = point.workload, replace(point.work, **same)
        groups.setdefault(key, []).append(point)
    found = [sorted(group, key=lambda p: getattr(p.work, name))
             for group in groups.values()]
    return [group for group in found
            if len({getattr(p.work, name) for p in group}) > 1]


def _draw_panel(axis, name: str, what: str, groups: List[list],
                known) -> None:
    ticks = set()
    for i, group in enumerate(groups):
        x = [getattr(point.work, name) for point in group]
        ticks.update(x)
        if what == 'seconds':
            measured = [point.seconds for point in group]
            predicted = [known.seconds(point) for point in group]
        else:
            measured = [point.peak_bytes / _GIB for point in group]
            predicted = [known.peak(point.work) / _GIB for point in group]
        first = group[0]
        axis.plot(x, measured, 'o', color=f'C{i}',
                  label=f'{first.workload}, {first.work.tune}')
        axis.plot(x, predicted, '-', color=f'C{i}')
    axis.set(xlabel=name, ylabel=what, xscale='log')
    axis.set_xticks(sorted(ticks), [f'{tick:,}' for tick in sorted(ticks)])
    axis.minorticks_off()
    axis.set_ylim(0)
    axis.legend(fontsize=7)


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Print the tables, draw the picture.

    Raises:
        ValueError: Bad settings, or a bad file of measured points.
    """
    args = parse_args(argv)
    if args.tflops <= 0 or args.bandwidth <= 0:
        raise ValueError('--tflops and --bandwidth must be above 0')
    if args.plot and not args.measured:
        raise ValueError('--plot draws measured points: give --measured')
    if args.plot and not osp.isdir(osp.dirname(osp.abspath(args.plot))):
        raise ValueError(f'--plot {args.plot}: no such folder')
    work = work_of(args)
    machine = Machine(args.tflops * 1e12, args.bandwidth * 1e9)
    if args.measured:
        from ..scale.measured import calibrate, read_points
        points = read_points(args.measured)
        known = calibrate(points)
        print(measured_table(points, known) + '\n')
        if args.plot:
            draw(points, known, args.plot)
            print(f'Picture: {args.plot}\n')
    for name in SWEEPS:
        print(sweep_table(work, machine, name) + '\n')
