"""``vifi-clip splits``, ``tools/make_splits.py``."""
import argparse
import difflib
import os
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from projects.vifi_clip.errors import UserError
from .catalogue import DATASETS
from .checking import check_lists, unknown_lists
from .class_index import PUBLISHED
from .job import run
from .protocols import TINY_SHOTS

_EXAMPLES = """\
examples:
  # from the official annotations into data_splits/ucf101/
  vifi-clip splits ucf101 --annotations ucfTrainTestlist
  # 32 shots as well, from seeds 1 to 5
  vifi-clip splits ssv2 --annotations ssv2 --shots 2 4 8 16 32 \\
      --seeds 1 2 3 4 5
  # videos all in one folder, as the paper's release has them
  vifi-clip splits hmdb51 --annotations splits --pattern '{name}'
  # your own data set: columns path,label and, if you like, split
  vifi-clip splits kitchen --csv kitchen.csv --out kitchen_lists
  # the paper's released lists
  vifi-clip splits hmdb51 --import ViFi-CLIP --out released/hmdb51
  # are the lists as they were made, and all videos there?
  vifi-clip splits ucf101 --check --videos data/ucf101/videos
"""


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number '
                                         'from 1')
    return int(text)


def _whole(text: str) -> int:
    return 0 if text == '0' else _count(text)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the tool's options."""
    parser = argparse.ArgumentParser(
        usage='%(prog)s DATASET [options]\n       (one of --annotations DIR, '
        '--csv FILE, --import DIR, --check)',
        description='Write the annotation lists of every protocol: base to '
        'novel,\nK-shot, zero-shot, whole sets, retrieval.',
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dataset', help=f'{", ".join(DATASETS)}, or with '
                        '--csv a name for your own')
    what = parser.add_argument_group('what to read (one of them)')
    one = what.add_mutually_exclusive_group(required=True)
    one.add_argument('--annotations', type=Path, metavar='DIR',
                     help='folder of the official annotation files')
    one.add_argument('--csv', type=Path, metavar='FILE',
                     help='CSV file of your own data set')
    one.add_argument('--import', type=Path, metavar='DIR', dest='import_dir',
                     help="the paper's release: the folder of "
                     'datasets_splits/ and labels/')
    one.add_argument('--check', action='store_true',
                     help='write nothing; compare lists with the manifest')
    parser.add_argument('--out', type=Path, metavar='DIR',
                        help='folder of the lists (default: data_splits/'
                        'DATASET in the checkout; needed with --csv)')
    parser.add_argument('--force', action='store_true',
                        help='overwrite lists that differ, and delete those '
                        'that earlier settings or annotations made')
    parser.add_argument('--videos', type=Path, metavar='DIR',
                        help='with --check: folder of the videos, to look '
                        'for each of them')
    _add_settings(parser.add_argument_group('what to make'))
    return parser


def _add_settings(group) -> None:
    group.add_argument('--shots', type=_count, nargs='*', metavar='K',
                       default=[2, 4, 8, 16],
                       help='few-shot lists (default: 2 4 8 16); none for no '
                       'such list')
    group.add_argument('--base-shots', type=_count, nargs='*', metavar='K',
                       default=[16], help='base lists (default: 16)')
    group.add_argument('--seeds', type=_count, nargs='+', metavar='S',
                       default=[1, 2, 3], help='draws (default: 1 2 3)')
    group.add_argument('--partition', choices=['published', 'frequency'],
                       help='base and novel: the published halves (default, '
                       'where there are), or the more frequent half is base '
                       '(default for --csv)')
    group.add_argument('--halves', type=Path, nargs=2,
                       metavar=('BASE', 'NOVEL'),
                       help='base and novel: class lists of your own')
    group.add_argument('--pattern',
                       help='path of a video below the folder of videos, from '
                       '{name} {stem} {split} {label} {label_} (spaces as _); '
                       'default: k400, k600 {split}/{name}, hmdb51, ucf101 '
                       '{label_}/{name}, else {name}; --import: as released')
    group.add_argument('--tiny', type=_whole, metavar='N', default=TINY_SHOTS,
                       help='k400: videos of each class in train_tiny.txt, 0 '
                       'for no such list (default: %(default)s)')
    group.add_argument('--zero-shot-from', choices=['val', 'test'],
                       default='val', help='k600: official part of the '
                       'zero-shot lists (default: val)')
    group.add_argument('--classes', type=Path, metavar='FILE',
                       help='--csv: class list that fixes the label order '
                       '(default: the names sorted)')
    group.add_argument('--val-ratio', type=float, default=0.2,
                       help='--csv without a column split: share of each '
                       'class that goes to val (default: %(default)s)')
    group.add_argument('--fix-labels', action='store_true',
                       help='--import: where label and file name disagree, '
                       'go by the name')


def _settle(args: argparse.Namespace) -> None:
    """Check options against each other, and fill those that depend."""
    own = args.dataset not in DATASETS
    # A checked folder may be of the user's own data set.
    if own and not args.csv and not (args.check and args.out):
        near = difflib.get_close_matches(args.dataset, DATASETS, n=1)
        hint = f'did you mean {near[0]!r}? ' if near else ''
        raise UserError(f'data set {args.dataset!r} is not one of '
                        f'{", ".join(DATASETS)}; {hint}For your own data set '
                        'give --csv, or --check with --out')
    if args.csv and not own:
        raise UserError(f'--csv is for your own data set, and '
                        f'{args.dataset!r} is a published one; choose another '
                        'name, or give --annotations')
    if args.csv and not args.out:
        raise UserError('--csv needs --out, the folder to write the lists to')
    if args.csv and args.partition == 'published':
        raise UserError('--partition published: your own data set has no '
                        'published halves; use frequency, or --halves')
    _check_scope(args)
    if args.pattern is not None and not args.pattern.strip():
        raise UserError(f'--pattern {args.pattern!r}: an empty pattern; leave '
                        'the option out for the usual layout')
    if args.out is None:
        args.out = PUBLISHED / args.dataset
    if args.partition is None:
        args.partition = 'frequency' if own else 'published'


def _check_scope(args: argparse.Namespace) -> None:
    """Refuse options that would have no effect."""
    recognition = args.annotations is not None and args.dataset != 'msrvtt'
    lists = bool(args.csv) or (recognition and args.dataset != 'k600')
    scope = {
        'videos': (args.check, '--check'),
        'fix_labels': (bool(args.import_dir), '--import'),
        'classes': (bool(args.csv), '--csv'),
        'val_ratio': (bool(args.csv), '--csv'),
        'tiny': (recognition and args.dataset == 'k400', 'k400'),
        'zero_shot_from': (recognition and args.dataset == 'k600', 'k600'),
        'pattern': (not args.csv and not args.check, 'official lists'),
        'seeds': (lists, 'K-shot lists'),
        'shots': (lists, 'K-shot lists'),
        'base_shots': (lists, 'base-to-novel lists'),
        'partition': (lists, 'base-to-novel lists'),
        'halves': (lists, 'base-to-novel lists'),
    }
    parser = make_parser()
    for name, (applies, what) in scope.items():
        if not applies and getattr(args, name) != parser.get_default(name):
            raise UserError(f'--{name.replace("_", "-")} has no effect here; '
                            f'it is for {what}')
    if args.halves and args.partition:
        raise UserError('--halves and --partition exclude each other')


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the tool.

    Returns:
        int: 0; 2 after an error in what the user gave or a failed check.
    """
    args = make_parser().parse_args(argv)
    try:
        _settle(args)
        if args.check:
            return _report(args, check_lists(args.out, args.dataset,
                                             args.videos))
        for line in run(args):
            print(line, file=sys.stderr if line[:8] == 'warning:' else None)
    except (ValueError, OSError, UserError) as error:
        if os.environ.get('VIFI_TRACEBACK', '0') != '0':
            raise
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted; nothing was left behind', file=sys.stderr)
        return 130
    return 0


def _report(args: argparse.Namespace, faults: List[str]) -> int:
    for fault in faults:
        print(f'error: {fault}', file=sys.stderr)
    for name in unknown_lists(args.out):
        print(f'note: {args.out / name} is not in the manifest; it was not '
              'checked')
    if not faults:
        print(f'{args.out}: all lists are as the manifest says'
              + (', and all videos are there' if args.videos else ''))
    return 2 if faults else 0
