"""Makes the data set's folder."""
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Union

import cv2

from .clips import Job, caption_clip, list_jobs, make_files
from .folder import (MANIFEST, MiniWorldError, damages, foreign_entries,
                     leftovers, read_manifest, replacing, sha256)
from .splits import retrieval_annotations, still_annotations, video_annotations
from .world import train_classes

# Raise it when the same parameters no longer give the same data set.
VERSION = '3'
_BATCH = 16
# More than the 16 of the largest draw, so that the draws differ.
_TARGET_TRAIN_PER_CLASS = 24


@dataclass(frozen=True)
class WorldParams:
    """What the data set depends on.

    Args:
        seed (int): Seed of every draw, from 0.
        train_per_class (int): Training clips of each of the training set's
            24 classes.
        test_per_class (int): Validation clips of each of these, of the
            target set's 24 classes and of the 8 zero-shot classes.
        target_train_per_class (int, optional): Training clips of each of the
            target set's classes; 0 leaves the target set out. Defaults to
            None, 24 or ``train_per_class`` if that is less.
        num_stills (int): Captioned still frames.
        size (int): Side of the frames in pixels, even, from 32 to 1024.

    Raises:
        MiniWorldError: If a value is out of range.
    """

    seed: int = 0
    train_per_class: int = 32
    test_per_class: int = 42
    target_train_per_class: Optional[int] = None
    num_stills: int = 3000
    size: int = 64

    def __post_init__(self):
        if self.target_train_per_class is None:
            # Frozen; the manifest tells the number.
            object.__setattr__(
                self, 'target_train_per_class',
                min(self.train_per_class, _TARGET_TRAIN_PER_CLASS))
        lowest = dict(
            seed=0,
            train_per_class=1,
            test_per_class=1,
            target_train_per_class=0,
            num_stills=1)
        for name, low in lowest.items():
            value = getattr(self, name)
            if value < low:
                option = name.replace('_', '-')
                raise MiniWorldError(
                    f'--{option} must be at least {low}, but is {value}')
        if self.size % 2 or not 32 <= self.size <= 1024:
            raise MiniWorldError('--size must be even (H.264) and from 32 to '
                                 f'1024, but is {self.size}')


def _start_worker():
    cv2.setNumThreads(1)
    # Ctrl-C is for the parent, which cleans up; workers end with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make_all(jobs: List[Job], root: Path, workers: int) -> List[str]:
    """Make all files; the captions of the still frames, in order."""
    from mmengine.utils.progressbar import ProgressBar
    for folder in {(root / job.path).parent for job in jobs}:
        folder.mkdir(parents=True, exist_ok=True)
    batches = [jobs[i:i + _BATCH] for i in range(0, len(jobs), _BATCH)]
    print(f'rendering {len(jobs)} files in {len(batches)} batches, '
          f'{workers} at a time')
    bar = ProgressBar(len(batches), file=sys.stdout)
    captions = []
    # Unlike mmengine's track_parallel_progress, this ends the workers when
    # interrupted, before their folder is removed.
    with Pool(workers, _start_worker) as pool:
        for batch in pool.imap(partial(make_files, root=str(root)), batches):
            captions += [caption for caption in batch if caption]
            bar.update()
    print()
    return captions


def _write_annotations(files: Mapping[str, Union[list, dict]],
                       folder: Path) -> Dict[str, str]:
    """Write lists as lines and dicts as JSON; file name to SHA-256."""
    folder.mkdir()
    for name, content in files.items():
        text = (
            json.dumps(content, indent=1)
            if isinstance(content, dict) else '\n'.join(content)) + '\n'
        (folder / name).write_text(text, encoding='utf-8', newline='\n')
    return {name: sha256(folder / name) for name in sorted(files)}


def _make(params: WorldParams, jobs: List[Job], root: Path,
          workers: int) -> None:
    captions = _make_all(jobs, root, workers)
    known = set(train_classes())
    files = {
        **video_annotations(params.train_per_class, params.test_per_class,
                            params.target_train_per_class),
        **still_annotations(captions),
        **retrieval_annotations({
            job.path: caption_clip(job) for job in jobs if job.cls in known
        }),
    }
    manifest = dict(
        mini_world=VERSION,
        params=asdict(params),
        counts={Path(name).stem: len(entries)
                for name, entries in sorted(files.items())},
        annotations=_write_annotations(files, root / 'annotations'))
    (root / MANIFEST).write_text(json.dumps(manifest, indent=2) + '\n')


def _check_present(out: Path, params: WorldParams, jobs: List[Job],
                   force: bool) -> bool:
    """Whether the folder holds this very data set already.

    Raises:
        MiniWorldError: If it holds something else that must not go.
    """
    if out.exists() and not out.is_dir():
        raise MiniWorldError(f'{out} is a file; choose another --out')
    if not out.is_dir() or not os.listdir(out):
        return False
    foreign = foreign_entries(out)
    manifest = read_manifest(out)
    if not manifest or (foreign and force):
        raise MiniWorldError(
            f'{out} holds files that this tool did not make '
            f'({", ".join(foreign[:3])}); nothing was touched: move them '
            'away or choose another --out')
    if force:
        return False
    wanted = dict(mini_world=VERSION, params=asdict(params))
    if any(manifest.get(key) != value for key, value in wanted.items()):
        raise MiniWorldError(
            f'{out} was made with version {manifest["mini_world"]} and '
            f'{manifest.get("params")}, wanted are version {VERSION} and '
            f'{asdict(params)}; nothing was touched: use --force to replace '
            'it, or choose another --out')
    found = damages(out, manifest, [job.path for job in jobs])
    if found:
        raise MiniWorldError(
            f'{out} is damaged: {found[0]} ({len(found)} in all); nothing '
            'was touched: use --force to make it anew')
    return True


def build(out: Union[str, Path],
          params: WorldParams,
          workers: Optional[int] = None,
          force: bool = False) -> bool:
    """Make the data set, unless it is there already.

    Args:
        out (str or Path): The data set's folder. It appears complete, or not
            at all.
        params (WorldParams): What to make.
        workers (int, optional): Processes to render with; they do not change
            the result. Defaults to None, one for each CPU.
        force (bool): Replace a data set of other parameters. Files that were
            not made by this tool are never removed. Defaults to False.

    Returns:
        bool: False if the same data set was there and nothing was done.

    Raises:
        MiniWorldError: If ``out`` holds something else, or ``workers`` is
            less than one.
        OSError: If ``out`` cannot be written.
    """
    workers = workers if workers is not None else os.cpu_count() or 1
    if workers < 1:
        raise MiniWorldError(f'--workers must be at least 1, but is {workers}')
    out = Path(out).resolve()
    jobs = list_jobs(**asdict(params))
    if _check_present(out, params, jobs, force):
        print(f'{out} is up to date')
        return False
    for path in leftovers(out):
        print(f'note: {path} is from a run that was killed or is still going; '
              'delete it once none is')
    with replacing(out) as folder:
        _make(params, jobs, folder, workers)
    print(f'{out} is ready')
    return True
