"""Makes the data set's folder: videos, stills and annotation files in the
formats of MMAction2's data sets, all or none; what it holds is told first."""
import json
import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Union

from mmengine.utils.progressbar import track_iter_progress

from projects.vifi_clip.datasets.loader_settings import usable_cores
from projects.vifi_clip.datasets.video_list import find_missing
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import replacing, sha256_of
from ..cli.processes import ended_by_signals, signals_held
from ..splits.protocols import draw
from .clips import Job, caption_clip, list_jobs, make_files, start_worker
from .world import CLASSES, WorldParams, clip_path, still_path

# Raise it when the same parameters no longer give the same data set.
VERSION = '4'
_BATCH = 16
MANIFEST = 'manifest.json'
_ENTRIES = {'annotations', 'stills', 'videos', MANIFEST}
SHOTS = (2, 4, 8, 16)
SHOT_SEEDS = (1, 2, 3)
# Of more clips, too many would share their caption with another.
RETRIEVAL_TEST_PER_CLASS = 10


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
    with ended_by_signals(), replacing(out) as folder:
        folder.mkdir()
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
    with worker_pool(workers) as pool:
        captions = pool.imap(partial(make_files, root=str(root)), batches)
        return sum(track_iter_progress((captions, len(batches)),
                                       file=sys.stdout), [])


@contextmanager
def worker_pool(workers: int) -> Iterator[Pool]:
    """Yield processes that make files, and end them."""
    with ExitStack() as stack:
        with signals_held():
            # What ends a worker before it has handlers of its own waits for
            # them, and is not lost in the fork.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            pool = stack.enter_context(Pool(workers, start_worker))
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield pool


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
                   '--force to make it again')
    if problem:
        raise UserError(f'{out} {problem} (nothing was changed)')
    return True


def read_manifest(folder: Path) -> dict:
    """Return the manifest of a data set; empty if it has none of ours."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    ours = (isinstance(manifest, dict) and 'mini_world' in manifest
            and isinstance(manifest.get('annotations'), dict))
    return manifest if ours else {}


def damages(folder: Path, manifest: dict, paths: List[str]) -> List[str]:
    """List what of a data set is missing or was changed since, a phrase each.

    Its videos and stills (``paths``, relative to the folder) are only looked
    for; annotations are read.
    """
    missing = find_missing([str(folder / path) for path in paths])
    faults = [f'{paths[i]} is missing' for i in missing]
    for name, digest in manifest['annotations'].items():
        path = folder / 'annotations' / name
        if not path.is_file():
            faults.append(f'annotations/{name} is missing')
        elif sha256_of(path) != digest:
            faults.append(f'annotations/{name} was changed')
    return faults


def foreign_entries(folder: Path, manifest: dict) -> List[str]:
    """List what lies in a folder and was not put there by us; all of it if
    the manifest is empty."""
    if not manifest:
        return sorted(os.listdir(folder))
    foreign = set(os.listdir(folder)) - _ENTRIES
    annotations = folder / 'annotations'
    names = os.listdir(annotations) if annotations.is_dir() else []
    return sorted(foreign | {f'annotations/{name}' for name in names
                             if name not in manifest['annotations']})


def _all_clips(classes, split, count) -> List[str]:
    return [f'{clip_path(cls, split, i)} {label}'
            for label, cls in enumerate(classes) for i in range(count)]


def video_annotations(train_per_class: int, test_per_class: int,
                      target_train_per_class: int) -> Dict[str, List[str]]:
    """The class lists and splits of every protocol.

    ``classes``, ``train`` and ``val`` are the training set's. The base, novel
    and few-shot files are the target set's; labels of the base and novel
    files count within their half. A K-shot file is there only if a class has
    K training clips. One file describes all classes. Returns lines by file
    name.
    """
    base, target = CLASSES['base'], CLASSES['target']
    groups = {'': CLASSES['train'], 'zero_shot_': CLASSES['zero_shot']}
    files = {'train.txt': _all_clips(groups[''], 'train', train_per_class)}
    if target_train_per_class:
        groups.update(target_=target, base_=base, novel_=CLASSES['novel'])
        files['target_train.txt'] = _all_clips(target, 'train',
                                               target_train_per_class)
    for group, classes in groups.items():
        files[f'{group}classes.txt'] = [cls.name for cls in classes]
        files[f'{group}val.txt'] = _all_clips(classes, 'val', test_per_class)
    files['descriptions.txt'] = [
        cls.description for name in ('train', 'target', 'zero_shot')
        for cls in CLASSES[name]]
    draws = [('base_train', base, 16)]
    draws += [('few_shot_train', target, shots) for shots in SHOTS]
    for name, classes, shots in draws:
        if target_train_per_class < shots:
            continue
        for seed in SHOT_SEEDS:
            lines = files[f'{name}_{shots}shot_seed{seed}.txt'] = []
            for label, cls in enumerate(classes):
                paths = [clip_path(cls, 'train', i)
                         for i in range(target_train_per_class)]
                drawn = draw(list(zip(paths, paths)), shots, seed)
                lines += [f'{path} {label}' for path in drawn]
    return files


def retrieval_annotations(
        captions: Dict[str, str]) -> Dict[str, Dict[str, List[str]]]:
    """The captioned clips, for MMAction2's VideoTextDataset: by file name,
    the captions of each clip, one of each. ``captions`` has that of each clip
    of the training set by the clip's path, in order."""
    parts = dict(train={}, test={})
    for path, caption in captions.items():
        kind, index = Path(path).stem.split('_')
        if kind == 'train':
            parts['train'][path] = [caption]
        elif int(index) < RETRIEVAL_TEST_PER_CLASS:
            parts['test'][path] = [caption]
    return {f'retrieval_{part}.json': clips for part, clips in parts.items()}


def still_annotations(captions: Sequence[str]) -> Dict[str, List[str]]:
    """The caption list and the still frames with their caption's index."""
    distinct = sorted(set(captions))
    index = {caption: i for i, caption in enumerate(distinct)}
    return {'captions.txt': distinct,
            'stills.txt': [f'{still_path(i)} {index[caption]}'
                           for i, caption in enumerate(captions)]}
