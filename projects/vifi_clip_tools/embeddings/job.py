"""Embed a list of videos into a file; stopped work goes on."""
import hashlib
import json
import os.path as osp
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
from tqdm import tqdm

from projects.vifi_clip.apis.identity import NOTES, differences, record
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import (VideoInput, expand_inputs,
                                            read_labels)
from projects.vifi_clip.apis.pipeline import Views, parse_views
from projects.vifi_clip.apis.processes import join_processes, wait_for_all
from projects.vifi_clip.datasets.video_list import (find_missing,
                                                    read_video_list)
from projects.vifi_clip.errors import UnreadableVideo, UserError, need
from ..cli.options import ModelOptions
from ..cli.outputs import check_target
from .buffer import Buffer
from .file import Embeddings, read_embeddings, write_embeddings
from .options import SUFFIXES, EmbedOptions

MOST_VIDEOS, MOST_SECONDS = 16, 20.  # what a crash can lose of a process


@dataclass
class VideoSet:
    """N videos."""
    names: List[str]  # in the file of embeddings
    paths: List[str]
    labels: Optional[List[int]] = None  # 0..K-1, if they are known
    class_names: Optional[List[str]] = None  # K

    def __len__(self) -> int:
        return len(self.names)

    def digest(self) -> str:
        """Return a digest of names and labels, which tells lists apart."""
        text = json.dumps([self.names, self.labels])
        return hashlib.sha256(text.encode()).hexdigest()


def embed(options: EmbedOptions) -> Optional[int]:
    """Run ``vifi-clip embed``.

    Returns:
        int, optional: 1, if a video could not be read.

    Raises:
        FileNotFoundError: A list, folder, config or checkpoint is absent.
        ValueError: A bad line, an unwritable output, or stopped work of
            another model or setting.
    """
    out, given = options.out, options.videos
    check_target('--out', out, SUFFIXES)
    if out.lower().endswith('.parquet'):
        need('pyarrow', 'search')
    if osp.exists(out) and not options.overwrite:
        read_embeddings(out)  # before the model: is it one of ours?
    views = parse_views(given.num_views)
    videos = read_videos(given.videos, given.root, given.classes)
    join_processes()
    try:
        result = embed_videos(
            options.model.load(), videos, out, views, given.batch_size,
            options.overwrite, options.model)
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on from here',
              file=sys.stderr)
        raise
    if result is None:  # the first process reports
        return None
    lost = len(result.failed)
    print(f'{out}: {len(result)} videos, D = {result.embeddings.shape[1]}'
          + (f', {lost} could not be read' if lost else ''))
    return 1 if lost and not options.allow_bad else None


def read_videos(inputs: Sequence[str],
                root: Optional[str] = None,
                classes: Optional[str] = None) -> VideoSet:
    """Find the videos to embed.

    Args:
        inputs (Sequence[str]): One list (``.txt``) of ``name label`` lines,
            as MMAction2 has them, or of names alone; or folders, patterns
            and files.
        root (str, optional): Folder that the names of a list start from.
            Defaults to the working directory.
        classes (str, optional): Class names of a list's labels: a file, or
            names with commas between.

    Returns:
        VideoSet: In the order given.

    Raises:
        FileNotFoundError: No list, or no video at all.
        ValueError: A bad line, a label without a class, or options that
            belong to a list.
    """
    if len(inputs) == 1 and inputs[0].endswith('.txt'):
        return _read_list(inputs[0], root, classes)
    for option, value in dict(root=root, classes=classes).items():
        if value is not None:
            raise ValueError(f'--{option} belongs to a list of videos; give '
                             'one .txt file of "name label" lines')
    for path in inputs:
        if path.endswith('.txt'):
            raise ValueError(f'{path}: give one list and nothing beside it')
    videos = expand_inputs(list(inputs))
    for video in videos:
        if video.path is None:
            raise UserError(f'{video.name} is no video file')
    return VideoSet([v.name for v in videos], [v.path for v in videos])


def _read_list(path: str, root: Optional[str],
               classes: Optional[str]) -> VideoSet:
    if not osp.isfile(path):
        raise FileNotFoundError(f'No such list of videos: {path}')
    if root is not None and not osp.isdir(root):
        raise FileNotFoundError(f'--root {root} is no folder; give the one '
                                f'that the names in {path} start from')
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
            f'{paths[0]}; --root FOLDER says where their names start from')
    if labels[0] < 0:
        if classes is not None:
            raise ValueError(f'--classes: {path} has names and no labels')
        labels = None
    return VideoSet(names, paths, labels, class_names)


def embed_videos(inferencer: ViFiCLIPInferencer,
                 videos: VideoSet,
                 out: str,
                 num_views: Views = 1,
                 batch_size: int = 1,
                 overwrite: bool = False,
                 model: Optional[ModelOptions] = None
                 ) -> Optional[Embeddings]:
    """Embed videos and write a file of them.

    Under torchrun the processes share the videos, and the first writes the
    file. What is finished lies in ``<out>.parts`` until then; the same call
    goes on from there, with any number of processes. A file that is complete
    is left as it is, but videos that could not be read are tried again.

    Args:
        inferencer (ViFiCLIPInferencer): The model.
        videos (VideoSet): N videos.
        out (str): ``.npz`` or ``.parquet`` file.
        num_views: As of ``inferencer.embed``. Defaults to 1.
        batch_size (int): Videos at once. Defaults to 1.
        overwrite (bool): Replace what is there and is not of this model,
            setting and list. Defaults to False.
        model (ModelOptions, optional): What the model was loaded from, for
            the file's record.

    Returns:
        Embeddings, optional: What the file holds; None in other processes
        than the first.

    Raises:
        ValueError: What is there is of another model, setting or list, or
            not a single video could be read.
    """
    rank, world = join_processes()
    notes = {} if model is None else dict(
        config=model.config, checkpoint=model.checkpoint,
        inference=model.inference or {})
    made = dict(record(inferencer, num_views, **notes), list=videos.digest())
    folder = Path(f'{out}.parts')
    todo, results = list(range(len(videos))), {}
    if osp.exists(out) and not overwrite:
        before = read_embeddings(out)
        _check_same(out, before.record, made)
        todo = [failed['index'] for failed in before.failed]
        if rank == 0 and not todo:
            _remove_parts(folder)
        elif rank == 0:
            print(f'{out}: {len(before)} embedded before; trying again what '
                  f'could not be read ({len(todo)})', file=sys.stderr)
        if not todo:
            return before if rank == 0 else None
        results = dict(zip((i for i in range(len(videos)) if i not in todo),
                           before.embeddings))
    if rank == 0:
        _check_parts(folder, made, overwrite)
    wait_for_all()
    done = _read_parts(folder)
    left = [i for i in todo if i not in done]
    wait_for_all()  # all have read before one writes
    with tqdm(total=len(todo), initial=len(todo) - len(left), unit='video',
              desc='embed', disable=rank > 0) as bar, \
            Buffer(partial(_write_part, folder, made), MOST_VIDEOS,
                   MOST_SECONDS) as buffer:
        _embed(inferencer, videos, left[rank::world], num_views, batch_size,
               buffer, bar)
    wait_for_all()
    if rank != 0:
        return None
    results.update(_read_parts(folder))
    merged = _merge(videos, results, made)
    if len(merged):
        write_embeddings(out, merged)
    _remove_parts(folder)
    if not len(merged):
        raise ValueError(
            f'none of the {len(videos)} videos could be read; '
            f'{merged.failed[0]["video"]}: {merged.failed[0]["error"]}')
    return merged


def _check_same(source: str, made: Mapping[str, Any],
                asked: Mapping[str, Any]) -> None:
    """Refuse to mix embeddings of two models, settings or lists."""
    different = differences(made, asked, NOTES)
    if different:
        by = ', '.join(str(made[name]) for name in ('config', 'checkpoint')
                       if made.get(name))
        raise ValueError(
            f'{source} was made{" with " + by if by else ""} otherwise than '
            f'asked now ({"; ".join(different)}); choose another name for '
            'the output, or add --overwrite')


def _embed(inferencer: ViFiCLIPInferencer, videos: VideoSet,
           indices: Sequence[int], num_views: Views, batch_size: int,
           buffer: Buffer, bar: tqdm) -> None:
    """Put index and result, an embedding [D] or an error, into a buffer."""
    rows: Dict[str, List[int]] = {}  # a list may name a file twice
    for i in indices:
        rows.setdefault(videos.paths[i], []).append(i)
    inputs = [VideoInput(videos.names[same[0]], path)
              for path, same in rows.items()]
    results = inferencer.embed(inputs, num_views=num_views,
                               batch_size=batch_size, on_error='report'
                               ) if inputs else ()
    for same, result in zip(rows.values(), results):
        if 'error' in result:
            bar.write(str(UnreadableVideo(result['video'], result['error'])),
                      file=sys.stderr)
        for i in same:
            buffer.add((i, result.get('error', result.get('embedding'))))
        bar.update(len(same))


def _merge(videos: VideoSet, results: Mapping[int, Any],
           made: Dict[str, Any]) -> Embeddings:
    """Bring all results into the order of the list."""
    for i in range(len(videos)):
        if i not in results:  # another process ended early
            raise ValueError(f'the result of {videos.names[i]} is missing; '
                             'run the same command again')
    good = [i for i in range(len(videos)) if not isinstance(results[i], str)]
    failed = [dict(index=i, video=videos.names[i], error=results[i])
              for i in range(len(videos)) if isinstance(results[i], str)]
    return Embeddings(
        [videos.names[i] for i in good],
        np.array([results[i] for i in good], np.float32),
        None if videos.labels is None else np.array(
            [videos.labels[i] for i in good], np.int64),
        videos.class_names, failed, made)


# Finished work: a folder beside the file to be, with files of embeddings
# whose names are indices in the list. Each process writes its own.
_PART = re.compile(r'\.?(job\.json|[0-9]{8}\.npz)(\.tmp)?')


def _write_part(folder: Path, made: Dict[str, Any], results: list) -> None:
    good = [(str(i), e) for i, e in results if not isinstance(e, str)]
    failed = [dict(index=i, error=e) for i, e in results
              if isinstance(e, str)]
    vectors = np.array([e for _, e in good], np.float32)
    write_embeddings(
        str(folder / f'{results[0][0]:08d}.npz'),  # an index comes once
        Embeddings([i for i, _ in good], vectors.reshape(len(good), -1 if good
                                                         else 0),
                   failed=failed, record=made))


def _parts(folder: Path) -> List[Embeddings]:
    parts = []
    for path in sorted(folder.glob('[0-9]*.npz')):
        try:
            parts.append(read_embeddings(str(path)))
        except ValueError:  # a machine went down: its videos are done again
            continue
    return parts


def _read_parts(folder: Path) -> Dict[int, Any]:
    """Return an embedding [D], or an error's text, by index."""
    results: Dict[int, Any] = {}
    for part in _parts(folder):
        results.update(zip(map(int, part.names), part.embeddings))
        results.update((f['index'], f['error']) for f in part.failed)
    return results


def _check_parts(folder: Path, made: Dict[str, Any],
                 overwrite: bool) -> None:
    """Refuse a folder of something else; forget work that is not asked for.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        if not _PART.fullmatch(path.name):
            raise ValueError(f'{folder} is needed for unfinished work and '
                             f'holds {path.name}; move that away')
    try:
        for part in _parts(folder):
            _check_same(str(folder), part.record, made)
    except ValueError:
        if not overwrite:
            raise
        _remove_parts(folder)


def _remove_parts(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if _PART.fullmatch(path.name):
            path.unlink()
    with suppress(OSError):  # it is not there, or holds something else
        folder.rmdir()
