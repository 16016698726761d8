"""``vifi-clip check-data``: a data set looked over before training on it."""
import argparse
from typing import Optional, Sequence

from ..cli.options import natural_int, number, positive_int
from .options import Options
from .published import PUBLISHED

DESCRIPTION = """\
Check a data set before training on it: missing, unreadable, short and
duplicate videos, leakage between training and test and between base and
novel classes, labels and class coverage, counts against the published ones.
Writes report.md, report.json, tables of videos and classes, and cleaned lists
to a folder of its own; lists and videos are only read."""
EPILOG = """\
examples:
  # all lists of a folder; their names say what they are for
  vifi-clip check-data data_splits/ucf101 --videos data/ucf101/videos
  # two lists of your own
  vifi-clip check-data --train a.txt --val b.txt --classes names.txt \\
      --videos clips --out work_dirs/check/mine
  # decode every frame, allow 5 minutes for a video
  vifi-clip check-data data_splits/k400 --decode full --timeout 300

A list folder is named and laid out as vifi-clip splits does it:
train.txt, val.txt, train_split1.txt, base_val.txt, ... and class lists.
Videos are looked for in data/NAME/videos if --videos is not given.

exit code: 0 no problem (warnings do not count), 1 problems, 2 wrong usage"""
_DAY = 86400


def parse_args(argv: Optional[Sequence[str]] = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('lists', nargs='*', metavar='LISTS', default=[],
        help='list folders or lists ("path label" text, or JSON with '
        'captions)')
    add('--train', nargs='+', default=[], metavar='LIST',
        help='training lists whose names do not say so')
    add('--val', nargs='+', default=[], metavar='LIST',
        help='test lists whose names do not say so')
    add('--videos', metavar='DIR', help='folder that paths start from '
        '(default: data/NAME/videos)')
    add('--classes', metavar='FILE', help='class list of the lists '
        '(default: the one beside each)')
    add('--out', metavar='DIR', help='folder for the report (default: '
        'work_dirs/check/NAME)')
    add('--dataset', choices=[*PUBLISHED, 'none'], metavar='NAME',
        help='compare counts with the published ones of this data set: '
        f'{", ".join(PUBLISHED)} or none (default: by the name of the '
        'folder)')
    add('--min-frames', type=natural_int, default=16, metavar='T',
        help='warn of videos with fewer frames (default: %(default)s)')
    add('--decode', choices=['quick', 'full'], default='quick',
        help='decode five frames of each video from first to last, or all '
        '(default: %(default)s)')
    add('--timeout', type=number(float, 0.001, _DAY), default=120,
        metavar='SECONDS',
        help='give up on a video after so long (default: %(default)s)')
    add('--workers', type=positive_int, metavar='N',
        help='processes (default: one for each CPU)')
    add('--force', action='store_true', help='replace an earlier report')
    options = Options(**vars(parser.parse_args(argv)))
    if not (options.lists or options.train or options.val):
        parser.error('no list given; name a list folder such as '
                     'data_splits/ucf101, or lists')
    return options


def run(options: Options) -> int:
    """Check, write, and say what was found; 1 if there are problems."""
    from .run import check
    return check(options)
