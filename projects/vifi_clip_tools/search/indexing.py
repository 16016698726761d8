"""Bring an index up to date with videos on disk."""
import glob
import os
import os.path as osp
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from typing import (Any, Callable, Dict, Iterable, Iterator, List, Optional,
                    Tuple)

import numpy as np
import torch.nn.functional as F
from tqdm import tqdm

from projects.vifi_clip.apis.familiarity import UNLIKE
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import VideoInput, expand_inputs, is_url
from projects.vifi_clip.apis.pipeline import Views, parse_views
from projects.vifi_clip.errors import UserError, need
from ..cli.cluster import by_method, numbered
from ..cli.options import CONFIG, EngineOptions, ModelOptions
from ..cli.outputs import check_target
from ..embeddings.job import gathered
from .options import IndexOptions
from .querying import shorten
from .record import identity_of
from .store import MIN_ROWS, WHOLE, Entry, State, VideoIndex


@dataclass
class Outcome:
    """What :func:`index_videos` did."""
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    vanished: List[str] = field(default_factory=list)  # no longer on disk
    # path and reason of videos that cannot be read; they are not in the index
    failed: List[Tuple[str, str]] = field(default_factory=list)
    # videos that a bundled small model knows nothing of
    unlike: List[str] = field(default_factory=list)


def index(options: IndexOptions) -> Optional[int]:
    """Run ``vifi-clip index``; 1 if a video could not be read."""
    need('lancedb', 'search')
    views = parse_views(options.num_views or '1')
    try:
        if options.videos:
            videos, outcome = _update(options, views)
        else:  # needs no model
            videos, outcome = VideoIndex(options.index), Outcome()
            if options.prune:
                outcome.vanished = find_vanished(videos.videos())
                videos.remove(outcome.vanished)
                videos.compact()
                outcome.unchanged = len(videos.videos())
        _report(options, outcome)
        if options.ann and len(videos) < MIN_ROWS:
            print(f'--ann was ignored: {len(videos)} embeddings are searched '
                  'exactly in milliseconds;\nit is worthwhile from '
                  f'{MIN_ROWS} on')
        elif options.ann:
            print(f'Building {options.ann} over {len(videos)} embeddings ...',
                  flush=True)
            videos.build_ann(options.ann)
            videos.compact()
    except KeyboardInterrupt:
        print('\nstopped; finished work is kept, and the same command resumes '
              'it', file=sys.stderr)
        raise
    return 1 if outcome.failed else None


def _update(options: IndexOptions,
            views: Views) -> Tuple[VideoIndex, Outcome]:
    find_files(options.videos)  # refuses what is no file
    check_target('--index', osp.join(options.index, 'index.json'),
                 ('.json', ))
    try:
        videos = VideoIndex(options.index)
    except FileNotFoundError:
        model = replace(options.model, config=options.model.config or CONFIG)
        inferencer = options.engine.here(model).load(views=[views])
        inferencer.check_texts_alone()
        videos = VideoIndex.create(options.index, identity_of(
            inferencer, model, options.num_views or '1'))
    else:
        model = videos.model_options(options.model)
        num_views = videos.identity.num_views
        if options.num_views not in (None, num_views):
            raise ValueError(f'--num-views {options.num_views}: the index '
                             f'{options.index} has --num-views {num_views}')
        inferencer = options.engine.here(model).load()
    return videos, index_videos(
        videos, inferencer, options.videos, options.window,
        options.batch_size, options.prune, True, model, options.engine)


def _report(options: IndexOptions, outcome: Outcome) -> None:
    print(f'{options.index}: {outcome.added} added, {outcome.changed} '
          f'changed, {outcome.unchanged} unchanged, {len(outcome.failed)} '
          'failed')
    gone = outcome.vanished
    if gone and options.prune:
        print(f'{len(gone)} no longer on disk, removed from the index')
    elif gone:
        print(f'{len(gone)} no longer on disk, e.g. {shorten(gone[0], 50)}\n'
              '(--prune removes them from the index)')
    if outcome.unlike:
        print(f'warning: {len(outcome.unlike)} videos, such as '
              f'{shorten(outcome.unlike[0], 50)}: {UNLIKE}', file=sys.stderr)
    for path, reason in outcome.failed:
        print(f'failed: {shorten(path, 72)}\n  {shorten(reason, 78)}',
              file=sys.stderr)


def index_videos(index: VideoIndex, inferencer: ViFiCLIPInferencer,
                 videos: Any, window: Optional[float] = None,
                 batch_size: int = 1, prune: bool = False,
                 show_progress: bool = False,
                 model: Optional[ModelOptions] = None,
                 engine: EngineOptions = EngineOptions()) -> Outcome:
    """Embed what is new or changed; skip what is not.

    A video is unchanged if its size, its time of change and ``window`` are.
    What was done stays if this is interrupted.

    ``videos`` are files, folders and patterns. With a ``window`` in seconds,
    each has an embedding for each window. ``prune`` forgets the vanished
    among ``videos``, which are only reported by default.
    """
    files = find_files(videos)
    index.check(inferencer, model)
    writes = 0
    with index.writing():
        known = index.videos()
        outcome = Outcome(vanished=find_vanished(known, videos))
        todo = _todo(files, known, window, outcome)
        with tqdm(total=len(todo), unit='video',
                  disable=not (show_progress and todo)) as bar:
            work = _work(index, window, batch_size)
            results = _entries(index, todo, outcome, known, bar, numbered(
                work, [VideoInput(path, path) for path in todo], engine,
                inferencer, model.device if model else 'auto'))
            # What is lost when the power goes: 32 videos, or 5 seconds.
            for entries in gathered(results, 32, 5.):
                index.add(entries)
                writes += 1
                if writes % 64 == 0:  # each write is a file; they are joined
                    index.compact()
        if prune:
            index.remove(outcome.vanished)
        if writes or prune and outcome.vanished:
            index.compact()
    return outcome


def find_files(videos: Any) -> List[str]:
    """Return absolute paths of video files, each once; refuse web addresses
    and arrays, of which nothing could tell whether they have changed."""
    files = {}
    for video in expand_inputs(videos):
        if video.path is None or is_url(video.path):
            raise ValueError(f'An index holds files, and {video.name} is not '
                             'one: save it first')
        files[osp.abspath(video.path)] = None
    return list(files)


def find_vanished(known: Dict[str, State], videos: Any = None) -> List[str]:
    """Return the videos of an index that are no longer on disk; only those
    in ``videos`` (folders, patterns), if given, so that a disk that is not
    mounted is not taken for deleted videos."""
    if isinstance(videos, (str, os.PathLike)):
        videos = [videos]
    roots = [''] if videos is None else []
    for item in map(os.fspath, videos or ()):
        if not osp.exists(item):
            while glob.has_magic(item):
                item = osp.dirname(item)
        item = osp.abspath(item)
        roots.append(item if osp.isfile(item) else osp.join(item, ''))
    return sorted(path for path in known if path.startswith(tuple(roots))
                  and not osp.exists(path))


def _todo(files: List[str], known: Dict[str, State], window: Optional[float],
          outcome: Outcome) -> Dict[str, State]:
    """Return the files that are not in the index as they are now."""
    todo = {}
    for path in files:
        try:  # before it is read: a change meanwhile is seen next time
            path.encode()
            status = os.stat(path)
        except UnicodeEncodeError:
            name = path.encode(errors='replace').decode()
            outcome.failed.append((name, 'its name is not UTF-8; rename it'))
            continue
        except OSError as error:
            outcome.failed.append((path, error.strerror))
            continue
        state = State(status.st_size, status.st_mtime_ns, window)
        if known.get(path) == state:
            outcome.unchanged += 1
        else:
            todo[path] = state
    return todo


def _work(index: VideoIndex, window: Optional[float],
          batch_size: int) -> Callable:
    """Return what embeds videos, called with a model and a list of them."""
    if window is not None:
        return partial(_embed_each, window=window)
    return partial(
        by_method, name='embed', batch_size=batch_size, on_error='report',
        num_views=parse_views(index.identity.num_views))


def _entries(index: VideoIndex, todo: Dict[str, State], outcome: Outcome,
             known: Dict[str, State], bar: tqdm,
             results: Iterable[Tuple[int, Dict[str, Any]]]
             ) -> Iterator[Entry]:
    """Yield the entries of videos, and note the outcome of each."""
    paths = list(todo)
    for number, result in results:
        path = paths[number]
        bar.update()
        if 'error' in result:
            outcome.failed.append((path, result['error']))
            if path in known:  # what it was is no longer there
                index.remove([path])
            continue
        outcome.changed += path in known
        outcome.added += path not in known
        if 'warning' in result:
            outcome.unlike.append(path)
        vectors = np.atleast_2d(result['embedding'])
        yield Entry(path, todo[path], vectors, result.get('spans', WHOLE))


def _embed_each(inferencer: ViFiCLIPInferencer, videos: List[VideoInput],
                window: float) -> Iterator[Dict[str, Any]]:
    """Embed the windows of videos."""
    for video in videos:
        yield _embed_windows(inferencer, video, window)


def _embed_windows(inferencer: ViFiCLIPInferencer, video: VideoInput,
                   window: float) -> Dict[str, Any]:
    """Embed the windows of a video, in the form of ``inferencer.embed``."""
    try:
        windows = inferencer.window_embeddings(video, window, window)
        unlike = inferencer.is_bundled and inferencer.unlike(
            inferencer.sample(video).images)
    except UserError as error:  # unreadable, or too many windows
        return dict(error=getattr(error, 'reason', str(error)))
    vectors = F.normalize(windows.embeddings, dim=-1).cpu().numpy()
    return dict(embedding=vectors, spans=windows.spans,
                **dict(warning=UNLIKE) if unlike else {})
