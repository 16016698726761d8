"""From lists to a report: look at the videos, check, write."""
import json
import os
import os.path as osp
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from tqdm import tqdm

from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.datasets.path_hints import remedy
from projects.vifi_clip.datasets.video_list import TEST, TRAIN
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import replacing

from ..cli.outputs import check_folder
from .checks import Videos, all_findings, compare_counts
from .findings import CHECKS, INFO, PROBLEM, Finding
from .lists import VideoList, find_lists, load_lists
from .options import Options
from .published import dataset_name
from .report import REPORT, Report, files_of, inputs_of, make_report
from .video import check_videos


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
    check_folder('--out', str(out))
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
    setting = ('set --videos to the folder that the paths in the lists are in')
    if not osp.isdir(root):
        raise UserError(f'no folder of videos {root!r}; {setting}')
    keys = sorted({entry.key for item in lists for entry in item.entries})
    paths = {key: osp.join(root, key) for key in keys}
    first = paths[keys[0]]
    if not any(map(osp.lexists, paths.values())):
        raise UserError(f'none of the {len(paths)} videos is in {root!r}; the '
                        f'first should be {first!r}{remedy(first)}: {setting}')
    return paths


def look_at_videos(paths: Dict[str, str], full: bool, workers: int,
                   timeout: float) -> Videos:
    """Look at each video (file by key), with a progress bar."""
    videos: Videos = {}
    bad = 0
    with tqdm(total=len(paths), desc='videos', unit='', ncols=79,
              mininterval=0.2 if sys.stderr.isatty() else 30) as bar, \
            closing(check_videos(paths, full, workers, timeout)) as ended:
        for key, facts in ended:
            videos[key] = facts
            bad += facts.status != 'ok'
            bar.set_postfix(bad=bad, refresh=False)
            bar.update()
    return {key: videos[key] for key in paths}


def check_out(out: Path, originals: Iterable[Path], inputs: Dict,
              force: bool) -> None:
    """Refuse a folder for the report that is, holds or lies in a folder of
    the originals, or holds foreign files, or without ``force`` another
    report; before the long run."""
    target, cwd = out.resolve(), Path.cwd().resolve()
    for folder in originals:
        original = folder.resolve()
        # Lists in the working directory do not forbid all that is below it.
        wide = cwd.is_relative_to(original)
        if original.is_relative_to(target) or (
                target.is_relative_to(original) and not wide):
            raise UserError(f'--out {out} is, holds or lies in {folder}, where'
                            ' the originals are; choose a folder outside it')
    if out.exists() and not out.is_dir():
        raise UserError(f'--out {out} is a file; choose another folder')
    if not out.is_dir() or not os.listdir(out):
        return
    try:
        report = json.loads((out / REPORT).read_text(encoding='utf-8'))
        files, earlier = list(report['files']), report['inputs']
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        files, earlier = [], None  # no report of ours
    foreign = [name for name in sorted(_files_in(out))
               if REPORT not in files or name not in files]
    if foreign:
        raise UserError(f'--out {out} holds {foreign[0]}, not part of a '
                        'report; move it away, or choose another folder')
    if earlier != inputs and not force:
        raise UserError(f'{out} holds a report on other lists or options; use '
                        '--force to replace it, or choose another --out')


def write_out(out: Path, files: Dict[str, bytes], force: bool) -> Path:
    """Write the report's files, and return where: ``out``, or ``out_2``,
    ``out_3``, ... if an earlier report says otherwise and is to be kept."""
    folder, number = out, 2
    while folder.is_dir() and os.listdir(folder):
        if set(_files_in(folder)) == set(files) and all(
                (folder / name).read_bytes() == content
                for name, content in files.items()):
            return folder  # it says the same
        if force:
            break
        folder, number = out.with_name(f'{out.name}_{number}'), number + 1
    with replacing(folder) as new:
        for name, content in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return folder


def _files_in(folder: Path) -> List[str]:
    """Files, and what else is more than the way to a file."""
    return [
        path.relative_to(folder).as_posix() for path in folder.rglob('*')
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    ]


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
