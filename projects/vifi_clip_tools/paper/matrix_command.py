"""``vifi-clip matrix``."""
import argparse
from typing import Optional, Sequence

from ..cli.options import HelpFormatter, positive_int
from .options import MatrixOptions

_EPILOG = """
examples:
  vifi-clip matrix                              # what there is
  vifi-clip matrix --table 2 --dataset hmdb51 --run --gpus 8
  vifi-clip matrix --table 3 --commands slurm --gpus 8 > jobs.sh
  vifi-clip matrix --mini                       # run it all
  vifi-clip report                              # the tables
"""


def parse_args(argv: Optional[Sequence[str]] = None) -> MatrixOptions:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='List, run or print every cell of the paper\'s tables. '
        'Without --run, or --mini, nothing is run.',
        formatter_class=HelpFormatter, epilog=_EPILOG)
    add = parser.add_argument
    add('--mini', action='store_true', help='run the small world instead of '
        'the paper\'s data sets')
    add('--table', nargs='+', help='numbers of the paper\'s tables (default: '
        'all)')
    add('--dataset', nargs='+', help='data sets, or protocols of the small '
        'world (default: all)')
    add('--only', help='runs whose name holds this text')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--run', action='store_true', help='run what is not '
                      'finished, here')
    what.add_argument('--dry-run', action='store_true', help='with --mini: '
                      'list the runs, run nothing')
    what.add_argument('--commands', choices=['shell', 'slurm'],
                      help='print commands for a cluster instead')
    add('--gpus', type=positive_int, default=1, help='GPUs for each run '
        '(default: 1); the paper\'s batches are for 8')
    add('--jobs', type=positive_int, help='runs at a time on this machine '
        '(default: 1; --mini: one for each core, 4 at most)')
    add('--work-dir', help='folder of the runs (default: work_dirs/matrix, '
        'work_dirs/matrix_mini, with the knobs that are turned for all runs)')
    add('--data-root', default='data/mini', help='the small world of --mini '
        '(default: data/mini)')
    args = parser.parse_args(argv)
    args.run |= args.mini and not (args.dry_run or args.commands)
    return MatrixOptions(**vars(args))


def run(options: MatrixOptions) -> None:
    """List, print or run."""
    from .matrix import matrix
    matrix(options)
