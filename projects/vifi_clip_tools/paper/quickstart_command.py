"""``vifi-clip quickstart``; ``tools/quickstart.sh`` installs before."""
import argparse
import os.path as osp
from typing import Optional, Sequence

from ..cli.options import HelpFormatter
from .options import QuickstartOptions


def parse_args(argv: Optional[Sequence[str]] = None) -> QuickstartOptions:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Make the small world, train its CLIP, fine-tune it on '
        'videos and compare. What is finished is not done again.',
        epilog='examples:\n  vifi-clip quickstart\n'
        '  vifi-clip quickstart my.mp4 --seeds 0 1 2',
        formatter_class=HelpFormatter)
    parser.add_argument('videos', nargs='*',
                        help='videos of your own to recognise at the end')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0],
                        help='seeds to fine-tune with (default: 0)')
    parser.add_argument('--work-dir', default='work_dirs/quickstart')
    parser.add_argument('--data-root', default='data/mini')
    args = parser.parse_args(argv)
    missing = [video for video in args.videos if not osp.isfile(video)]
    if missing:
        parser.error(f'no such video: {", ".join(missing)}')
    return QuickstartOptions(**vars(args))


def run(options: QuickstartOptions) -> None:
    """Go through all steps."""
    from .quickstart import quickstart
    quickstart(options)
