"""``vifi-clip mini-world``."""
import argparse
from dataclasses import dataclass
from typing import Optional, Sequence

from ..cli.options import natural_int, number, positive_int
from .world import WorldParams

_EXAMPLES = """\
examples:
  # what configs/vifi_mini.py reads; a second start finds it and returns
  vifi-clip mini-world --out data/mini
  # a small one, for tests
  vifi-clip mini-world --out /tmp/mini --train-per-class 2 \\
      --test-per-class 1 --num-stills 20
"""


@dataclass(frozen=True)
class Options:
    """The options of the command; see ``build.build``."""

    out: str
    params: WorldParams
    workers: Optional[int]
    force: bool


def parse_args(argv: Optional[Sequence[str]] = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Render a small video data set: a training set and a '
        'target set of 24\nclasses each, 8 zero-shot classes and captioned '
        'still frames, with splits for\nevery protocol.',
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--out', required=True, help='folder to make')
    add('--seed', type=natural_int, default=0)
    add('--workers', type=positive_int, help='processes to render with; they '
        'do not change the result (default: one for each CPU)')
    add('--train-per-class', type=positive_int, default=32,
        help='training clips of each class of the training set (default: '
        '%(default)s)')
    add('--target-train-per-class', type=natural_int,
        help='training clips of each class of the target set; K-shot lists '
        'need K of them, 0 leaves the target set out (default: 24, or '
        '--train-per-class if that is less)')
    add('--test-per-class', type=positive_int, default=42,
        help='validation clips of each class; 42 x 24 classes can tell a '
        'difference of 3 points (default: %(default)s)')
    add('--num-stills', type=positive_int, default=3000,
        help='captioned still frames (default: %(default)s)')
    add('--size', type=number(int, 32, 1024), default=64,
        help='side of the frames in pixels (default: %(default)s)')
    add('--force', action='store_true',
        help='replace a data set made with other options')
    args = vars(parser.parse_args(argv))
    if args['size'] % 2:
        parser.error('--size must be even (H.264)')
    rest = {name: args.pop(name) for name in ('out', 'workers', 'force')}
    return Options(params=WorldParams(**args), **rest)


def run(options: Options) -> None:
    """Make the data set."""
    from .build import build
    build(options.out, options.params, options.workers, options.force)
