"""``vifi-clip embed``: video embeddings of a list, as a file."""
import argparse
from typing import Optional, Sequence

from ..cli.options import HelpFormatter, add_model_arguments, model_options
from .options import EmbedOptions, add_list_arguments, list_options

_EXAMPLES = """examples:
  vifi-clip embed val.txt --root videos --classes classes.txt --out val.npz
  vifi-clip embed clips/ more/*.mp4 --config vifi_k400 \\
      --checkpoint vifi.pth --num-views 4 --out clips.parquet
  torchrun --nproc_per_node 4 -m projects.vifi_clip_tools embed val.txt \\
      --root videos --out val.npz

Stop it whenever you like: the same command goes on where it was. Exit code:
0 if all videos are embedded, 1 if some could not be read (they are named in
the file; --allow-bad makes that 0), 2 if there is no file."""


def parse_args(argv: Optional[Sequence[str]] = None) -> EmbedOptions:
    """Read the command line of embedding."""
    parser = argparse.ArgumentParser(
        description='Embed videos: one vector of length 1 for each',
        epilog=_EXAMPLES, formatter_class=HelpFormatter)
    parser.add_argument(
        'videos', nargs='+', help='a list (.txt) of "name label" lines, or '
        'folders, patterns and files')
    parser.add_argument('--out', '-o', required=True,
                        help='.npz or .parquet file')
    add_list_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument(
        '--overwrite', action='store_true', help='replace a file, or stopped '
        'work, of another model, setting or list')
    parser.add_argument(
        '--allow-bad', action='store_true', help='exit code 0 even if some '
        'videos could not be read')
    args = parser.parse_args(argv)
    return EmbedOptions(
        list_options(args, args.videos), model_options(args), args.out,
        args.overwrite, args.allow_bad)


def run(options: EmbedOptions) -> Optional[int]:
    """Write the file; 1 if a video could not be read."""
    from .job import embed
    return embed(options)
