"""``vifi-clip report``."""

from ..cli.parsing import reader
from .options import ReportOptions


parse_args = reader(
    ReportOptions, 'Print the paper\'s tables from the finished runs, and '
    'save them as report.md, report.csv and report.png.',
    'examples:\n  vifi-clip report --mini\n'
    '  vifi-clip report --table 1 3 --out tables')


def run(options: ReportOptions) -> None:
    """Print and save the tables."""
    from .report import report
    report(options)
