"""``vifi-clip index``: embeddings of folders of videos, to be searched."""
from __future__ import annotations

import argparse
import os.path as osp
import sys
from typing import TYPE_CHECKING, Optional, Sequence

from ..cli.options import HelpFormatter
from ..cli.options import CONFIG, add_model_arguments, inferencer_from_args

if TYPE_CHECKING:
    from projects.vifi_clip.apis.identity import Identity
    from .indexing import Outcome

INDEX = 'vifi_index'
# Options that change embeddings, and what they are if not given.
_USUAL = dict(precision='fp32', token_merging=0, text_bf16=False)
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


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of indexing."""
    parser = argparse.ArgumentParser(
        description='Make or update an index of videos for vifi-clip search',
        epilog=_EXAMPLES, conflict_handler='resolve',
        formatter_class=HelpFormatter)
    parser.add_argument(
        'videos', nargs='*', help='folders, files and patterns; may be left '
        'out with --prune or --ann')
    parser.add_argument('--index', default=INDEX, metavar='FOLDER',
                        help=f'where the index is (default: {INDEX})')
    parser.add_argument(
        '--window', type=float, metavar='SECONDS', help='one embedding for '
        'each window of a video, so that a moment in a long one is found '
        '(default: one for the whole video)')
    parser.add_argument('--batch-size', type=int, default=4,
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
    add_model_arguments(parser)
    add_own_model(parser, f'{CONFIG} for a new index')
    parser.add_argument('--num-views', help='views of each video, whose '
                        "embeddings are averaged: 4, 4x3, 'config' "
                        "(default: the index's; 1 for a new one)")
    return parser.parse_args(argv)


def add_own_model(parser: argparse.ArgumentParser, otherwise: str) -> None:
    """Let the index say which model it is of, unless --config does."""
    parser.add_argument(
        '--config', help='a config file, or the name of one that comes along '
        f'(default: the model of the index; {otherwise})')


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Bring the index up to date and say what was done.

    Raises:
        FileNotFoundError: A config or checkpoint is absent.
        ValueError: A bad option, or --index is something else.
        UserError: No such video, or another model than the index's.
        SystemExit: 1, if a video could not be read; 130 after Ctrl-C.
    """
    args = parse_args(argv)
    _check(args)
    try:
        outcome = _update(args) if args.videos else _maintain(args)
    except KeyboardInterrupt:
        print('\nstopped; what was done is kept, and the same command goes '
              'on', file=sys.stderr)
        raise SystemExit(130) from None
    if outcome.failed:
        raise SystemExit(1)


def _check(args: argparse.Namespace) -> None:
    """What can be refused before a model is loaded."""
    from projects.vifi_clip.errors import need
    from . import folder
    from .indexing import find_files
    from projects.vifi_clip.apis.pipeline import parse_views
    need('lancedb', 'search')
    if args.batch_size < 1:
        raise ValueError(f'--batch-size {args.batch_size}: at least 1')
    if args.window is not None and not 0 < args.window < float('inf'):
        raise ValueError(f'--window {args.window:g}: seconds above 0')
    if args.num_views:
        parse_views(args.num_views)
    if args.videos:
        find_files(args.videos)
    elif not (args.prune or args.ann):
        raise ValueError('name the folders or files to index')
    if args.videos:  # last, since it makes the folder
        folder.check_place(args.index)


def _update(args: argparse.Namespace) -> Outcome:
    from .store import VideoIndex
    from projects.vifi_clip.apis.identity import identity_of
    from .indexing import index_videos
    index = None
    try:
        index = VideoIndex(args.index)
    except FileNotFoundError:
        args.config = args.config or CONFIG
    else:
        use_model_of(index.identity, args)
    num_views = args.num_views or (index.identity.num_views
                                   if index is not None else '1')
    inferencer = inferencer_from_args(args)
    identity = identity_of(inferencer, args.config, args.cfg_options,
                           num_views, tolerances(args))
    if index is None:
        index = VideoIndex.create(args.index, identity)
    index.check(identity)
    outcome = index_videos(index, inferencer, args.videos, args.window,
                           args.batch_size, args.prune, show_progress=True)
    _report(args, outcome)
    _approximate(args, index)
    return outcome


def _maintain(args: argparse.Namespace) -> Outcome:
    """--prune and --ann without videos need no model."""
    from .indexing import Outcome
    from .store import VideoIndex
    from .indexing import find_vanished
    index = VideoIndex(args.index)
    outcome = Outcome()
    if args.prune:
        known = index.videos()
        outcome.vanished = find_vanished(known)
        outcome.unchanged = len(known) - len(outcome.vanished)
        if outcome.vanished:
            index.remove(outcome.vanished)
            index.compact()
    _report(args, outcome)
    _approximate(args, index)
    return outcome


def _approximate(args: argparse.Namespace, index) -> None:
    from .nearest import MIN_ROWS
    if not args.ann:
        return
    if len(index) < MIN_ROWS:
        print(f'--ann: {len(index)} embeddings are searched exactly in '
              f'milliseconds; it is for\n{MIN_ROWS} and more, and was left '
              'out')
        return
    print(f'Building {args.ann} over {len(index)} embeddings ...', flush=True)
    index.build_ann(args.ann)
    index.compact()


def _report(args: argparse.Namespace, outcome: Outcome) -> None:
    from .table import shorten
    print(f'{args.index}: {outcome.added} added, {outcome.changed} changed, '
          f'{outcome.unchanged} unchanged, {len(outcome.failed)} failed')
    gone = len(outcome.vanished)
    if gone and args.prune:
        print(f'{gone} no longer on disk, forgotten')
    elif gone:
        print(f'{gone} no longer on disk, e.g. '
              f'{shorten(outcome.vanished[0], 50)}\n'
              '(--prune makes the index forget them)')
    for path, reason in outcome.failed:
        print(f'failed: {shorten(path, 72)}\n  {shorten(reason, 78)}',
              file=sys.stderr)


def tolerances(args: argparse.Namespace) -> dict:
    """Options that change embeddings and are not as usual."""
    return {
        name: getattr(args, name)
        for name, usual in _USUAL.items() if getattr(args, name) != usual
    }


def use_model_of(identity: Identity, args: argparse.Namespace) -> None:
    """Fill options of the model that were not given.

    Raises:
        FileNotFoundError: What the index was made with is gone.
    """
    if not tolerances(args):
        vars(args).update(identity.inference)
    if args.config:
        return  # another place, perhaps another model: check() tells
    from projects.vifi_clip.resources import find_config
    from projects.vifi_clip.apis.inputs import is_url
    args.config = identity.config
    args.cfg_options = args.cfg_options or identity.cfg_options
    try:
        find_config(args.config)
    except FileNotFoundError:
        raise FileNotFoundError(
            f'the index was made with the config {identity.config}, which is '
            'not there; say with --config where it is') from None
    if args.checkpoint is None:
        args.checkpoint = path = identity.checkpoint
        if path and not is_url(path) and path != 'none' and (
                not osp.isfile(path)):
            raise FileNotFoundError(
                f'the index was made with the checkpoint {path}, which is '
                'not there; say with --checkpoint where it is')
