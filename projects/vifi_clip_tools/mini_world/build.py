"""Makes the data set's folder."""
import json
import os
import sys
from dataclasses import asdict
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Dict, List, Optional, Union

from mmengine.utils.progressbar import track_iter_progress

from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import sha256_of
from .clips import Job, caption_clip, list_jobs, make_files, start_worker
from .folder import (MANIFEST, damages, foreign_entries, read_manifest,
                     replacing)
from .splits import retrieval_annotations, still_annotations, video_annotations
from .world import CLASSES, WorldParams

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
        UserError: ``out`` holds something else.
    """
    out = Path(out).resolve()
    jobs = list_jobs(params)
    if _is_there(out, params, jobs, force):
        print(f'{out} is up to date')
        return False
    with replacing(out) as folder:
        captions = _render(jobs, folder, workers or usable_cores())
        files: Dict[str, Union[list, dict]] = {
            **video_annotations(params.train_per_class, params.test_per_class,
                                params.target_train_per_class),
            **still_annotations(captions),
            **retrieval_annotations({
                job.path: caption_clip(job) for job in jobs
                if job.cls in CLASSES['train']})}
        (folder / 'annotations').mkdir()
        manifest = dict(mini_world=VERSION, params=asdict(params), counts={},
                        annotations={})
        for name, content in sorted(files.items()):
            path = folder / 'annotations' / name
            text = json.dumps(content, indent=1) if isinstance(
                content, dict) else '\n'.join(content)
            path.write_text(text + '\n', encoding='utf-8', newline='\n')
            manifest['counts'][path.stem] = len(content)
            manifest['annotations'][name] = sha256_of(path)
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
    # Unlike mmengine's track_parallel_progress, this ends the workers when
    # interrupted, before their folder is removed. Where they are not forked
    # they import clips.py alone, and so no torch.
    with Pool(workers, start_worker) as pool:
        captions = pool.imap(partial(make_files, root=str(root)), batches)
        return sum(track_iter_progress((captions, len(batches)),
                                       file=sys.stdout), [])


def _is_there(out: Path, params: WorldParams, jobs: List[Job],
              force: bool) -> bool:
    """Whether the folder holds this very data set already; a UserError if it
    holds something else that must not go."""
    if not out.exists() or not os.listdir(out):
        return False
    manifest = read_manifest(out)
    foreign = foreign_entries(out, manifest)
    problem = ''
    if not manifest or (foreign and force):
        problem = (f'holds files that this command did not make '
                   f'({", ".join(foreign[:3])}); choose another --out')
    elif force:
        return False
    elif (manifest['mini_world'], manifest.get('params')) != (
            VERSION, asdict(params)):
        problem = (f'was made with {manifest.get("params")} (version '
                   f'{manifest["mini_world"]}); use --force to replace it, '
                   'or choose another --out')
    elif faults := damages(out, manifest, [job.path for job in jobs]):
        problem = (f'is damaged: {faults[0]} ({len(faults)} in all); use '
                   '--force to make it anew')
    if problem:
        raise UserError(f'{out} {problem} (nothing was touched)')
    return True
