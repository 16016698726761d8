"""From lists to a report: look at the videos, check, write."""
import os.path as osp
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from tqdm import tqdm

from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.datasets.video_list import TEST, TRAIN
from projects.vifi_clip.errors import UserError

from .checks import Videos, all_findings, compare_counts
from .findings import CHECKS, INFO, PROBLEM, Finding
from .folder import check_out, write_out
from .lists import VideoList, find_lists, load_lists
from .options import Options
from .published import dataset_name
from .report import Report, files_of, inputs_of, make_report
from .video import supervise


def check(options: Options) -> int:
    """Check, write, and say what was found; 1 if there are problems."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _check(options)
    finally:
        signal.signal(signal.SIGTERM, before)


def _check(options: Options) -> int:
    start = time.monotonic()
    roles, findings = _roles(options)
    name = min(roles).resolve().parent.name  # of the lists' folder
    lists = load_lists(
        roles, Path(options.classes) if options.classes else None)
    root = options.videos or osp.join('data', name, 'videos')
    out = Path(options.out or osp.join('work_dirs', 'check', name))
    settings = dict(videos=root, decode=options.decode,
                    min_frames=options.min_frames)
    files = video_paths(lists, root)
    check_out(out, [Path(root), *{item.path.parent for item in lists}],
              inputs_of(lists, settings), options.force)
    videos = look_at_videos(files, options.decode == 'full',
                            options.workers or usable_cores(),
                            options.timeout)
    findings += all_findings(lists, videos, options.min_frames)
    dataset = options.dataset or dataset_name(name)
    dataset = None if dataset == 'none' else dataset
    if dataset:
        findings += compare_counts(dataset, lists)
    report = make_report(settings, dataset, lists, videos, findings)
    folder = write_out(out, files_of(report), options.force)
    _say(report, time.monotonic() - start)
    if folder != out:
        print(f'{out} holds an earlier report that differs; kept.')
    print(f'Report: {folder}/report.md; cleaned lists: {folder}/clean')
    return 1 if report.count(PROBLEM) else 0


def _roles(options: Options) -> Tuple[Dict[Path, Optional[str]],
                                      List[Finding]]:
    """Lists with their roles, and notes on files that were passed over."""
    roles: Dict[Path, Optional[str]] = {}
    others = []
    for path in map(Path, options.lists):
        lists, names = find_lists(path) if path.is_dir() else ([path], [])
        others += names
        roles.update(dict.fromkeys(lists))
    both = ({Path(path).resolve() for path in options.train}
            & {Path(path).resolve() for path in options.val})
    if both:
        raise UserError(f'{min(both)} is given both to --train and to --val; '
                        'a list is for one of them')
    roles.update((Path(path), TRAIN) for path in options.train)
    roles.update((Path(path), TEST) for path in options.val)
    named = {path.name for path, role in roles.items() if role}
    return roles, [Finding('not_checked', name, 'its name does not say whether'
                           ' it is for training or testing')
                   for name in others if name not in named]


def video_paths(lists: Sequence[VideoList], root: str) -> Dict[str, str]:
    """Return the file of each video that a list names, ascending by key."""
    remedy = ('set --videos to the folder that the paths in the lists start '
              'from')
    if not osp.isdir(root):
        raise UserError(f'no folder of videos {root!r}; {remedy}')
    keys = sorted({entry.key for item in lists for entry in item.entries})
    paths = {key: osp.join(root, key) for key in keys}
    if not any(map(osp.lexists, paths.values())):
        raise UserError(f'none of the {len(paths)} videos is in {root!r}; the '
                        f'first should be {paths[keys[0]]!r}: {remedy}')
    return paths


def look_at_videos(paths: Dict[str, str], full: bool, workers: int,
                   timeout: float) -> Videos:
    """Look at each video (file by key) in processes, with a progress bar."""
    videos: Videos = {}
    bad = 0
    with _Bar(total=len(paths), desc='videos', unit='', ncols=79,
              mininterval=0.2 if sys.stderr.isatty() else 30) as bar, \
            closing(supervise(paths, full, workers, timeout)) as ended:
        for key, facts in ended:
            videos[key] = facts
            bad += facts.status != 'ok'
            bar.set_postfix(bad=bad, refresh=False)
            bar.update()
    return {key: videos[key] for key in paths}


class _Bar(tqdm):
    monitor_interval = 0  # no thread of its own, as processes are forked


def _say(report: Report, seconds: float) -> None:
    print(f'\n{len(report.videos)} videos in {len(report.lists)} lists, '
          f'{seconds:.1f} s')
    for name, findings in report.by_check():
        check = CHECKS[name]
        if check.level != INFO:
            line = (f'{len(findings):7d} {check.level:7s}  {check.title} '
                    f'(e.g. {findings[0].subject})')
            print(line if len(line) < 80 else f'{line[:75]}...)')
    removed = sum(len(item.removed) for item in report.cleaned)
    if removed:
        print(f'{removed} lines are left out of the cleaned lists.')
    if not report.count(PROBLEM):
        print('No problem found.')
