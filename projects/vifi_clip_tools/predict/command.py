"""``vifi-clip predict``: labels of videos of any kind."""
import argparse
import os
from typing import Optional, Sequence

from ..cli.options import (HelpFormatter, add_model_arguments, model_options,
                           number, positive_int, probability, seconds)
from .options import Options

_EXAMPLES = """examples:
  vifi-clip predict my.mp4 --config small_world
  vifi-clip predict videos/ --labels "arm wrestling, playing cards"
  vifi-clip predict "clips/*.mp4" --checkpoint vifi.pth --labels labels.txt
      --num-views 4x3 --out results.csv
  vifi-clip predict long.mp4 --labels "a, b" --timeline long.png --window 3
  torchrun --nproc_per_node 2 -m projects.vifi_clip_tools predict videos/
      --labels labels.txt --out results.jsonl

The same command goes on with an --out file that is not finished, and tries
again what could not be read. Exit code 1: some videos could not be read;
2: none could, or the command line is wrong."""


def parse_args(argv: Optional[Sequence[str]] = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Recognise videos, with any labels.', epilog=_EXAMPLES,
        formatter_class=HelpFormatter)
    parser.add_argument(
        'videos', nargs='*', help='files, folders, quoted patterns, web '
        "addresses, cameras (camera:0, camera:0:10 for 10 seconds); '-' "
        'reads names from standard input, one a line')
    parser.add_argument('--list', metavar='FILE', help='a file of names or '
                        'web addresses, one a line')
    parser.add_argument(
        '--labels', help='names with commas between, or a file of them '
        "(.txt, .csv, .json, .yaml; default: the config's classes)")
    parser.add_argument(
        '--template', action='append', metavar='TEXT', help='with {} where '
        'the label goes; may be given several times (default: the '
        "config's, such as 'a photo of a {}.')")
    parser.add_argument('--topk', type=positive_int, default=5,
                        help='labels to show of each video (default: 5)')
    parser.add_argument(
        '--threshold', type=probability, metavar='P', help="a video whose "
        "best label has a lower probability is 'none of these'")
    parser.add_argument(
        '--num-views', default='1', metavar='N', help='temporal views, with '
        "crops as 4x3, or 'config' for its own (default: 1)")
    parser.add_argument('--batch-size', type=positive_int, default=1,
                        metavar='N', help='videos at once (default: 1)')
    _add_outputs(parser)
    group = parser.add_argument_group('web addresses')
    group.add_argument(
        '--max-download', type=number(float, 0, 1e9, open_low=True),
        metavar='MB', default=2048., help='refuse larger files (default: '
        '2048)')
    group.add_argument(
        '--timeout', type=number(float, 0, 86400, open_low=True),
        metavar='S', default=30., help='seconds to wait for an answer, or '
        'more of it (default: 30)')
    add_model_arguments(parser)
    args = parser.parse_args(argv)
    if int(os.environ.get('WORLD_SIZE', 1)) > 1:
        if not args.out:
            parser.error('several processes need --out')
        if '-' in args.videos:
            parser.error('several processes cannot share standard input; '
                         'give the names with --list')
    if not args.videos and not args.list:
        parser.error('no videos were given; name files, folders or patterns')
    return Options(
        args.videos, args.list, args.labels, args.template, args.topk,
        args.threshold, args.num_views, args.batch_size,
        # a link stays one
        os.path.realpath(args.out) if args.out and os.path.islink(args.out)
        else args.out,
        args.overwrite, args.save_video, args.timeline, args.window,
        args.window / 2 if args.stride is None else args.stride,
        dict(max_mb=args.max_download, timeout=args.timeout),
        model_options(args))


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('outputs')
    group.add_argument(
        '--out', metavar='FILE', help='.jsonl or .csv, a line for each video '
        'as soon as it is done, with FILE.meta.json for the settings')
    group.add_argument('--overwrite', action='store_true', help='start anew, '
                       'and replace what is there')
    group.add_argument(
        '--save-video', metavar='FOLDER', help='copies of the videos with '
        'their labels over them, as .mp4 (without sound)')
    group.add_argument(
        '--timeline', metavar='FILE|FOLDER', help='scores of windows that '
        'slide over the video: a .png or .json of one video, or a folder '
        'with both of each')
    group.add_argument('--window', type=seconds, default=2., metavar='S',
                       help='seconds of a window (default: 2)')
    group.add_argument('--stride', type=seconds, metavar='S', help='seconds '
                       'from a window to the next (default: half a window)')


def run(options: Options) -> int:
    """Print, or write, the labels of each video; 1 if some failed."""
    from .job import predict
    return predict(options)
