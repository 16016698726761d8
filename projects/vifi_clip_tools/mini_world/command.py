"""``vifi-clip mini-world``."""
from dataclasses import dataclass
from typing import Optional

from ..cli.outputs import check_folder
from ..cli.parsing import option, part, process_count, reader
from .world import WorldParams

_EXAMPLES = """\
examples:
  # the data of configs/vifi_mini.py; done at once if it exists already
  vifi-clip mini-world --out data/mini
  # a small one, for tests
  vifi-clip mini-world --out /tmp/mini --train-per-class 2 \\
      --test-per-class 1 --num-stills 20
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line of ``vifi-clip mini-world``; see ``build.build``."""

    out: str = option(required=True, help='folder to make')
    workers: Optional[int] = option(
        type=process_count, help='number of rendering processes; it does not '
        'change the result (default: one for each CPU)')
    params: WorldParams = part(WorldParams)
    force: bool = option(action='store_true',
                         help='replace a data set made with other options')


parse_args = reader(
    Options, 'Render a small video data set: a training set and a '
    'target set of 24\nclasses each, 8 zero-shot classes and captioned '
    'still frames, with splits for\nevery protocol.', _EXAMPLES)


def run(options: Options) -> None:
    """Make the data set."""
    from .build import build
    check_folder('--out', options.out)
    build(options.out, options.params, options.workers, options.force)
