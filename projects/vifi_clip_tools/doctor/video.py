"""Look at videos: what they are, and whether training could read them."""
import faulthandler
import hashlib
import multiprocessing
import os
import re
import signal
import stat
import sys
from concurrent.futures import FIRST_COMPLETED, TimeoutError, wait
from dataclasses import dataclass, replace
from typing import (Any, Callable, Dict, Iterator, List, Optional, Sequence,
                    Tuple)

import cv2
import numpy as np

from projects.vifi_clip.datasets.video_reader import (check_file, is_whole,
                                                      open_container,
                                                      open_with_decord,
                                                      upright)
from projects.vifi_clip.errors import UnreadableVideo

from .fingerprint import fingerprint

# Start, quarters and end. The fingerprint is of the quarters, as many videos
# begin and end in black.
_PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class VideoJob:
    """What to look at: a file; all frames, not just five; with PyAV alone."""

    path: str
    full: bool
    spare_decord: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of a video."""

    status: str  # 'ok', or the name of a check that it fails
    detail: str = ''  # why
    size: Optional[int] = None  # bytes
    sha256: Optional[str] = None  # of the content
    frames: Optional[int] = None
    width: Optional[int] = None  # pixels
    height: Optional[int] = None
    fps: Optional[float] = None  # on average
    prints: Optional[bytes] = None  # see fingerprint.py
    damage: str = ''  # of the pictures, though they decode

    @property
    def seconds(self) -> Optional[float]:
        """Duration, where it is known."""
        return self.frames / self.fps if self.frames and self.fps else None


@dataclass(frozen=True)
class Lost:
    """A job whose process died or was too slow, and how it ended."""

    timed_out: bool
    reason: str


def check_video(job: VideoJob) -> Facts:
    """Look at one video; decord may crash the process or hang."""
    # There is a process for each core already. 0 and not 1, which would end
    # OpenCV's threads, and in a fork wait for ever for the parent's.
    cv2.setNumThreads(0)
    try:
        # Reading a pipe or a device may never end.
        if not stat.S_ISREG(os.stat(job.path).st_mode):
            return Facts('unreadable', 'not a regular file')
        with open(job.path, 'rb') as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return Facts('missing', 'no such file')
    except OSError as error:
        return Facts('unreadable', error.strerror or str(error))
    except ValueError as error:  # a path that no file can have
        return Facts('unreadable', str(error))
    if not data:
        return Facts('empty', '0 bytes', size=0)
    known = dict(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    try:
        check_file(data)
    except UnreadableVideo as error:
        return Facts('cut_short', error.reason, **known)
    if job.spare_decord:
        return replace(_with_pyav(data), prints=None, **known)
    try:
        seen = _with_decord(data, job.full)
        damage = _damage(data) if job.full else ''
        return Facts('ok', damage=damage, **known, **seen)
    except ImportError:  # not installed: training goes through PyAV
        facts = replace(_with_pyav(data), **known)
        return (replace(facts, status='ok', detail='')
                if facts.status == 'not_decord' else facts)
    except MemoryError:  # this machine's fault, not the video's
        raise
    except Exception as error:
        why = f'decord: {_first_line(error)}'
    facts = _with_pyav(data)
    return replace(facts, detail=f'{why}; {facts.detail}', **known)


def after_loss(lost: Lost, other: Any) -> Facts:
    """Return the facts on a video that decord crashed or hung on, from how
    its process ended and what PyAV alone says (Facts, or Lost too)."""
    status = 'timed_out' if lost.timed_out else 'crashed'
    if isinstance(other, Lost):
        return Facts(status, f'{lost.reason}; PyAV too')
    if other.status in ('missing', 'empty', 'cut_short'):
        return other
    return replace(
        other, status=status, detail=f'{lost.reason}; {other.detail}')


def _places(total: int) -> List[int]:
    return [round(place * (total - 1)) for place in _PLACES]


def _look(frames: List[np.ndarray], total: int, fps: float) -> Dict:
    """What the five frames tell."""
    height, width = frames[0].shape[:2]
    return dict(frames=total, width=int(width), height=int(height),
                fps=round(float(fps), 3), prints=fingerprint(frames[1:-1]))


def _with_decord(data: bytes, full: bool) -> Dict:
    reader = open_with_decord(data)
    total = len(reader)
    if total == 0:
        raise ValueError('it has no frames, or its container does not say '
                         'how many')
    places = _places(total)
    if not full:
        frames = list(reader.get_batch(places).asnumpy())
    else:
        kept = {}
        for i in range(total):
            try:
                frame = reader.next()
            except StopIteration:
                raise ValueError(f'frames end at {i} of {total}') from None
            if i in places:
                kept[i] = frame.asnumpy()
        frames = [kept[i] for i in places]
    return _look(frames, total, reader.get_avg_fps())


def _decoded(data: bytes) -> Iterator[Any]:
    """Frames of PyAV after the stream that they are of."""
    with open_container(data) as container:
        stream = container.streams.video[0]
        # A process for each core already; with frame threads FFmpeg would
        # not say what is wrong.
        stream.thread_type = 'SLICE'
        yield stream
        yield from container.decode(stream)


def _with_pyav(data: bytes) -> Facts:
    """Tell a video that decord alone cannot read from a broken one."""
    pictures, total = {}, 0
    try:
        frames = _decoded(data)
        stream = next(frames)
        promised, fps = stream.frames, float(stream.average_rate or 0)
        places = _places(promised or 1)
        for total, frame in enumerate(frames, 1):
            if total - 1 in places:
                pictures[total - 1] = upright(frame)
        if not total:
            raise ValueError('it has no frames')
    except Exception as error:
        return Facts('unreadable', f'PyAV: {_first_line(error)}')
    last = pictures[max(pictures)]
    seen = _look([pictures.get(i, last) for i in places], total, fps)
    if not is_whole(total, promised):
        seen.pop('prints')
        return Facts('unreadable', f'PyAV: {total} of {promised} frames',
                     **seen)
    return Facts('not_decord', f'PyAV reads it: {total} frames', **seen)


def _damage(data: bytes) -> str:
    """decord gives out a spoilt picture without a word; PyAV marks it."""
    total = spoilt = 0
    try:
        frames = _decoded(data)
        next(frames)
        for total, frame in enumerate(frames, 1):
            spoilt += bool(frame.is_corrupt)
    except Exception as error:
        return f'PyAV after {total} frames: {_first_line(error)}'
    return f'{spoilt} of {total} frames' if spoilt else ''


def _first_line(error: BaseException) -> str:
    error = error.__cause__ or error  # FFmpeg's own
    # decord's messages hold the time of day and lines of its source.
    text = re.sub(r'\[\d+:\d+:\d+\] \S+:\d+: ', '', str(error))
    # PyAV's hold FFmpeg's number, and the name of a file, here of none.
    text = re.sub(r"^\[Errno -?\d+\] |: '<none>'$", '', text.strip())
    lines = text.strip().splitlines() or ['no message']
    return f'{type(error).__name__}: {lines[0]}'


# Processes that may crash or hang without taking the run along


def supervise(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int,
              timeout: float) -> Iterator[Tuple[int, Any]]:
    """Do jobs in processes that are replaced when they die or hang.

    ``multiprocessing.Pool`` waits for ever for a process that crashed, and
    ``ProcessPoolExecutor`` gives up all jobs with it; decoders do crash.

    Yields the index of each job and its result, in the order in which they
    end; :class:`Lost` also for what ``work`` raises, so that one video cannot
    end the check of a hundred thousand.
    """
    from pebble import ProcessExpired, ProcessPool

    # A fork has torch imported already, and has it in the same memory. No
    # thread holds anything here that a child needs. Elsewhere than on Linux
    # it is not safe.
    kind = 'fork' if sys.platform.startswith('linux') else 'spawn'
    pool = ProcessPool(
        min(workers, len(jobs)), initializer=_begin,
        context=multiprocessing.get_context(kind))
    running: Dict[Any, int] = {}
    pending = iter(enumerate(jobs))
    try:
        while True:
            # Not all at once, which would take much memory for nothing.
            while len(running) < 2 * workers:
                index, job = next(pending, (None, None))
                if index is None:
                    break
                running[pool.schedule(_attempt, (work, job),
                                      timeout=timeout)] = index
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                try:
                    result = future.result()
                except TimeoutError:
                    result = Lost(True, f'no answer within {timeout:g} s')
                except ProcessExpired as error:
                    code = error.exitcode
                    how = f'ended the process with code {code}'
                    if code < 0:
                        how = f'killed by {signal.Signals(-code).name}'
                    if code == -signal.SIGKILL:
                        how += ' (out of memory?)'
                    result = Lost(False, how)
                yield running.pop(future), result
    finally:
        pool.stop()
        pool.join()


def _attempt(work: Callable[[Any], Any], job: Any) -> Any:
    try:
        return work(job)
    except Exception as error:
        return Lost(False, f'{type(error).__name__}: {error}')


def _begin() -> None:
    """Prepare a process: no words of FFmpeg in the progress bar, no dump of
    each crash, no life after its parent's."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.disable()
    sink = os.open(os.devnull, os.O_WRONLY)
    for stream in 1, 2:
        os.dup2(sink, stream)
    os.close(sink)
    try:
        import ctypes
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    except (ImportError, ValueError, OSError, AttributeError):
        pass  # not on this system
