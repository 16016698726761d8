"""``vifi-clip search``: find videos of an index by words or by example."""
import argparse
from typing import Optional, Sequence

from ..cli.options import (HelpFormatter, add_model_arguments, model_options,
                           positive_int)
from .options import INDEX, SearchOptions

_EXAMPLES = """examples:
  vifi-clip search "a dog catching a frisbee"
  vifi-clip search "a goal" "a red card" --index my_index --topk 5 \\
      --sheet found.jpg --json found.json
  vifi-clip search --videos like_this.mp4 --index my_index

The model is that of the index. vifi-clip index makes one."""


def parse_args(argv: Optional[Sequence[str]] = None) -> SearchOptions:
    """Read the command line of searching."""
    parser = argparse.ArgumentParser(
        description='Search an index of videos', epilog=_EXAMPLES,
        formatter_class=HelpFormatter)
    parser.add_argument('queries', nargs='*', metavar='QUERY',
                        help='what to look for, in words')
    parser.add_argument('--index', default=INDEX, metavar='FOLDER',
                        help=f'made by vifi-clip index (default: {INDEX})')
    parser.add_argument('--topk', type=positive_int, default=10, metavar='N',
                        help='how many to show (default: 10)')
    parser.add_argument('--videos', nargs='+', metavar='FILE', default=[],
                        help='search for what looks like these instead')
    parser.add_argument('--sheet', metavar='FILE', help='contact sheet with '
                        'frames of what was found (.jpg, .png)')
    parser.add_argument('--json', metavar='FILE',
                        help='the results, with full paths')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace --sheet and --json if they exist')
    parser.add_argument(
        '--template', default='{}', help='a sentence with {} where the query '
        "goes, such as 'a photo of {}'; 'model': the one that a fine-tuned "
        'model learnt, for queries like its labels (default: the query as it '
        'is)')
    parser.add_argument(
        '--exact', action='store_true', help='compare with every embedding '
        'even if the index has an approximate one (index --ann)')
    add_model_arguments(parser, default='the model of the index; say where '
                        'it is if it was moved')
    args = parser.parse_args(argv)
    if bool(args.videos) == bool(args.queries):
        parser.error('give words to look for, or --videos')
    if not all(map(str.strip, args.queries)):
        parser.error('a query is empty; say in words what to look for')
    if args.template != 'model' and args.template.count('{}') != 1:
        parser.error(f'--template {args.template!r} must have {{}} once, '
                     "where the query goes, or be 'model'")
    return SearchOptions(
        args.queries, args.videos, args.index, model_options(args), args.topk,
        args.template, args.exact, args.sheet, args.json, args.overwrite)


def run(options: SearchOptions) -> None:
    """Print what was found for each query."""
    from .querying import search
    search(options)
