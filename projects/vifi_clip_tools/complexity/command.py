"""``vifi-clip complexity``: operations, parameters, speed and memory."""
import argparse
from dataclasses import dataclass
from typing import List, Optional, Sequence

from ..cli.options import HelpFormatter, positive_int
from .measure import Conditions
from .specs import Spec, parse_spec


@dataclass(frozen=True)
class Options:
    """The arguments of :func:`table.compare`, which explains them."""

    specs: List[Spec]
    conditions: Optional[Conditions]
    convention: str
    json_file: Optional[str]
    markdown_file: Optional[str]
    overwrite: bool


def parse_args(argv: Optional[Sequence[str]] = None) -> Options:
    """Read the command line."""
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
        'configs', nargs='+', metavar='CONFIG', type=parse_spec,
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
    group.add_argument('--batch-size', type=positive_int, default=1,
                       help='views at a time (default: %(default)s)')
    group.add_argument('--repeats', type=positive_int, default=5,
                       help='timed calls (default: %(default)s)')
    group.add_argument(
        '--threads', type=positive_int,
        help='CPU threads (default: the cores of this process)')
    group.add_argument('--amp', action='store_true',
                       help='bfloat16 autocast')
    args = parser.parse_args(argv)
    conditions = Conditions(
        args.device, args.batch_size, args.repeats, args.threads,
        'bf16' if args.amp else 'fp32') if args.measure else None
    return Options(args.configs, conditions, args.convention, args.json,
                   args.markdown, args.overwrite)


def run(options: Options) -> int:
    """Count, measure where asked to, and print and write the table."""
    from .table import compare
    return compare(**vars(options))
