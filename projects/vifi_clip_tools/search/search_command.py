"""``vifi-clip search``: find videos of an index by words or by example."""
from __future__ import annotations

import argparse
import os.path as osp
import time
from typing import TYPE_CHECKING, List, Optional, Sequence

from ..cli.options import HelpFormatter
from .index_command import INDEX, add_own_model, tolerances, use_model_of
from ..cli.options import add_model_arguments, inferencer_from_args
from ..cli.outputs import check_target

if TYPE_CHECKING:
    from .rows import Hit
    from .store import VideoIndex

_EXAMPLES = """examples:
  vifi-clip search "a dog catching a frisbee"
  vifi-clip search "a goal" "a red card" --index my_index --topk 5 \\
      --sheet found.jpg --json found.json
  vifi-clip search --videos like_this.mp4 --index my_index
  vifi-clip search --measure 1000000

The model is that of the index. vifi-clip index makes one."""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of searching."""
    parser = argparse.ArgumentParser(
        description='Search an index of videos', epilog=_EXAMPLES,
        conflict_handler='resolve',
        formatter_class=HelpFormatter)
    parser.add_argument('queries', nargs='*', metavar='QUERY',
                        help='what to look for, in words')
    parser.add_argument('--index', default=INDEX, metavar='FOLDER',
                        help=f'made by vifi-clip index (default: {INDEX})')
    parser.add_argument('--topk', type=int, default=10, metavar='N',
                        help='how many to show (default: 10)')
    parser.add_argument('--videos', nargs='+', metavar='FILE',
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
    parser.add_argument(
        '--measure', type=int, metavar='N', help='no search: fill a temporary '
        'index with N made-up embeddings and time searches of it, exact and '
        'approximate')
    add_model_arguments(parser)
    add_own_model(parser, 'say where it is if it was moved')
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> List[List[Hit]]:
    """Print what was found for each query, and return it.

    Raises:
        FileNotFoundError: No such index, or its model was moved.
        ValueError: A bad option, an empty query or an empty index.
        UserError: Another model than the index's, or an unreadable video.
    """
    args = parse_args(argv)
    if args.measure is not None:
        _measure(args)
        return []
    index = _check(args)
    use_model_of(index.identity, args)
    from projects.vifi_clip.apis.identity import identity_of
    from .querying import search_texts, search_videos
    inferencer = inferencer_from_args(args)
    index.check(identity_of(inferencer, args.config,
                            num_views=index.identity.num_views,
                            inference=tolerances(args)))
    start = time.perf_counter()
    exact = True if args.exact else None
    if args.videos:
        from projects.vifi_clip.apis.inputs import expand_inputs
        queries = [video.name for video in expand_inputs(args.videos)]
        found = search_videos(index, inferencer, args.videos, args.topk,
                              exact)
    else:
        queries = args.queries
        found = search_texts(index, inferencer, queries, args.topk,
                             args.template, exact)
    seconds = time.perf_counter() - start
    _report(args, index, queries, found, seconds)
    return found


def _check(args: argparse.Namespace) -> VideoIndex:
    """What can be refused before a model is loaded."""
    from .store import VideoIndex
    from .querying import check_queries
    if args.topk < 1:
        raise ValueError(f'--topk {args.topk}: at least 1')
    if args.videos and args.queries:
        raise ValueError('give words or --videos, not both')
    if args.videos:
        from projects.vifi_clip.apis.inputs import expand_inputs
        expand_inputs(args.videos)
    else:
        check_queries(args.queries, args.template)
    index = VideoIndex(args.index)
    if not len(index):
        raise ValueError(f'the index {args.index} is empty; add videos with: '
                         f'vifi-clip index FOLDER --index {args.index}')
    if args.sheet:
        check_target('--sheet', args.sheet, ('.jpg', '.jpeg', '.png'),
                     args.overwrite)
    if args.json:
        check_target('--json', args.json, ('.json', ), args.overwrite)
    return index


def _report(args: argparse.Namespace, index: VideoIndex,
            queries: Sequence[str], found: List[List[Hit]],
            seconds: float) -> None:
    from .table import format_hits, shorten
    kind = None if args.exact else index.ann
    for query, hits in zip(queries, found):
        print(f'\n{shorten(query, 80)}\n{format_hits(hits)}')
    print(f'\n{len(index)} embeddings, '
          f'{f"approximate ({kind})" if kind else "exact"} search, '
          f'{seconds:.2f} s with the query\'s embedding')
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    if args.json:
        text = _as_json(index, queries, found)
        AtomicLocalBackend().put(text.encode(), args.json)
        print(f'results: {args.json}')
    if args.sheet:
        from .sheet import contact_sheet, encode, stack
        sheet = stack([contact_sheet(hits, osp.basename(query)
                                     if args.videos else query)
                       for query, hits in zip(queries, found)])
        AtomicLocalBackend().put(encode(sheet, args.sheet), args.sheet)
        print(f'contact sheet: {args.sheet}')


def _as_json(index: VideoIndex, queries: Sequence[str],
             found: List[List[Hit]]) -> str:
    import json
    record = dict(
        index=index.path,
        model=str(index.identity),
        queries=[
            dict(query=query,
                 hits=[dict(rank=rank, **hit._asdict())
                       for rank, hit in enumerate(hits, 1)])
            for query, hits in zip(queries, found)
        ])
    return json.dumps(record, indent=1, ensure_ascii=False) + '\n'


def _measure(args: argparse.Namespace) -> None:
    import os

    from projects.vifi_clip_tools.search.measure import measure
    if args.queries or args.videos or args.sheet:
        raise ValueError('--measure stands alone')
    load = os.getloadavg()[0]
    print(f'{os.cpu_count()} CPUs, load {load:.1f} before the start; '
          'embeddings are synthetic, in groups')
    found = measure(args.measure)
    if args.json:
        import json

        from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
        check_target('--json', args.json, ('.json', ), args.overwrite)
        AtomicLocalBackend().put(json.dumps(found, indent=1).encode(),
                                 args.json)
