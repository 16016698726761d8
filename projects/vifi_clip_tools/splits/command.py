"""``vifi-clip splits``."""
import argparse
from pathlib import Path
from string import Formatter
from typing import Optional, Sequence

from ..cli.options import number, positive_int
from .options import DATASETS, Options

_FIELDS = ('name', 'stem', 'split', 'label', 'label_')
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


def parse_args(argv: Optional[Sequence[str]] = None) -> Options:
    """Read the command line."""
    parser = make_parser()
    args = parser.parse_args(argv)
    own = args.dataset not in DATASETS
    for wrong, problem in (
            # A checked folder may be of the user's own data set.
            (own and not args.csv and not (args.check and args.out),
             f'data set {args.dataset!r} is not one of {", ".join(DATASETS)}; '
             'for your own give --csv, or --check with --out'),
            (args.csv and not own,
             f'--csv: {args.dataset!r} is a published data set; choose '
             'another name, or give --annotations'),
            (args.csv and not args.out,
             '--csv needs --out, the folder to write the lists to'),
            (args.csv and args.partition == 'published',
             '--partition published is not for --csv; use --halves'),
            (args.halves and args.partition,
             '--halves and --partition exclude each other'),
            (args.val_ratio == 1,
             '--val-ratio 1 leaves nothing to train on')):
        if wrong:
            parser.error(problem)
    _check_scope(parser, args)
    if args.partition is None:
        args.partition = 'frequency' if own else 'published'
    return Options(**vars(args))


def run(options: Options) -> Optional[int]:
    """Make the lists, or check them."""
    from . import job
    return job.check(options) if options.check else job.make(options)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command's options."""
    parser = argparse.ArgumentParser(
        usage='%(prog)s DATASET [options]\n       (one of --annotations DIR, '
        '--csv FILE, --import DIR, --check)',
        description='Write the annotation lists of every protocol: base to '
        'novel,\nK-shot, zero-shot, whole sets, retrieval.',
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('dataset', help=f'{", ".join(DATASETS)}, or with --csv a name for '
        'your own')
    group = parser.add_argument_group('what to read (one of them)'
                                      ).add_mutually_exclusive_group(
                                          required=True)
    group.add_argument('--annotations', type=Path, metavar='DIR',
                       help='folder of the official annotation files')
    group.add_argument('--csv', type=Path, metavar='FILE',
                       help='CSV file of your own data set')
    group.add_argument('--import', type=Path, metavar='DIR',
                       dest='import_dir', help="the paper's release: the "
                       'folder of datasets_splits/ and labels/')
    group.add_argument('--check', action='store_true',
                       help='write nothing; compare lists with the manifest')
    add('--out', type=Path, metavar='DIR', help='folder of the lists '
        '(default: data_splits/DATASET in the checkout; needed with --csv)')
    add('--force', action='store_true', help='overwrite lists that differ, '
        'and delete those that earlier settings or annotations made')
    add('--videos', type=Path, metavar='DIR', help='with --check: folder of '
        'the videos, to look for each of them')
    add = parser.add_argument_group('what to make').add_argument
    add('--shots', type=positive_int, nargs='*', metavar='K',
        default=[2, 4, 8, 16],
        help='few-shot lists (default: 2 4 8 16); none for no such list')
    add('--base-shots', type=positive_int, nargs='*', metavar='K',
        default=[16], help='base lists (default: 16)')
    add('--seeds', type=positive_int, nargs='+', metavar='S',
        default=[1, 2, 3], help='draws (default: 1 2 3)')
    add('--partition', choices=['published', 'frequency'],
        help='base and novel: the published halves (default, where there '
        'are), or the more frequent half is base (default for --csv)')
    add('--halves', type=Path, nargs=2, metavar=('BASE', 'NOVEL'),
        help='base and novel: class lists of your own')
    add('--pattern', type=_pattern,
        help='path of a video below the folder of videos, from {name} {stem} '
        '{split} {label} {label_} (spaces as _); default: k400, k600 '
        '{split}/{name}, hmdb51, ucf101 {label_}/{name}, else {name}; '
        '--import: as released')
    add('--tiny', type=number(int, 0), metavar='N', default=150,
        help='k400: videos of each class in train_tiny.txt, 0 for no such '
        'list (default: %(default)s)')
    add('--zero-shot-from', choices=['val', 'test'], default='val',
        help='k600: official part of the zero-shot lists (default: val)')
    add('--classes', type=Path, metavar='FILE', help='--csv: class list that '
        'fixes the label order (default: the names sorted)')
    add('--val-ratio', type=number(float, 0, 1, open_low=True), default=0.2,
        help='--csv without a column split: share of each class that goes to '
        'val (default: %(default)s)')
    add('--fix-labels', action='store_true', help='--import: where label and '
        'file name disagree, go by the name')
    return parser


def _pattern(text: str) -> str:
    """A pattern of videos' paths whose fields are known."""
    fields = {f'{{{name}}}' for name in _FIELDS}
    try:
        used = {f'{{{field}}}' if not (spec or conversion) else field
                for _, field, spec, conversion in Formatter().parse(text)
                if field is not None}
        problem = f'{min(used - fields)!r} is no field' if (
            used - fields) else ''
    except ValueError as error:
        problem = str(error)
    if not problem and not used & {'{name}', '{stem}'}:
        problem = 'every video would have the same path'
    if problem:
        raise argparse.ArgumentTypeError(
            f'{text!r}: {problem}; use {", ".join(sorted(fields))}, {{name}} '
            'or {stem} among them')
    return text


def _check_scope(parser: argparse.ArgumentParser,
                 args: argparse.Namespace) -> None:
    """Refuse options that would have no effect."""
    recognition = args.annotations is not None and args.dataset != 'msrvtt'
    lists = bool(args.csv) or (recognition and args.dataset != 'k600')
    for applies, what, names in (
            (args.check, '--check', 'videos'),
            (args.import_dir, '--import', 'fix_labels'),
            (args.csv, '--csv', 'classes val_ratio'),
            (recognition and args.dataset == 'k400', 'k400', 'tiny'),
            (recognition and args.dataset == 'k600', 'k600',
             'zero_shot_from'),
            (not args.csv and not args.check, 'official lists', 'pattern'),
            (lists, 'K-shot and base-to-novel lists',
             'seeds shots base_shots partition halves')):
        for name in names.split():
            if not applies and getattr(args, name) != parser.get_default(name):
                parser.error(f'--{name.replace("_", "-")} has no effect '
                             f'here; it is for {what}')
