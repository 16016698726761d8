"""``vifi-clip matrix``."""
from dataclasses import replace
from typing import Optional, Sequence

from ..cli.parsing import reader
from .options import MatrixOptions

_EPILOG = """
examples:
  vifi-clip matrix                              # list all cells
  vifi-clip matrix --table 2 --dataset hmdb51 --run --gpus 8
  vifi-clip matrix --table 3 --commands slurm --gpus 8 > jobs.sh
  vifi-clip matrix --mini                       # run everything
  vifi-clip matrix --mini --only xclip          # X-CLIP's rows
  vifi-clip report                              # print the tables
"""


def parse_args(argv: Optional[Sequence[str]] = None) -> MatrixOptions:
    """Read the command line.

    The small world is there to be run; the paper's cells take GPU days, and
    run with ``--run`` alone.
    """
    options = reader(
        MatrixOptions, 'List, run or print every cell of the paper\'s '
        'tables. Nothing runs without --run or --mini.', _EPILOG)(argv)
    mini = options.mini and not (options.dry_run or options.commands)
    return replace(options, run=options.run or mini)


def run(options: MatrixOptions) -> None:
    """List, print or run."""
    from .matrix import matrix
    matrix(options)
