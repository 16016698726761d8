"""Embed a list of videos into a file; stopped work goes on."""
import hashlib
import json
import os.path as osp
import re
import shutil
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import (Any, Callable, Dict, Iterable, Iterator, List, Mapping,
                    Optional, Sequence, Tuple, TypeVar)

import numpy as np
from mmengine.dist import all_gather_object, barrier
from tqdm import tqdm

from projects.vifi_clip.apis.identity import NOTES, differences, record
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import (VideoInput, expand_inputs,
                                            read_labels)
from projects.vifi_clip.apis.loading import join_processes
from projects.vifi_clip.apis.pipeline import Views, parse_views
from projects.vifi_clip.datasets.path_hints import remedy
from projects.vifi_clip.datasets.video_list import (find_missing,
                                                    read_video_list)
from projects.vifi_clip.errors import UnreadableVideo, need
from ..cli.cluster import by_method, numbered
from ..cli.options import EngineOptions, ModelOptions
from ..cli.outputs import check_target
from .file import Embeddings, read_embeddings, write_embeddings
from .options import SUFFIXES, EmbedOptions

MOST_VIDEOS, MOST_SECONDS = 16, 20.  # what a crash can lose of a process
_PART = re.compile(r'\.?(job\.json|[0-9]{8}\.npz)(\.tmp)?')
T = TypeVar('T')


@dataclass
class VideoSet:
    """N videos."""
    names: List[str]  # in the file of embeddings
    paths: List[str]
    labels: Optional[List[int]] = None  # 0..K-1, if they are known
    class_names: Optional[List[str]] = None  # K


def embed(options: EmbedOptions) -> Optional[int]:
    """Run ``vifi-clip embed``; 1 if a video could not be read."""
    out, how = options.out, options.how
    check_target('--out', out, SUFFIXES)
    if out.lower().endswith('.parquet'):
        need('pyarrow', 'search')
    if osp.exists(out) and not options.overwrite:
        read_embeddings(out)  # before the model: is it one of ours?
    views = parse_views(how.num_views)
    videos = read_videos(options.videos, how.root, how.classes)
    join_processes()
    try:
        result = embed_videos(
            options.engine.here(options.model).load(views=[views]), videos,
            out, views, how.batch_size, options.overwrite, options.model,
            options.engine)
    except KeyboardInterrupt:
        print('\nstopped; the same command resumes from here',
              file=sys.stderr)
        raise
    if result is None:  # the first process reports
        return None
    lost = len(result.failed)
    note = f', {lost} could not be read' if lost else ''
    print(f'{out}: {len(result)} videos, D = {result.embeddings.shape[1]}'
          f'{note}')
    return 1 if lost and not options.allow_bad else None


def read_videos(inputs: Sequence[str], root: Optional[str] = None,
                classes: Optional[str] = None) -> VideoSet:
    """Find the videos to embed; see :class:`ListOptions`."""
    if len(inputs) == 1 and inputs[0].endswith('.txt'):
        return _read_list(inputs[0], root, classes)
    if any(path.endswith('.txt') for path in inputs):
        raise ValueError(f'{" ".join(inputs)}: give one list (.txt) and '
                         'nothing else')
    for option, value in dict(root=root, classes=classes).items():
        if value is not None:
            raise ValueError(f'--{option} is for a list: one .txt file of '
                             '"name label" lines')
    videos = expand_inputs(list(inputs))
    return VideoSet([v.name for v in videos], [v.path for v in videos])


def _read_list(path: str, root: Optional[str],
               classes: Optional[str]) -> VideoSet:
    class_names = None if classes is None else read_labels(
        classes, '--classes')
    names, labels = map(list, zip(*read_video_list(
        path, num_classes=class_names and len(class_names),
        allow_unlabelled=True)))
    if max(labels) >= 2**31:
        raise ValueError(f'{path}: label {max(labels)} is too large')
    paths = [osp.join(root or '', name) for name in names]
    # Some that are absent are reported with the bad ones; all of them are a
    # wrong folder.
    if len(find_missing(paths)) == len(paths):
        raise FileNotFoundError(
            f'none of the {len(paths)} videos of {path} is there, such as '
            f'{paths[0]}{remedy(paths[0])}; set --root to the folder of their '
            'names')
    if labels[0] < 0:
        if classes is not None:
            raise ValueError(f'--classes: {path} has names but no labels')
        labels = None
    return VideoSet(names, paths, labels, class_names)


def embed_videos(inferencer: ViFiCLIPInferencer, videos: VideoSet, out: str,
                 num_views: Views = 1, batch_size: int = 1,
                 overwrite: bool = False, model: Optional[ModelOptions] = None,
                 engine: EngineOptions = EngineOptions()
                 ) -> Optional[Embeddings]:
    """Embed videos, write a file of them and return what it holds; None in
    other processes than the first.

    Under torchrun the processes share the videos, and the first writes the
    file. What is finished lies in ``<out>.parts`` until then; the same call
    goes on from there, with any number of processes. A file that is complete
    is left as it is, but videos that could not be read are tried again.
    ``overwrite`` replaces what is there and is not of this model, setting and
    list, which is an error otherwise. ``model`` is for the file's record.
    ``engine`` may be a cluster, from which the first process takes results.
    """
    rank, world = join_processes()
    notes = {} if model is None else dict(
        config=model.config, checkpoint=model.checkpoint,
        inference=model.inference)
    names, labels = videos.names, videos.labels
    digest = hashlib.sha256(json.dumps([names, labels]).encode()).hexdigest()
    made = dict(record(inferencer, num_views, **notes), list=digest)
    todo, results, folder = range(len(names)), {}, Path(f'{out}.parts')
    if osp.exists(out) and not overwrite:
        before = read_embeddings(out)
        _check_same(out, before.record, made)
        todo = [failed['index'] for failed in before.failed]
        if not todo:
            return before if rank == 0 else None
        if rank == 0:
            print(f'{out}: {len(before)} embedded before; retrying '
                  f'{len(todo)} that could not be read', file=sys.stderr)
        good = (i for i in range(len(names)) if i not in todo)
        results = dict(zip(good, before.embeddings))
    if rank == 0:
        _finished(folder, made, overwrite)
    barrier()
    done = _finished(folder, made, overwrite)
    left = [i for i in todo if i not in done]
    barrier()  # all have read before one writes
    errors: Dict[int, str] = {}
    with tqdm(total=len(todo), initial=len(todo) - len(left), unit='video',
              desc='embed', disable=rank > 0) as bar:
        work = partial(by_method, name='embed', num_views=num_views,
                       batch_size=batch_size, on_error='report')
        results_of = partial(
            numbered, work, options=engine, model=inferencer,
            device=model.device if model else 'auto')
        embeddings = _embed(results_of, videos, left[rank::world], errors,
                            bar)
        for part in gathered(embeddings, MOST_VIDEOS, MOST_SECONDS):
            indices, rows = zip(*part)
            write_embeddings(
                str(folder / f'{indices[0]:08d}.npz'),  # an index comes once
                Embeddings(list(map(str, indices)), np.array(rows),
                           record=made))
    errors = {i: error for some in all_gather_object(errors)
              for i, error in some.items()}
    if rank != 0:
        return None
    results.update(_finished(folder, made, overwrite))
    good = sorted(results)
    merged = Embeddings(
        [names[i] for i in good],
        np.array([results[i] for i in good], np.float32),
        labels and np.array([labels[i] for i in good], np.int64),
        videos.class_names, [dict(index=i, video=names[i], error=errors[i])
                             for i in sorted(errors)], made)
    if good:
        write_embeddings(out, merged)
    shutil.rmtree(folder, ignore_errors=True)  # _finished knows its files
    if not good:
        raise ValueError(f'none of the {len(names)} videos could be read; '
                         f'{names[0]}: {errors[0]}')
    return merged


def _check_same(source: str, made: Mapping[str, Any],
                asked: Mapping[str, Any]) -> None:
    """Refuse to mix embeddings of two models, settings or lists."""
    different = differences(made, asked, NOTES)
    if different:
        by = ', '.join(str(made[name]) for name in ('config', 'checkpoint')
                       if made.get(name))
        raise ValueError(
            f'{source} was made differently{", with " + by if by else ""} '
            f'({"; ".join(different)}); rename --out, or add --overwrite')


def _embed(results_of: Callable, videos: VideoSet, indices: Sequence[int],
           errors: Dict[int, str],
           bar: tqdm) -> Iterator[Tuple[int, np.ndarray]]:
    """Yield index and embedding [D] of videos; put errors into a dict."""
    rows: Dict[str, List[int]] = {}  # a list may name a file twice
    for i in indices:
        rows.setdefault(videos.paths[i], []).append(i)
    inputs = [VideoInput(videos.names[same[0]], path)
              for path, same in rows.items()]
    for number, result in results_of(inputs):
        same = rows[inputs[number].path]
        if 'error' in result:
            bar.write(str(UnreadableVideo(result['video'], result['error'])),
                      file=sys.stderr)
            errors.update(dict.fromkeys(same, result['error']))
        else:
            for i in same:
                yield i, result['embedding']
        bar.update(len(same))


def gathered(results: Iterable[T], most: int,
             seconds: float) -> Iterator[List[T]]:
    """Yield up to ``most`` results at once, fewer after some seconds, so that
    what writes them loses little in a crash; and the last ones, also where
    Ctrl-C or an error ends the results."""
    waiting: List[T] = []
    since = time.monotonic()
    try:
        for result in results:
            waiting.append(result)
            if len(waiting) == most or time.monotonic() - since > seconds:
                yield waiting
                waiting, since = [], time.monotonic()
    except (Exception, KeyboardInterrupt, SystemExit):
        if waiting:
            yield waiting
        raise
    if waiting:
        yield waiting


def _finished(folder: Path, made: Dict[str, Any],
              overwrite: bool) -> Dict[int, np.ndarray]:
    """Return embeddings [D] by index; refuse, or remove, other work. It lies
    in files of embeddings, one process each, whose names are indices in the
    list."""
    done: Dict[int, np.ndarray] = {}
    for path in sorted(folder.glob('*')):
        if not _PART.fullmatch(path.name):
            raise ValueError(f'{folder} is needed for unfinished work and '
                             f'holds {path.name}; move that away')
        try:
            part = read_embeddings(str(path))
        except ValueError:  # a machine went down: its videos are done again
            continue
        if not overwrite:
            _check_same(str(folder), part.record, made)
        if differences(part.record, made, NOTES):
            path.unlink()
        else:
            done.update(zip(map(int, part.names), part.embeddings))
    return done
