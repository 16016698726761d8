"""``vifi-clip complexity``: operations, parameters, speed and memory."""
from __future__ import annotations

import argparse
import os
from typing import Optional, Sequence

from ..cli.environment import prepare
from ..cli.options import HelpFormatter

_SUFFIXES = dict(json=('.json', ), markdown=('.md', ))


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog='vifi-clip complexity',
        description='GFLOPs with attention counted, parameters, and with '
        '--measure views per\nsecond and peak memory of several configs side '
        'by side, as in Tables 6 and 9\nof the paper. No weights are loaded '
        'and no videos are read.',
        formatter_class=HelpFormatter,
        epilog='examples:\n'
        '  vifi-clip complexity vifi_k400\n'
        '  vifi-clip complexity vifi_k400 vifi_k400:TUNE=prompts '
        'vifi_k400:ARCH=RN50\n'
        '  vifi-clip complexity vifi_k400 small_world --measure '
        '--json out.json')
    parser.add_argument(
        'configs', nargs='+', metavar='CONFIG',
        help='name of a config or its file, then after a colon knobs with '
        'commas between: vifi_k400:TUNE=prompts,NUM_FRAMES=8. A name with '
        'dots is a setting, as in --cfg-options: '
        'vifi_k400:model.tune=image')
    parser.add_argument(
        '--convention', choices=['macs', 'flops'], default='macs',
        help='count a multiply-add once, as the paper and fvcore do, or '
        'twice (default: %(default)s)')
    parser.add_argument('--json', metavar='FILE', help='write the figures')
    parser.add_argument('--markdown', metavar='FILE', help='write the table')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace files that exist')
    group = parser.add_argument_group('measuring')
    group.add_argument(
        '--measure', action='store_true',
        help='time views and read peak memory, with random weights, each '
        'config in a process of its own')
    group.add_argument('--device', choices=['auto', 'cpu', 'cuda'],
                       default='auto')
    group.add_argument('--batch-size', type=int, default=1,
                       help='views at a time (default: %(default)s)')
    group.add_argument('--repeats', type=int, default=5,
                       help='timed calls (default: %(default)s)')
    group.add_argument(
        '--threads', type=int,
        help='CPU threads (default: the cores of this process)')
    group.add_argument('--amp', action='store_true',
                       help='bfloat16 autocast')
    args = parser.parse_args(argv)
    for name in ('batch_size', 'repeats', 'threads'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, '
                         f'got {value}')
    return args


def _check_outputs(args: argparse.Namespace) -> None:
    from ..cli.outputs import check_target
    for name, suffixes in _SUFFIXES.items():
        if getattr(args, name):
            check_target(f'--{name}', getattr(args, name), suffixes,
                         args.overwrite)


def _jobs(args: argparse.Namespace, specs: list) -> list:
    """What to measure; empty without --measure."""
    if not args.measure:
        return []
    from .measure import Job
    from projects.vifi_clip.apis.loading import find_device
    device = find_device(args.device)
    cores = len(os.sched_getaffinity(0)) if hasattr(
        os, 'sched_getaffinity') else os.cpu_count()
    return [
        Job(spec, 'cuda' if device.startswith('cuda') else 'cpu',
            args.batch_size, args.repeats, args.threads or cores,
            'bf16' if args.amp else 'fp32') for spec in specs
    ]


def _count(specs: list) -> list:
    """Figures of each spec, without the chatter of building models."""
    import logging
    import warnings

    from .count import complexity
    from .specs import load_spec
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return [complexity(load_spec(spec), spec.title)
                    for spec in specs]
    finally:
        logging.disable(before)


def _write(args: argparse.Namespace, figures: list, measured: list,
           machine: str) -> None:
    import json
    from dataclasses import asdict

    from .table import CONVENTIONS, PAPER, header, markdown
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    disk = AtomicLocalBackend()
    if args.markdown:
        text = markdown(figures, measured, args.convention, machine)
        disk.put(text.encode(), args.markdown)
        print(f'Written: {args.markdown}')
    if not args.json:
        return
    factor, _ = CONVENTIONS[args.convention]
    records = []
    for i, figure in enumerate(figures):
        record = asdict(figure)
        for part in 'asked', 'run':
            record[part] = {k: factor * v for k, v in record[part].items()}
        if measured:
            record['measured'] = measured[i]
        records.append(record)
    text = json.dumps(
        dict(convention=args.convention, operations=header(args.convention),
             machine=machine or None, configs=records, paper=PAPER), indent=1)
    disk.put(text.encode(), args.json)
    print(f'Written: {args.json}')


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Count, measure where asked to, and print and write the table."""
    args = parse_args(argv)
    _check_outputs(args)
    from .specs import parse_spec
    specs = [parse_spec(text) for text in args.configs]
    prepare()  # before torch, and for the processes that measure
    jobs = _jobs(args, specs)
    figures = _count(specs)
    measured, machine = [], ''
    if jobs:
        from .measure import machine as about
        from .measure import measure_all
        measured = measure_all(jobs)
        machine = about(jobs[0])  # with the load that there was
    from .table import terminal
    print(terminal(figures, measured, args.convention, machine))
    _write(args, figures, measured, machine)
    if any('error' in m for m in measured):
        raise SystemExit(1)  # some of the work failed; the notes say why
