"""``vifi-clip mini-world``, ``tools/make_mini_dataset.py``."""
import argparse
import sys
from typing import Optional, Sequence

_EXAMPLES = """\
examples:
  # what configs/vifi_mini.py reads; a second start finds it and returns
  vifi-clip mini-world --out data/mini
  # a small one, for tests
  vifi-clip mini-world --out /tmp/mini --train-per-class 2 \\
      --test-per-class 1 --num-stills 20
"""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of the small world."""
    parser = argparse.ArgumentParser(
        description='Render a small video data set: a training set and a '
        'target set of 24\nclasses each, 8 zero-shot classes and captioned '
        'still frames, with splits for\nevery protocol.',
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', required=True, help='folder to make')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--workers',
        type=int,
        help='processes to render with; they do not change the result '
        '(default: one for each CPU)')
    parser.add_argument(
        '--train-per-class',
        type=int,
        default=32,
        help='training clips of each class of the training set '
        '(default: %(default)s)')
    parser.add_argument(
        '--target-train-per-class',
        type=int,
        help='training clips of each class of the target set; K-shot lists '
        'need K of them, 0 leaves the target set out (default: 24, or '
        '--train-per-class if that is less)')
    parser.add_argument(
        '--test-per-class',
        type=int,
        default=42,
        help='validation clips of each class; 42 x 24 classes can tell a '
        'difference of 3 points (default: %(default)s)')
    parser.add_argument(
        '--num-stills',
        type=int,
        default=3000,
        help='captioned still frames (default: %(default)s)')
    parser.add_argument(
        '--size',
        type=int,
        default=64,
        help='side of the frames in pixels (default: %(default)s)')
    parser.add_argument(
        '--force',
        action='store_true',
        help='replace a data set made with other options')
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the data set.

    Returns:
        int: 0; 2 after an error in what the user gave, 130 after Ctrl-C.
    """
    args = vars(parse_args(argv))
    from .build import WorldParams, build
    from .folder import MiniWorldError
    run = {key: args.pop(key) for key in ('out', 'workers', 'force')}
    try:
        build(params=WorldParams(**args), **run)
    except (MiniWorldError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted; nothing was left behind', file=sys.stderr)
        return 130
    return 0
