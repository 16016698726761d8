"""``vifi-clip index``: embeddings of folders of videos, to be searched."""
import argparse
from typing import Optional, Sequence

from ..cli.options import (CONFIG, HelpFormatter, add_model_arguments,
                           model_options, positive_int, seconds)
from .options import INDEX, IndexOptions

_EXAMPLES = """examples:
  vifi-clip index videos/
  vifi-clip index videos/ talks/*.mp4 --index my_index --window 10
  vifi-clip index videos/ --index my_index --prune
  vifi-clip search "a dog catching a frisbee" --index my_index

Run it again after videos were added: those that have not changed (path, size
and time of change) are skipped. Ctrl-C keeps what is done. One process writes
at a time; searching works meanwhile. Exit code: 0 if all videos are in the
index, 1 if some could not be read (the others are in it), 2 for a bad option,
130 after Ctrl-C."""


def parse_args(argv: Optional[Sequence[str]] = None) -> IndexOptions:
    """Read the command line of indexing."""
    parser = argparse.ArgumentParser(
        description='Make or update an index of videos for vifi-clip search',
        epilog=_EXAMPLES, formatter_class=HelpFormatter)
    parser.add_argument(
        'videos', nargs='*', help='folders, files and patterns; may be left '
        'out with --prune or --ann')
    parser.add_argument('--index', default=INDEX, metavar='FOLDER',
                        help=f'where the index is (default: {INDEX})')
    parser.add_argument(
        '--window', type=seconds, metavar='SECONDS', help='one embedding for '
        'each window of a video, so that a moment in a long one is found '
        '(default: one for the whole video)')
    parser.add_argument('--batch-size', type=positive_int, default=4,
                        help='videos at once (default: 4)')
    parser.add_argument(
        '--prune', action='store_true', help='forget videos that are no '
        'longer on disk: those of the given folders, or all (default: they '
        'are only reported)')
    parser.add_argument(
        '--ann', nargs='?', const='IVF_PQ', choices=['IVF_PQ', 'IVF_FLAT'],
        help='build an approximate index over the embeddings, for 50,000 and '
        'more, which searches then use; IVF_FLAT is built sooner than IVF_PQ '
        '(default), takes as much disk again and is slower to search')
    add_model_arguments(
        parser, default=f'the model of the index; {CONFIG} for a new index')
    parser.add_argument('--num-views', help='views of each video, whose '
                        "embeddings are averaged: 4, 4x3, 'config' "
                        "(default: the index's; 1 for a new one)")
    args = parser.parse_args(argv)
    if not (args.videos or args.prune or args.ann):
        parser.error('name the folders or files to index')
    return IndexOptions(
        args.videos, args.index, model_options(args), args.num_views,
        args.window, args.batch_size, args.prune, args.ann)


def run(options: IndexOptions) -> Optional[int]:
    """Bring the index up to date; 1 if a video could not be read."""
    from .indexing import index
    return index(options)
