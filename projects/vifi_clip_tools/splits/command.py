"""``vifi-clip splits``."""
from typing import Optional

from ..cli.parsing import reader
from .options import Options

_EXAMPLES = """\
examples:
  # from the official annotations into data_splits/ucf101/
  vifi-clip splits ucf101 --annotations ucfTrainTestlist
  # 32 shots as well, from seeds 1 to 5
  vifi-clip splits ssv2 --annotations ssv2 --shots 2 4 8 16 32 \\
      --seeds 1 2 3 4 5
  # videos all in one folder, as the paper's release has them
  vifi-clip splits hmdb51 --annotations splits --pattern '{name}'
  # your own data set: columns path,label and, if you like, split
  vifi-clip splits kitchen --csv kitchen.csv --out kitchen_lists
  # the paper's released lists
  vifi-clip splits hmdb51 --import ViFi-CLIP --out released/hmdb51
  # check that the lists are unchanged and all videos exist
  vifi-clip splits ucf101 --check --videos data/ucf101/videos
"""


parse_args = reader(
    Options, 'Write the annotation lists of every protocol: base to '
    'novel,\nK-shot, zero-shot, whole sets, retrieval.', _EXAMPLES,
    usage='%(prog)s DATASET [options]\n       (one of --annotations DIR, '
    '--csv FILE, --import DIR, --check)')


def run(options: Options) -> Optional[int]:
    """Make the lists, or check them."""
    from . import job
    return job.check(options) if options.check else job.make(options)
