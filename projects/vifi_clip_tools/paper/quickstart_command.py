"""``vifi-clip quickstart``; ``tools/quickstart.sh`` installs before."""

from ..cli.parsing import reader
from .options import QuickstartOptions


parse_args = reader(
    QuickstartOptions, 'Make the small world, train its CLIP, fine-tune it '
    'on videos and compare. Finished steps are not repeated.',
    'examples:\n  vifi-clip quickstart\n'
    '  vifi-clip quickstart my.mp4 --seeds 0 1 2')


def run(options: QuickstartOptions) -> None:
    """Go through all steps."""
    from .quickstart import quickstart
    quickstart(options)
