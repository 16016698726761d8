"""What the command line of ``vifi-clip analyze`` says."""
from dataclasses import dataclass

from ..cli.parsing import argument, number, option


@dataclass(frozen=True, kw_only=True)
class AnalyzeOptions:
    """Predictions to look at, and a folder for what is found."""

    predictions: str = argument(
        help='file that `vifi-clip test --predictions` has written')
    out: str = option('-o', required=True, help='folder to write')
    worst: int = option(type=number(int, 0, 200), default=24,
                        help='errors to show with a frame of the video '
                        '(default: 24)')
    overwrite: bool = option(action='store_true',
                             help='replace files that exist')
