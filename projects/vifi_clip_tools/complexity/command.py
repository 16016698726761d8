"""``vifi-clip complexity``: operations, parameters, speed and memory."""
from dataclasses import dataclass, replace
from typing import List, Optional

from ..cli.options import trust
from ..cli.outputs import PRINT
from ..cli.parsing import (Group, argument, number, option, positive_int,
                           reader)
from .measure import Conditions
from .specs import Spec, parse_spec

_MEASURING = Group('measuring')


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line of ``vifi-clip complexity``."""

    specs: List[Spec] = argument(
        nargs='+', metavar='CONFIG', type=parse_spec,
        help='name or file of a config, then after a colon its knobs, '
        'separated by commas: vifi_k400:TUNE=prompts,NUM_FRAMES=8. A name '
        'with dots is a setting, as in --cfg-options: '
        'vifi_k400:model.tune=image')
    convention: str = option(
        choices=['macs', 'flops'], default='macs', help='count a multiply-add '
        'once, as the paper and fvcore do, or twice (default: %(default)s)')
    json: Optional[str] = option(
        nargs='?', const=PRINT, metavar='FILE', help='write the figures to '
        'this file; without FILE, print them')
    markdown: Optional[str] = option(metavar='FILE', help='write the table to '
                                     'this file')
    overwrite: bool = option(action='store_true',
                             help='replace files that exist')
    trust: bool = trust()
    measure: bool = option(
        action='store_true', group=_MEASURING, help='time views and read peak '
        'memory, with random weights, each config in its own process')
    device: str = option(choices=['auto', 'cpu', 'cuda'], default='auto',
                         group=_MEASURING)
    batch_size: int = option(type=positive_int, default=1, group=_MEASURING,
                             help='views at a time (default: %(default)s)')
    repeats: int = option(type=positive_int, default=5, group=_MEASURING,
                          help='timed calls (default: %(default)s)')
    threads: Optional[int] = option(
        type=number(int, 1, 4096), group=_MEASURING,
        help='CPU threads (default: the cores of this process)')
    amp: bool = option(action='store_true', group=_MEASURING,
                       help='use bfloat16 autocast')


parse_args = reader(
    Options, 'Compare configs side by side, as in Tables 6 and 9 of the '
    'paper: GFLOPs with\nattention counted, parameters, and with --measure '
    'views per second and peak\nmemory. No weights are loaded and no videos '
    'are read.',
    'examples:\n'
    '  vifi-clip complexity vifi_k400\n'
    '  vifi-clip complexity vifi_k400 vifi_k400:TUNE=prompts '
    'vifi_k400:ARCH=RN50\n'
    '  vifi-clip complexity vifi_k400 small_world --measure '
    '--json out.json')


def run(options: Options) -> int:
    """Count, measure where asked to, and print and write the table."""
    from .table import compare
    conditions = Conditions(
        options.device, options.batch_size, options.repeats, options.threads,
        'bf16' if options.amp else 'fp32') if options.measure else None
    specs = [replace(spec, trust=options.trust) for spec in options.specs]
    return compare(specs, conditions, options.convention,
                   options.json, options.markdown, options.overwrite)
