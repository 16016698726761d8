"""Bring an index up to date with videos on disk."""
import glob
import os
import os.path as osp
import time
from dataclasses import dataclass, field
from typing import (Any, Callable, Dict, Iterator, List, Optional, Sequence,
                    Tuple)

import numpy as np

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.apis.identity import identity_of
from .rows import Entry, State
from .store import VideoIndex
from projects.vifi_clip.apis.windows import embed_windows

# What is lost when the power goes: this many videos or seconds of work.
_VIDEOS, _SECONDS = 32, 5.
# Each write is a file; after this many they are joined.
_WRITES = 64


@dataclass
class Outcome:
    """What :func:`index_videos` did.

    Args:
        added, changed, unchanged (int): Videos.
        vanished (list[str]): In the index and no longer on disk.
        failed (list[tuple[str, str]]): Path and reason of videos that
            cannot be read, which are not in the index.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    vanished: List[str] = field(default_factory=list)
    failed: List[Tuple[str, str]] = field(default_factory=list)


def index_videos(index: VideoIndex,
                 inferencer: Any,
                 videos: Any,
                 window: Optional[float] = None,
                 batch_size: int = 1,
                 prune: bool = False,
                 show_progress: bool = False) -> Outcome:
    """Embed what is new or changed; skip what is not.

    A video is unchanged if its size, its time of change and ``window`` are.
    What was done stays if this is interrupted.

    Args:
        index (VideoIndex): Where to.
        inferencer (ViFiCLIPInferencer): The model that made the index.
        videos: Files, folders and patterns; see :func:`expand_inputs`.
        window (float, optional): Seconds; an embedding for each window
            instead of one for the video. Defaults to None.
        batch_size (int): Videos that go through the model together.
        prune (bool): Forget the vanished videos among ``videos``. Defaults
            to False: they are only reported.
        show_progress (bool): A bar on standard error. Defaults to False.

    Raises:
        UserError: No videos, another model, or another process is writing.
        ValueError: Not a file, or a bad window.
    """
    if window is not None and not (window > 0 and np.isfinite(window)):
        raise ValueError(f'window is a length in seconds above 0, got '
                         f'{window}')
    files = find_files(videos)
    made = index.identity
    index.check(identity_of(inferencer, num_views=made.num_views,
                            inference=made.inference))
    with index.writing():
        known = index.videos()
        outcome = Outcome(vanished=find_vanished(known, videos))
        todo = _todo(files, known, window, outcome)
        results = _embed(index, inferencer, todo, window, batch_size)
        if show_progress and todo:
            from tqdm import tqdm
            results = tqdm(results, total=len(todo), unit='video')
        with _Writer(index) as writer:
            for path, state, found, error in results:
                if error is not None:
                    outcome.failed.append((path, error))
                    if path in known:  # what it was is no longer there
                        index.remove([path])
                    continue
                writer.put(Entry(path, state, *found))
                outcome.changed += path in known
                outcome.added += path not in known
        if prune:
            index.remove(outcome.vanished)
        if writer.count or prune and outcome.vanished:
            index.compact()
    return outcome


def find_files(videos: Any) -> List[str]:
    """Absolute paths of video files, each once.

    Raises:
        UserError: A path, folder or pattern without any video.
        ValueError: A web address or an array, of which nothing could tell
            whether it has changed.
    """
    from projects.vifi_clip.apis.inputs import expand_inputs, is_url
    found = {}
    for video in expand_inputs(videos):
        if video.path is None or is_url(video.path):
            raise ValueError(f'An index is of files; {video.name} is none: '
                             'save it first')
        found[osp.abspath(video.path)] = None
    return list(found)


def find_vanished(known: Dict[str, State], videos: Any = None) -> List[str]:
    """Videos of an index that are no longer on disk.

    Args:
        known (dict): Of :meth:`VideoIndex.videos`.
        videos: Look only in these folders and patterns, so that a disk that
            is not mounted is not taken for deleted videos. Defaults to None:
            everywhere.
    """
    roots = None
    if videos is not None:
        items = [videos] if isinstance(videos, (str, os.PathLike)) else videos
        roots = tuple(
            _root(os.fspath(item)) for item in items
            if isinstance(item, (str, os.PathLike)))
    return sorted(
        path for path in known
        if (roots is None or path.startswith(roots)) and not osp.exists(path))


def _root(item: str) -> str:
    """The folder, with a slash, below which an argument names videos."""
    if not osp.exists(item):
        while glob.has_magic(item):
            item = osp.dirname(item)
    item = osp.abspath(item)
    return item if osp.isfile(item) else osp.join(item, '')


def _todo(files: Sequence[str], known: Dict[str, State],
          window: Optional[float],
          outcome: Outcome) -> List[Tuple[str, State]]:
    """The files that are not in the index as they are now."""
    todo = []
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
            todo.append((path, state))
    return todo


def _embed(index: VideoIndex, inferencer: Any, todo: Sequence,
           window: Optional[float], batch_size: int) -> Iterator[tuple]:
    """Path, state, (embeddings [W, D], spans) and error of each video."""
    from projects.vifi_clip.apis.pipeline import parse_views
    from projects.vifi_clip.apis.inputs import VideoInput
    if not todo:
        return
    videos = [VideoInput(path, path) for path, _ in todo]
    if window is None:
        views = parse_views(index.identity.num_views)
        results = inferencer.embed(
            videos, num_views=views, batch_size=batch_size,
            on_error='report')
        for (path, state), result in zip(todo, results):
            error = result.get('error')
            found = None if error else (result['embedding'][None],
                                        [(None, None)])
            yield path, state, found, _short(error, path)
        return
    for (path, state), video in zip(todo, videos):
        try:
            found, error = embed_windows(inferencer, video, window), None
        except UserError as bad:
            found, error = None, str(bad)
        yield path, state, found, _short(error, path)


def _short(error: Optional[str], path: str) -> Optional[str]:
    """The reason alone, as the path is reported beside it."""
    return error and error.removeprefix(f'{path} cannot be read: ')


class _Writer:
    """Gathers entries and writes them often enough to lose little."""

    def __init__(self, index: VideoIndex,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.index, self.clock = index, clock
        self.waiting: List[Entry] = []
        self.since, self.count = clock(), 0

    def put(self, entry: Entry) -> None:
        """Keep an entry; it is written soon."""
        self.waiting.append(entry)
        if (len(self.waiting) >= _VIDEOS
                or self.clock() - self.since > _SECONDS):
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self.waiting:
            self.index.add(self.waiting)
            self.waiting, self.count = [], self.count + 1
            if self.count % _WRITES == 0:
                self.index.compact()
        self.since = self.clock()

    def __enter__(self) -> '_Writer':
        return self

    def __exit__(self, *error) -> None:
        self.flush()  # after Ctrl-C, too
