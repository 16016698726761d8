"""``vifi-clip embed``: video embeddings of a list, as a file."""
import argparse
from dataclasses import dataclass
from typing import Optional, Sequence

from ..cli.options import (HelpFormatter, ModelOptions, add_model_arguments,
                           model_options, positive_int)

SUFFIXES = ('.npz', '.parquet')
_EXAMPLES = """examples:
  vifi-clip embed val.txt --root videos --classes classes.txt --out val.npz
  vifi-clip embed clips/ more/*.mp4 --config vifi_k400 \\
      --checkpoint vifi.pth --num-views 4 --out clips.parquet
  torchrun --nproc_per_node 4 -m projects.vifi_clip_tools embed val.txt \\
      --root videos --out val.npz

Stop it whenever you like: the same command goes on where it was. Exit code:
0 if all videos are embedded, 1 if some could not be read (they are named in
the file; --allow-bad makes that 0), 2 if there is no file."""


@dataclass(frozen=True)
class ListOptions:
    """Videos to embed, and how."""
    videos: Sequence[str]  # one list (.txt); or folders, patterns, files
    root: Optional[str]  # where the names of a list start from
    classes: Optional[str]  # of a list: a file, or names with commas
    num_views: str  # '1', '4x3', 'config'
    batch_size: int


@dataclass(frozen=True)
class EmbedOptions:
    """A file of embeddings to write."""
    videos: ListOptions
    model: ModelOptions
    out: str  # .npz or .parquet
    overwrite: bool
    allow_bad: bool  # videos that cannot be read are no failure


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


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of :class:`ListOptions`."""
    parser.add_argument('--root', help='folder that the names of a list '
                        'start from (default: the working directory)')
    parser.add_argument('--classes', help='names of the classes that a '
                        "list's labels count: a file, or \"a, b, c\"")
    parser.add_argument('--num-views', default='1', help="temporal views, "
                        "with crops as 4x3, or 'config' (default: 1)")
    parser.add_argument('--batch-size', type=positive_int, default=1,
                        help='videos at once (default: 1)')


def list_options(args: argparse.Namespace,
                 videos: Sequence[str]) -> ListOptions:
    """Collect the options of :func:`add_list_arguments`."""
    return ListOptions(videos, args.root, args.classes, args.num_views,
                       args.batch_size)


def run(options: EmbedOptions) -> Optional[int]:
    """Write the file; 1 if a video could not be read."""
    from .job import embed
    return embed(options)
