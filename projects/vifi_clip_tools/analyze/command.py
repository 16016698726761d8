"""``vifi-clip analyze``: where a model is wrong."""

from ..cli.parsing import reader
from .options import AnalyzeOptions

_EXAMPLES = """examples:
  vifi-clip test vifi_k400 CHECKPOINT --predictions k400.csv
  vifi-clip analyze k400.csv --out k400_errors
  vifi-clip analyze k400.csv --out k400_errors --worst 0    # no videos needed

The folder then has per_class.csv, confusion.csv, confusion.png, wrong.csv
(surest first) and worst.jpg, the middle frames of the surest errors."""


parse_args = reader(
    AnalyzeOptions, 'Show which classes and videos a model gets wrong',
    _EXAMPLES)


def run(options: AnalyzeOptions) -> None:
    """Write the folder, and print the classes that fare worst."""
    from .report import analyze
    analyze(options)
