"""``vifi-clip cache-frames``: embed every frame once, for frozen towers."""
import argparse
from typing import Optional, Sequence

from ..cli.options import HelpFormatter, add_common_arguments, positive_int
from .options import FramesOptions

PARTS = ('train', 'val')


def parse_args(argv: Optional[Sequence[str]] = None) -> FramesOptions:
    """Read the command line of the cache of frame embeddings."""
    parser = argparse.ArgumentParser(
        description='Embed the frames of the training and validation videos '
        'once, by the validation pipeline. configs/vifi_cached.py then '
        'trains the text side on the embeddings, without videos, image tower '
        'or augmentation.',
        epilog='examples:\n'
        '  vifi-clip cache-frames vifi_k400 none --out data/frame_cache\n'
        '  TUNE=text CACHE=data/frame_cache vifi-clip train vifi_cached',
        formatter_class=HelpFormatter)
    parser.add_argument('config', help='config file, of the videos')
    parser.add_argument('checkpoint', help="checkpoint of the image tower, or "
                        "'none': what the config starts from")
    parser.add_argument('--out', required=True, help='folder of the cache; '
                        'what is in it already is kept')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS,
                        help='lists to embed (default: both)')
    parser.add_argument(
        '--dtype', choices=['float32', 'float16'], default='float32',
        help='of the files; float16 halves them, and rounds each number by '
        'up to 5e-4 of itself (default: float32)')
    parser.add_argument('--batch-size', type=positive_int, default=4,
                        help='videos at a time (default: 4)')
    parser.add_argument('--device', default='auto', help='cpu, cuda:0 ... '
                        '(default: a GPU if there is one)')
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    if args.amp or args.launcher != 'none':
        parser.error('--amp and --launcher: embeddings are made in float32 '
                     'by one process; leave them out')
    return FramesOptions(
        args.config, args.checkpoint, args.out, args.parts, args.dtype,
        args.batch_size, args.device, args.cfg_options, args.trust)


def run(options: FramesOptions) -> None:
    """Fill the cache, and say how to train on it."""
    from .frames import cache_frames
    cache_frames(options)
