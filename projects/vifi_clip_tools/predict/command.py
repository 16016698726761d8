"""``vifi-clip predict``: labels of videos of any kind."""
import argparse
import os
import sys
from typing import TYPE_CHECKING, List, Optional, Sequence

from ..cli.options import HelpFormatter
from ..cli.options import inference_settings
from ..cli.options import add_model_arguments, inferencer_from_args
from ..cli.outputs import check_target

if TYPE_CHECKING:
    from projects.vifi_clip.apis.inputs import VideoInput

SUFFIXES = ('.jsonl', '.csv')
_MOST = {'--max-download': 1e9, '--timeout': 86400.}  # a petabyte, a day
_EXAMPLES = """examples:
  vifi-clip predict my.mp4 --config small_world
  vifi-clip predict videos/ --labels "arm wrestling, playing cards"
  vifi-clip predict "clips/*.mp4" --checkpoint vifi.pth --labels labels.txt
      --num-views 4x3 --out results.csv
  vifi-clip predict long.mp4 --labels "a, b" --timeline long.png --window 3
  torchrun --nproc_per_node 2 -m projects.vifi_clip_tools.cli predict videos/
      --labels labels.txt --out results.jsonl

The same command goes on with an --out file that is not finished, and tries
again what could not be read. Exit code 1: some videos could not be read;
2: none could, or the command line is wrong."""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of prediction."""
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
    parser.add_argument('--topk', type=int, default=5,
                        help='labels to show of each video (default: 5)')
    parser.add_argument(
        '--threshold', type=float, metavar='P', help="a video whose best "
        "label has a lower probability is 'none of these'")
    parser.add_argument(
        '--num-views', default='1', metavar='N', help='temporal views, with '
        "crops as 4x3, or 'config' for its own (default: 1)")
    parser.add_argument('--batch-size', type=int, default=1, metavar='N',
                        help='videos at once (default: 1)')
    _add_outputs(parser)
    group = parser.add_argument_group('web addresses')
    group.add_argument('--max-download', type=float, metavar='MB',
                       help='refuse larger files (default: 2048)')
    group.add_argument('--timeout', type=float, metavar='S', help='seconds '
                       'to wait for an answer, or more of it (default: 30)')
    add_model_arguments(parser)
    return parser.parse_args(argv)


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
    group.add_argument('--window', type=float, default=2., metavar='S',
                       help='seconds of a window (default: 2)')
    group.add_argument('--stride', type=float, metavar='S', help='seconds '
                       'from a window to the next (default: half a window)')


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Print, or write, the labels of each video.

    Raises:
        FileNotFoundError: A video, list, config or checkpoint is absent.
        ValueError: A bad option, or an output that cannot be written or is
            of another model, label set or setting.
        UserError: Not a single video could be read.
        SystemExit: 1, if some could not.
    """
    args = parse_args(argv)
    views, labels = _check(args)
    videos = _videos(args)
    from .pictures import Pictures
    pictures = Pictures(args, videos)
    if not (args.out and os.path.exists(args.out)):  # else some may be ours
        pictures.check(videos, args.overwrite)

    from ..embeddings.command import choose_device
    from .run import run
    choose_device()
    inferencer = inferencer_from_args(args, labels=labels)
    if args.template:
        inferencer.set_labels(inferencer.class_names, args.template)
    try:
        bad = run(args, inferencer, videos, views, pictures)
    except KeyboardInterrupt:
        if args.out:
            print(f'\n{args.out}: the same command goes on from here',
                  file=sys.stderr)
        raise
    if bad:
        raise SystemExit(1)


def _check(args: argparse.Namespace) -> tuple:
    """What is wrong, before any work; the views and labels."""
    for option, value in (('--topk', args.topk),
                          ('--batch-size', args.batch_size)):
        if value < 1:
            raise ValueError(f'{option} must be at least 1, got {value}')
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise ValueError('--threshold is a probability from 0 to 1, got '
                         f'{args.threshold}')
    if args.stride is None:
        args.stride = args.window / 2
    for option, value in (('--window', args.window), ('--stride',
                                                      args.stride),
                          ('--max-download', args.max_download),
                          ('--timeout', args.timeout)):
        if value is not None and not 0 < value < float('inf'):
            raise ValueError(f'{option} must be above 0, got {value}')
        if value is not None and value > _MOST.get(option, value):
            raise ValueError(f'{option} can be {_MOST[option]:g} at most, '
                             f'got {value:g}')
    inference_settings(args)
    if int(os.environ.get('WORLD_SIZE', 1)) > 1 and not args.out:
        raise ValueError('several processes need --out')
    if args.out:
        _check_out(args)
    from projects.vifi_clip.apis.pipeline import parse_views
    from projects.vifi_clip.apis.inputs import read_labels
    labels = None if args.labels is None else read_labels(args.labels)
    return parse_views(args.num_views), labels


def _check_out(args: argparse.Namespace) -> None:
    from .predict_record import check_ours, meta_path
    if os.path.islink(args.out):  # the link stays
        args.out = os.path.realpath(args.out)
    check_target('--out', args.out, SUFFIXES)
    for option, source in (('--list', args.list), ('--labels', args.labels)):
        for path in (args.out, meta_path(args.out)):
            if (source and os.path.exists(source) and os.path.exists(path)
                    and os.path.samefile(source, path)):
                raise ValueError(f'--out {args.out} would write over {option} '
                                 f'{source}; choose another name')
    check_ours(args.out, args.overwrite)


def _videos(args: argparse.Namespace) -> List['VideoInput']:
    """The videos; cameras have been recorded."""
    from dataclasses import replace

    from .run import record_cameras
    from projects.vifi_clip.apis.inputs import VideoInput, expand_inputs
    alone = int(os.environ.get('WORLD_SIZE', 1)) == 1
    inputs: list = []
    for video in args.videos:
        if video == '-' and not alone:
            raise ValueError('several processes cannot share standard '
                             'input; give the names with --list')
        inputs += _names(sys.stdin) if video == '-' else [video]
    if args.list:
        with open(args.list, encoding='utf-8-sig',
                  errors='surrogateescape') as file:
            inputs += _names(file)
    if not inputs:
        raise ValueError('no videos were given; name files, folders or '
                         'patterns')
    given = dict(max_mb=args.max_download, timeout=args.timeout)
    given = {k: v for k, v in given.items() if v is not None}
    videos = [replace(video, **given) for video in expand_inputs(inputs)]
    assert all(isinstance(video, VideoInput) for video in videos)
    return record_cameras(videos, alone)


def _names(lines) -> list:
    """One video a line; one that is absent is reported with the others that
    cannot be read."""
    from projects.vifi_clip.apis.inputs import file_of
    from projects.vifi_clip.apis.inputs import VideoInput
    names = (line.rstrip('\r\n').lstrip('\ufeff') for line in lines)
    return [VideoInput(name, file_of(name) or name) for name in names
            if name.strip()]
