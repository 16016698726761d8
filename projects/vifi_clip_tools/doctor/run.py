"""From lists to a report."""
import os.path as osp
import sys
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence

from tqdm import tqdm

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.datasets.video_list import find_missing
from .checks import Videos, check_list, check_videos
from .clean import clean
from .cross_checks import check_between
from .findings import Finding
from .lists import VideoList, class_files_of
from .output import REPORT
from .pool import Lost, supervise
from .published import compare_counts
from .report import Report, sort_findings, to_json, to_markdown
from .tables import classes_csv, videos_csv
from .video import Facts, VideoJob, after_loss, check_video

Work = Callable[[VideoJob], Facts]


def look_at_videos(paths: Dict[str, str],
                   full: bool,
                   workers: int,
                   timeout: float,
                   work: Work = check_video) -> Videos:
    """Check each video in worker processes, with a progress bar.

    Args:
        paths (dict[str, str]): File of each video, by its key.
        full (bool): Decode all frames.
        workers (int): Number of processes.
        timeout (float): Seconds that one video may take.
        work (Callable): What checks a video. Defaults to
            :func:`check_video`.

    Returns:
        dict[str, Facts]: What was seen, in the order of ``paths``.
    """
    keys = list(paths)
    jobs = [VideoJob(paths[key], full) for key in keys]
    results = dict(zip(keys, _supervised(work, jobs, workers, timeout,
                                         'videos')))
    lost = [key for key in keys if isinstance(results[key], Lost)]
    # Where decord killed its process, PyAV may still tell what the file is.
    jobs = [VideoJob(paths[key], full, spare_decord=True) for key in lost]
    for key, other in zip(lost, _supervised(work, jobs, workers, timeout,
                                            'second look')):
        results[key] = after_loss(
            results[key], None if isinstance(other, Lost) else other)
    return results


def examine(lists: Sequence[VideoList], videos: Videos, options: Dict,
            dataset: Optional[str], notes: Iterable[Finding] = ()) -> Report:
    """Run all checks.

    Args:
        lists (Sequence[VideoList]): The lists.
        videos (dict[str, Facts]): What is known of each video.
        options (dict): Settings; ``min_frames`` is one.
        dataset (str, optional): Known data set to compare counts with.
        notes (Iterable[Finding]): Findings from elsewhere.

    Returns:
        Report: Everything found.
    """
    found = list(notes)
    found += check_videos(lists, videos, options['min_frames'])
    for item in lists:
        found += check_list(item, videos)
    found += check_between(lists, videos)
    if dataset:
        found += compare_counts(dataset, lists)
    return Report(options, dataset, list(lists), videos, sort_findings(found),
                  clean(lists, videos))


def files_of(report: Report) -> Dict[str, bytes]:
    """The report's files: relative path to content.

    ``clean/`` holds the class lists too, so that it serves as a list folder.
    """
    files = {
        'report.md': to_markdown(report),
        'videos.csv': videos_csv(report.videos),
        'classes.csv': classes_csv(report.lists, report.videos)
    }
    for item in report.cleaned:
        if item.kept:
            files[f'clean/{item.source.name}'] = item.content()
    lists = {item.name for item in report.lists}
    for path in class_files_of(report.lists):
        if path.name not in lists:
            files[f'clean/{path.name}'] = path.read_bytes()
    files[REPORT] = to_json(report, sorted([*files, REPORT]))
    return files


def video_paths(lists: Sequence[VideoList], root: str) -> Dict[str, str]:
    """The file of each video that a list names, once, ascending by key.

    Raises:
        UserError: If the folder is absent, or none of the files is there.
    """
    if not osp.isdir(root):
        raise UserError(f'no folder of videos {root!r}; set --videos to the '
                        'folder that the paths in the lists start from')
    keys = sorted({entry.key for item in lists for entry in item.entries})
    paths = {key: osp.join(root, key) for key in keys}
    if not _any_there(list(paths.values())):
        raise UserError(
            f'none of the {len(paths)} videos is in {root!r}; the first '
            f'should be {paths[keys[0]]!r}: set --videos to the folder that '
            'the paths in the lists start from')
    return paths


def _any_there(paths: List[str]) -> bool:
    try:
        return len(find_missing(paths)) < len(paths)
    except (OSError, ValueError):  # no name that a folder could have
        return any(map(osp.lexists, paths))


def _supervised(work: Work, jobs: List[VideoJob], workers: int,
                timeout: float, title: str) -> List[Any]:
    results: List[Any] = [None] * len(jobs)
    if not jobs:
        return results
    bad = 0
    with _Bar(total=len(jobs), desc=title, unit='', ncols=79,
              mininterval=0.2 if sys.stderr.isatty() else 30) as bar:
        for index, result in supervise(work, jobs, workers, timeout):
            results[index] = result
            bad += isinstance(result, Lost) or result.status != 'ok'
            bar.set_postfix(bad=bad, refresh=False)
            bar.update()
    return results


class _Bar(tqdm):
    monitor_interval = 0  # no thread, as workers are forked
