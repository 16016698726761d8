"""From lists to a report: look at the videos, check, write."""
import os.path as osp
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from tqdm import tqdm

from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.datasets.video_list import TEST, TRAIN, find_missing
from projects.vifi_clip.errors import UserError

from .checks import Videos, all_findings, compare_counts
from .findings import CHECKS, INFO, PROBLEM, Finding
from .folder import check_out, write_out
from .lists import VideoList, find_lists, load_lists
from .options import Options
from .published import dataset_name
from .report import Report, files_of, inputs_of, make_report
from .video import Facts, Lost, VideoJob, after_loss, check_video, supervise

Work = Callable[[VideoJob], Facts]


def check(options: Options, work: Work = check_video) -> int:
    """Check, write, and say what was found; 1 if there are problems."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _check(options, work)
    finally:
        signal.signal(signal.SIGTERM, before)


def _check(options: Options, work: Work) -> int:
    start = time.monotonic()
    roles, notes = _chosen(options)
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
                            options.timeout, work)
    findings = notes + all_findings(lists, videos, options.min_frames)
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


def _chosen(options: Options) -> Tuple[Dict[Path, Optional[str]],
                                       List[Finding]]:
    """Lists with their roles, and notes on files that were passed over."""
    roles: Dict[Path, Optional[str]] = {}
    notes = []
    for path in map(Path, options.lists):
        if not path.is_dir():
            roles[path] = None
            continue
        lists, others = find_lists(path)
        roles.update(dict.fromkeys(lists))
        notes += [Finding('not_checked', name, 'its name does not say whether '
                          'it is for training or testing') for name in others]
    both = ({Path(path).resolve() for path in options.train}
            & {Path(path).resolve() for path in options.val})
    if both:
        raise UserError(f'{min(both)} is given both to --train and to --val; '
                        'a list is for one of them')
    for role, given in ((TRAIN, options.train), (TEST, options.val)):
        roles.update((Path(path), role) for path in given)
    named = {path.name for path, role in roles.items() if role}
    return roles, [note for note in notes if note.subject not in named]


def video_paths(lists: Sequence[VideoList], root: str) -> Dict[str, str]:
    """Return the file of each video that a list names, ascending by key."""
    if not osp.isdir(root):
        raise UserError(f'no folder of videos {root!r}; set --videos to the '
                        'folder that the paths in the lists start from')
    keys = sorted({entry.key for item in lists for entry in item.entries})
    paths = {key: osp.join(root, key) for key in keys}
    try:
        absent = len(find_missing(list(paths.values()))) == len(paths)
    except (OSError, ValueError):  # no name that a folder could have
        absent = not any(map(osp.lexists, paths.values()))
    if absent:
        raise UserError(
            f'none of the {len(paths)} videos is in {root!r}; the first '
            f'should be {paths[keys[0]]!r}: set --videos to the folder that '
            'the paths in the lists start from')
    return paths


def look_at_videos(paths: Dict[str, str], full: bool, workers: int,
                   timeout: float, work: Work = check_video) -> Videos:
    """Look at each video (file by key) in processes, with a progress bar."""

    def look(keys: List[str], title: str, **options: Any) -> Dict[str, Any]:
        results: Dict[str, Any] = dict.fromkeys(keys)
        jobs = [VideoJob(paths[key], full, **options) for key in keys]
        bad = 0
        with _Bar(total=len(jobs), desc=title, unit='', ncols=79,
                  mininterval=0.2 if sys.stderr.isatty() else 30) as bar, \
                closing(supervise(work, jobs, workers, timeout)) as ended:
            for index, result in ended:
                results[keys[index]] = result
                bad += isinstance(result, Lost) or result.status != 'ok'
                bar.set_postfix(bad=bad, refresh=False)
                bar.update()
        return results

    videos = look(list(paths), 'videos')
    lost = [key for key, facts in videos.items() if isinstance(facts, Lost)]
    if lost:
        # Where decord killed its process, PyAV may still tell what the file
        # is.
        again = look(lost, 'second look', spare_decord=True)
        videos.update((key, after_loss(videos[key], again[key]))
                      for key in lost)
    return videos


class _Bar(tqdm):
    monitor_interval = 0  # no thread of its own, as processes are forked


def _say(report: Report, seconds: float) -> None:
    print(f'\n{len(report.videos)} videos in {len(report.lists)} lists, '
          f'{seconds:.1f} s')
    for name, found in report.by_check():
        check = CHECKS[name]
        if check.level != INFO:
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
