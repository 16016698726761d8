"""Command line of the data doctor."""
import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from projects.vifi_clip.errors import UserError
from .findings import CHECKS, INFO, PROBLEM, Finding
from .lists import VideoList, load_lists
from projects.vifi_clip.datasets.naming import TEST, TRAIN, find_lists
from .output import check_out, write_out
from .published import PUBLISHED, dataset_name
from .report import Report, inputs_of
from .run import examine, files_of, look_at_videos, video_paths
from .video import check_video

DESCRIPTION = """\
Check a data set before training on it: missing, unreadable, short and
duplicate videos, leakage between training and test and between base and
novel classes, labels and class coverage, counts against the published ones.
Writes report.md, report.json, tables of videos and classes, and cleaned lists
to a folder of its own; lists and videos are only read."""
EPILOG = """\
examples:
  # all lists of a folder; their names say what they are for
  vifi-clip check-data data_splits/ucf101 --videos data/ucf101/videos
  # two lists of your own
  vifi-clip check-data --train a.txt --val b.txt --classes names.txt \\
      --videos clips --out work_dirs/check/mine
  # decode every frame, allow 5 minutes for a video
  vifi-clip check-data data_splits/k400 --decode full --timeout 300

A list folder is named and laid out as vifi-clip splits does it:
train.txt, val.txt, train_split1.txt, base_val.txt, ... and class lists.
Videos are looked for in data/NAME/videos if --videos is not given.

exit code: 0 no problem (warnings do not count), 1 problems, 2 wrong usage"""
_LONGEST_S = 86400


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('lists', nargs='*', metavar='LISTS', default=[],
        help='list folders or lists ("path label" text, or JSON with '
        'captions)')
    add('--train', nargs='+', default=[], metavar='LIST',
        help='training lists whose names do not say so')
    add('--val', nargs='+', default=[], metavar='LIST',
        help='test lists whose names do not say so')
    add('--videos', metavar='DIR', help='folder that paths start from '
        '(default: data/NAME/videos)')
    add('--classes', metavar='FILE', help='class list of the lists '
        '(default: the one beside each)')
    add('--out', metavar='DIR', help='folder for the report (default: '
        'work_dirs/check/NAME)')
    add('--dataset', choices=[*PUBLISHED, 'none'], metavar='NAME',
        help='compare counts with the published ones of this data set: '
        f'{", ".join(PUBLISHED)} or none (default: by the name of the '
        'folder)')
    add('--min-frames', type=int, default=16, metavar='T',
        help='warn of videos with fewer frames (default: %(default)s)')
    add('--decode', choices=['quick', 'full'], default='quick',
        help='decode five frames of each video from first to last, or all '
        '(default: %(default)s)')
    add('--timeout', type=float, default=120, metavar='SECONDS',
        help='give up on a video after so long (default: %(default)s)')
    add('--workers', type=int, metavar='N',
        help='processes (default: one for each CPU)')
    add('--force', action='store_true', help='replace an earlier report')
    return parser


def main(argv: Optional[Sequence[str]] = None, work=check_video) -> int:
    """Run the data doctor.

    Args:
        argv (Sequence[str], optional): Arguments. Defaults to sys.argv.
        work (Callable): What checks a video. Defaults to ``check_video``.

    Returns:
        int: 0 no problem, 1 problems, 2 wrong usage, 130 interrupted.
    """
    args = make_parser().parse_args(argv)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(args, work)
    except KeyboardInterrupt:
        print('\ninterrupted; nothing was written', file=sys.stderr)
        return 130
    except (UserError, ValueError, OSError) as error:
        if os.environ.get('VIFI_TRACEBACK', '0') != '0':
            raise
        print(f'error: {error}', file=sys.stderr)
        return 2
    finally:
        signal.signal(signal.SIGTERM, before)


def run(args: argparse.Namespace, work) -> int:
    """Check, write, and say what was found."""
    start = time.monotonic()
    _check_numbers(args)
    paths, notes = _chosen(args)
    name = _name(paths)
    lists = load_lists(paths, Path(args.classes) if args.classes else None)
    root = args.videos or os.path.join('data', name, 'videos')
    out = Path(args.out or os.path.join('work_dirs', 'check', name))
    options = dict(
        videos=root, decode=args.decode, min_frames=args.min_frames)
    files = video_paths(lists, root)
    check_out(out, [Path(root), *{item.path.parent for item in lists}],
              inputs_of(lists, options), args.force)
    videos = look_at_videos(files, args.decode == 'full',
                            args.workers or _cpus(), args.timeout, work)
    dataset = args.dataset or dataset_name(name)
    report = examine(lists, videos, options,
                     None if dataset == 'none' else dataset, notes)
    place = write_out(out, files_of(report), args.force)
    _say(report, time.monotonic() - start)
    if place != out:
        print(f'{out} holds an earlier report that differs; kept.')
    print(f'Report: {place}/report.md; cleaned lists: {place}/clean')
    return 1 if report.count(PROBLEM) else 0


def _check_numbers(args: argparse.Namespace) -> None:
    for option, low in (('min_frames', 0), ('timeout', 0.001), ('workers',
                                                                1)):
        value = getattr(args, option)
        if value is not None and not value >= low:
            raise UserError(f'--{option.replace("_", "-")} must be at least '
                            f'{low}, but is {value}')
    if args.timeout > _LONGEST_S:
        raise UserError(f'--timeout must be at most {_LONGEST_S} (a day), but '
                        f'is {args.timeout:g}')


def _cpus() -> int:
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_Paths = List[Tuple[Path, Optional[str]]]


def _chosen(args: argparse.Namespace) -> Tuple[_Paths, List[Finding]]:
    """Lists with their roles, and notes on files that were passed over."""
    roles: Dict[Path, Optional[str]] = {}
    notes = []
    for path in map(Path, args.lists):
        if not path.is_dir():
            roles[path] = None
            continue
        found, others = find_lists(path)
        roles.update(dict.fromkeys(found))
        notes += [
            Finding('not_checked', name,
                    'its name does not say whether it is for training or '
                    'testing') for name in others
        ]
    train = {Path(path).resolve() for path in args.train}
    for path in args.val:
        if Path(path).resolve() in train:
            raise UserError(f'{path} is given both to --train and to --val; '
                            'a list is for one of them')
    for role, given in ((TRAIN, args.train), (TEST, args.val)):
        roles.update((Path(path), role) for path in given)
    if not roles:
        raise UserError('no list given; name a list folder such as '
                        'data_splits/ucf101, or lists (see --help)')
    named = {path.name for path, role in roles.items() if role}
    return list(roles.items()), [n for n in notes if n.subject not in named]


def _name(paths: _Paths) -> str:
    """What the data set is called: as the folder of its lists."""
    return sorted(path for path, _ in paths)[0].resolve().parent.name


def _say(report: Report, seconds: float) -> None:
    lists: List[VideoList] = report.lists
    print(f'\n{len(report.videos)} videos in {len(lists)} lists, '
          f'{seconds:.1f} s')
    for name, check in CHECKS.items():
        found = [item for item in report.findings if item.check == name]
        if found and check.level != INFO:
            line = f'{len(found):7d} {check.level:7s}  {check.title}'
            example = f' (e.g. {found[0].subject})'
            room = 79 - len(line)
            if len(example) > room:
                example = f'{example[:room - 4]}...)' if room > 20 else ''
            print(line + example)
    removed = sum(len(item.removed) for item in report.cleaned)
    if removed:
        print(f'{removed} lines are left out of the cleaned lists.')
    if not report.count(PROBLEM):
        print('No problem found.')
