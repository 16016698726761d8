"""``vifi-clip check-data``: a data set looked over before training on it."""

from ..cli.parsing import reader
from .options import Options

DESCRIPTION = """\
Check a data set before training on it: missing, unreadable, short and
duplicate videos, leakage between training and test and between base and
novel classes, labels and class coverage, counts against the published ones.
Writes report.md, report.json, tables of videos and classes, and cleaned lists
to a separate folder; your lists and videos are not changed."""
EPILOG = """\
examples:
  # all lists of a folder; their names say what they are for
  vifi-clip check-data data_splits/ucf101 --videos data/ucf101/videos
  # two lists of your own
  vifi-clip check-data --train a.txt --val b.txt --classes names.txt \\
      --videos clips --out work_dirs/check/mine
  # decode every frame, allow 5 minutes for a video
  vifi-clip check-data data_splits/k400 --decode full --timeout 300
  # sentences about classes (DESCRIPTIONS): missing, too long, alike
  vifi-clip check-data --descriptions ucf.json \\
      --classes data_splits/ucf101/classes.txt

A list folder is named and laid out as vifi-clip splits writes it:
train.txt, val.txt, train_split1.txt, base_val.txt, ... and class lists.
Without --videos, videos are read from data/NAME/videos.

exit code: 0 no problem (warnings do not count), 1 problems, 2 wrong usage"""


parse_args = reader(Options, DESCRIPTION, EPILOG)


def run(options: Options) -> int:
    """Check, write, and say what was found; 1 if there are problems."""
    if options.descriptions:
        from .descriptions import check_descriptions
        return check_descriptions(options.descriptions, options.classes)
    from .run import check
    return check(options)
