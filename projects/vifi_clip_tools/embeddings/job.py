"""Embed a list of videos into a file; stopped work goes on."""
import json
import os
import sys
from itertools import chain
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from projects.vifi_clip.apis.processes import barrier, rank_and_world
from .embed_list import VideoSet
from .embed_parts import PartFolder, PartWriter
from .file import Embeddings, read_embeddings, write_embeddings

# In a record, but for people: they do not change an embedding.
_NOTES = ('version', 'config', 'checkpoint', 'list')
_SETTINGS = ('pixel_mean', 'pixel_std', 'to_rgb', 'visual_prompts',
             'visual_activation', 'visual_heads', 'num_frames', 'fusion')


def describe(inferencer, num_views=1, **more) -> Dict[str, Any]:
    """What decides a model's embeddings, as plain values.

    Args:
        inferencer (ViFiCLIPInferencer): The model.
        num_views: As of its ``embed``.
        more: Further values, such as the config's name.

    Returns:
        dict: ``weights`` is the fingerprint of the parameters and of the
        backbone's buffers.
    """
    from projects.vifi_clip.apis.pipeline import pipeline_cfg
    from projects.vifi_clip.datasets.frame_cache import pipeline_identity
    from projects.vifi_clip.checkpoints.settings import (collect_settings,
                                                         fingerprint)
    from projects.vifi_clip.version import __version__
    model, cfg = inferencer.model, inferencer.cfg
    settings = collect_settings(model, cfg)
    # No state dict: a model changed for inference has none.
    weights = chain(model.named_parameters(), (
        (f'backbone.{name}', value)
        for name, value in model.backbone.named_buffers()))
    record = dict(
        version=__version__,
        **more,
        weights=fingerprint(weights),
        **{k: settings[k] for k in _SETTINGS if k in settings},
        num_views=num_views,
        pipeline=pipeline_identity(pipeline_cfg(cfg, num_views)))
    return json.loads(json.dumps(record))  # as it comes back from a file


def embed_videos(inferencer,
                 videos: VideoSet,
                 out: str,
                 num_views=1,
                 batch_size: int = 1,
                 overwrite: bool = False,
                 more: Optional[Mapping[str, Any]] = None
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
        more (Mapping[str, Any], optional): For the file's record: names of
            ``config`` and ``checkpoint``, settings of ``inference``.

    Returns:
        Embeddings, optional: What the file holds; None in other processes
        than the first.

    Raises:
        ValueError: What is there is of another model, setting or list, or
            not a single video could be read.
    """
    rank, world = rank_and_world()
    record = describe(inferencer, num_views, **(more or {}))
    job = dict(record=record, videos=videos.digest())
    folder, before = PartFolder(out), None
    if rank == 0:
        before, todo = _prepare(out, folder, job, len(videos), overwrite)
        if not todo:
            folder.remove()
    barrier(world)
    started = folder.job()
    if started:
        done = folder.read()
        left = [i for i in started['todo'] if i not in done]
        barrier(world)  # all have read before one writes
        mine = left[rank::world]
        _embed(inferencer, videos, mine, folder, num_views, batch_size,
               rank == 0, len(started['todo']) - len(left))
        barrier(world)
    if rank != 0:
        return None
    if not started:
        return before
    found = _merge(videos, folder.read(), before, record)
    if not len(found):
        folder.remove()  # so that the same command tries again
        raise ValueError(
            f'none of the {len(videos)} videos could be read; '
            f'{found.failed[0]["video"]}: {found.failed[0]["error"]}')
    write_embeddings(out, found)
    folder.remove()
    return found


def _prepare(out: str, folder: PartFolder, job: Dict[str, Any], number: int,
             overwrite: bool) -> Tuple[Optional[Embeddings], List[int]]:
    """What is there already, and the indices still to be embedded."""
    before, todo = None, list(range(number))
    if os.path.exists(out) and not overwrite:
        before = read_embeddings(out)
        if not before.record:
            raise ValueError(f'{out} does not say what it was made with; '
                             'choose another name, or add --overwrite')
        _check_same(dict(record=before.record,
                         videos=before.record.get('list')), job, out)
        todo = [failed['index'] for failed in before.failed]
        if todo:
            print(f'{out}: {len(before)} embedded before; trying again what '
                  f'could not be read ({len(todo)})', file=sys.stderr)
    started = folder.job()
    if started is not None and todo:
        try:
            _check_same(started, job, str(folder.path))
        except ValueError:
            if not overwrite:
                raise
            started = None
        if started and started.get('todo') != todo:
            started = None  # of a list of which some are there by now
    if started is None and todo:
        folder.start(dict(job, todo=todo))
    return before, todo


def _check_same(made: Mapping[str, Any], wanted: Mapping[str, Any],
                place: str) -> None:
    """Refuse to mix embeddings of two models, settings or lists."""
    differs = []
    there, here = made.get('record') or {}, wanted['record']
    for name in sorted(set(there) | set(here)):
        if name in _NOTES or there.get(name) == here.get(name):
            continue
        if name in ('weights', 'pipeline'):
            differs.append(f'other {name}')
        else:
            differs.append(f'{name} {there.get(name)} there and '
                           f'{here.get(name)} here')
    if made.get('videos') != wanted['videos']:
        differs.append('another list of videos or labels')
    if differs:
        by = ', '.join(str(there[n]) for n in ('config', 'checkpoint')
                       if there.get(n))
        raise ValueError(
            f'{place} was made{" with " + by if by else ""} otherwise than '
            f'asked now ({"; ".join(differs)}); choose another name for the '
            'output, or add --overwrite')


def _embed(inferencer, videos: VideoSet, mine: List[int], folder: PartFolder,
           num_views, batch_size: int, show: bool, done: int) -> None:
    from tqdm import tqdm

    from projects.vifi_clip.apis.inputs import VideoInput
    if not mine:
        return
    places: Dict[str, List[int]] = {}  # a list may name a file twice
    for i in mine:
        places.setdefault(videos.paths[i], []).append(i)
    inputs = [VideoInput(videos.names[same[0]], path)
              for path, same in places.items()]
    stream = inferencer.embed(inputs, num_views=num_views,
                              batch_size=batch_size, on_error='report')
    with tqdm(total=len(mine) + done, initial=done, unit='video',
              desc='embed', disable=not show) as bar, \
            PartWriter(folder) as writer:
        for same, result in zip(places.values(), stream):
            name, error = result['video'], str(result.get('error', ''))
            error = ' '.join(error.split()).removeprefix(
                f'{name} cannot be read: ')
            if error:
                bar.write(f'{name} cannot be read: {error}',
                          file=sys.stderr)
            for index in same:
                writer.add(index, result.get('embedding'), error)
            bar.update(len(same))


def _merge(videos: VideoSet, done: Mapping[int, Any],
           before: Optional[Embeddings], record: Dict[str, Any]
           ) -> Embeddings:
    """All results in the order of the list."""
    results = dict(done)
    if before is not None:
        again = {failed['index'] for failed in before.failed}
        kept = [i for i in range(len(videos)) if i not in again]
        results.update(zip(kept, before.embeddings))
    lost = [i for i in range(len(videos)) if i not in results]
    if lost:
        raise ValueError(f'{len(lost)} results are missing, such as that of '
                         f'{videos.names[lost[0]]}; run the same command '
                         'again')
    good = [i for i in range(len(videos)) if not isinstance(results[i], str)]
    failed = [dict(index=i, video=videos.names[i], error=results[i])
              for i in range(len(videos)) if isinstance(results[i], str)]
    return Embeddings(
        [videos.names[i] for i in good],
        np.array([results[i] for i in good], np.float32),
        None if videos.labels is None else np.array(
            [videos.labels[i] for i in good], np.int64),
        videos.class_names, failed, dict(record, list=videos.digest()))
