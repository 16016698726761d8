"""``vifi-clip pack``: videos that are read quickly."""
from ..cli.parsing import reader
from .options import PackOptions

parse_args = reader(
    PackOptions, 'Re-encode the videos of lists (short side 256, H.264 with '
    'a key frame every few frames), so that reading a few frames of each '
    'takes less time. The originals are not changed. PACKED=DIR trains and '
    'tests on the packed videos; the lists stay the same, and DIR also has '
    'lists of what was packed. Run the same command again to resume a '
    'stopped run.',
    'examples:\n'
    '  vifi-clip pack data_splits/k400/*.txt --root data/k400/videos --out '
    'data/k400/packed\n'
    '  PACKED=data/k400/packed vifi-clip train vifi_k400')


def run(options: PackOptions) -> int:
    """Pack, and say what came of it; 1 if some videos could not be."""
    from .job import pack
    return pack(options)
