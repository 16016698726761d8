"""``vifi-clip report``."""
import argparse
from typing import Optional, Sequence

from ..cli.options import HelpFormatter
from .options import ReportOptions


def parse_args(argv: Optional[Sequence[str]] = None) -> ReportOptions:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Print the paper\'s tables as far as their runs are '
        'finished, and save them as report.md, report.csv and report.png.',
        epilog='examples:\n  vifi-clip report --mini\n'
        '  vifi-clip report --table 1 3 --out tables',
        formatter_class=HelpFormatter)
    add = parser.add_argument
    add('--mini', action='store_true', help='the small world')
    add('--table', nargs='+', help='numbers of tables (default: all)')
    add('--work-dir', help='folder of the runs (default: work_dirs/matrix, '
        'work_dirs/matrix_mini)')
    add('--out', help='folder of the report (default: that of the runs)')
    return ReportOptions(**vars(parser.parse_args(argv)))


def run(options: ReportOptions) -> None:
    """Print and save the tables."""
    from .report import report
    report(options)
