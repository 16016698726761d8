"""Makes the data set's folder."""
import json
import os
import sys
from dataclasses import asdict
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Union

from mmengine.utils.progressbar import ProgressBar

from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import sha256_of
from .clips import Job, caption_clip, list_jobs, make_files, start_worker
from .folder import (MANIFEST, damages, foreign_entries, leftovers,
                     read_manifest, replacing)
from .splits import retrieval_annotations, still_annotations, video_annotations
from .world import WorldParams, train_classes

# Raise it when the same parameters no longer give the same data set.
VERSION = '3'
_BATCH = 16


def build(out: Union[str, Path], params: WorldParams,
          workers: Optional[int] = None, force: bool = False) -> bool:
    """Make the data set, unless it is there already.

    Args:
        out (str or Path): The data set's folder. It appears complete, or not
            at all.
        params (WorldParams): What to make.
        workers (int, optional): Processes to render with; they do not change
            the result. Defaults to None, one for each CPU.
        force (bool): Replace a data set of other parameters. Files that were
            not made by this command are never removed. Defaults to False.

    Returns:
        bool: False if the same data set was there and nothing was done.

    Raises:
        UserError: If ``out`` holds something else.
        OSError: If ``out`` cannot be written.
    """
    out = Path(out).resolve()
    jobs = list_jobs(params)
    if _is_there(out, params, jobs, force):
        print(f'{out} is up to date')
        return False
    for path in leftovers(out):
        print(f'note: {path} is from a run that was killed or is still going; '
              'delete it once none is')
    with replacing(out) as folder:
        captions = _render(jobs, folder, workers or usable_cores())
        known = set(train_classes())
        files = {
            **video_annotations(params.train_per_class, params.test_per_class,
                                params.target_train_per_class),
            **still_annotations(captions),
            **retrieval_annotations({
                job.path: caption_clip(job) for job in jobs
                if job.cls in known}),
        }
        manifest = dict(
            mini_world=VERSION, params=asdict(params),
            counts={Path(name).stem: len(entries)
                    for name, entries in sorted(files.items())},
            annotations=_write_annotations(files, folder / 'annotations'))
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + '\n')
    print(f'{out} is ready')
    return True


def _render(jobs: List[Job], root: Path, workers: int) -> List[str]:
    """Make all files; the captions of the still frames, in order."""
    for folder in {(root / job.path).parent for job in jobs}:
        folder.mkdir(parents=True, exist_ok=True)
    batches = [jobs[i:i + _BATCH] for i in range(0, len(jobs), _BATCH)]
    print(f'rendering {len(jobs)} files in {len(batches)} batches, '
          f'{workers} at a time')
    bar = ProgressBar(len(batches), file=sys.stdout)
    captions = []
    # Unlike mmengine's track_parallel_progress, this ends the workers when
    # interrupted, before their folder is removed. Where they are not forked
    # they import clips.py alone, and so no torch.
    with Pool(workers, start_worker) as pool:
        for batch in pool.imap(partial(make_files, root=str(root)), batches):
            captions += batch
            bar.update()
    print()
    return captions


def _write_annotations(files: Mapping[str, Union[list, dict]],
                       folder: Path) -> Dict[str, str]:
    """Write lists as lines and dicts as JSON; file name to SHA-256."""
    folder.mkdir()
    for name, content in files.items():
        text = json.dumps(content, indent=1) if isinstance(
            content, dict) else '\n'.join(content)
        (folder / name).write_text(text + '\n', encoding='utf-8',
                                   newline='\n')
    return {name: sha256_of(folder / name) for name in sorted(files)}


def _is_there(out: Path, params: WorldParams, jobs: List[Job],
              force: bool) -> bool:
    """Whether the folder holds this very data set already.

    Raises:
        UserError: If it holds something else that must not go.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f'{out} is a file; choose another --out')
    if not out.is_dir() or not os.listdir(out):
        return False
    foreign = foreign_entries(out)
    manifest = read_manifest(out)
    if not manifest or (foreign and force):
        raise UserError(
            f'{out} holds files that this command did not make '
            f'({", ".join(foreign[:3])}); nothing was touched: move them '
            'away or choose another --out')
    if force:
        return False
    wanted = dict(mini_world=VERSION, params=asdict(params))
    if any(manifest.get(key) != value for key, value in wanted.items()):
        raise UserError(
            f'{out} was made with version {manifest["mini_world"]} and '
            f'{manifest.get("params")}, wanted are version {VERSION} and '
            f'{asdict(params)}; nothing was touched: use --force to replace '
            'it, or choose another --out')
    faults = damages(out, manifest, [job.path for job in jobs])
    if faults:
        raise UserError(
            f'{out} is damaged: {faults[0]} ({len(faults)} in all); nothing '
            'was touched: use --force to make it anew')
    return True
