"""Look at videos: what they are, and whether training could read them."""
import faulthandler
import gc
import hashlib
import multiprocessing
import os
import signal
import stat
import sys
from concurrent.futures import FIRST_COMPLETED, TimeoutError, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

import cv2
import numpy as np

from projects.vifi_clip.datasets.containers import VideoCutShort
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.errors import UnreadableVideo

from .fingerprint import fingerprint

# Start, quarters and end. The fingerprint is of the quarters, as many videos
# begin and end in black.
_PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)


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


def check_video(path: str, full: bool) -> Facts:
    """Look at one video, at five frames or at all."""
    # There is a process for each core already. 0 and not 1, which would end
    # OpenCV's threads, and in a fork wait for ever for the parent's.
    cv2.setNumThreads(0)
    try:
        # Reading a pipe or a device may never end.
        if not stat.S_ISREG(os.stat(path).st_mode):
            return Facts('unreadable', 'not a regular file')
        data = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Facts('missing', 'no such file')
    except (OSError, ValueError) as error:  # a path that no file can have
        return Facts('unreadable', getattr(error, 'strerror', str(error)))
    if not data:
        return Facts('empty', '0 bytes', size=0)
    known = dict(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    try:
        video = VideoFile(data)
        total = len(video)
        frames = video.frames(
            [round(place * (total - 1)) for place in _PLACES])
        damage = _damage(data, video) if full else ''
    except VideoCutShort as error:
        return Facts('cut_short', error.reason, **known)
    except UnreadableVideo as error:
        return Facts('unreadable', error.reason, **known)
    height, width = frames[0].shape[:2]
    return Facts('ok', '', **known, frames=total, width=width, height=height,
                 fps=round(video.avg_fps, 3), prints=fingerprint(frames[1:-1]),
                 damage=damage)


def _damage(data: bytes, video: VideoFile) -> str:
    """Decode all frames in order, and compare those found by packets."""
    whole = VideoFile(data, in_order=True) if video.by_packets else video
    total = len(whole)
    if len(video) != total:
        return f'{len(video)} packets, and {total} frames'
    if whole.num_damaged:
        return f'{whole.num_damaged} of {total} frames'
    differ = sum(not np.array_equal(video.frames([index]),
                                    whole.frames([index]))
                 for index in range(total) if video.by_packets)
    return (f'{differ} of {total} frames differ when decoded in order'
            if differ else '')


# Processes that may crash or hang without taking the run along


def supervise(paths: Dict[str, str], full: bool, workers: int,
              timeout: float) -> Iterator[Tuple[str, Facts]]:
    """Look at videos (file by key) in processes that are replaced when they
    die or hang; yield the key and facts of each, in the order in which they
    end, also where :func:`check_video` fails.

    ``multiprocessing.Pool`` waits for ever for a process that crashed, and
    ``ProcessPoolExecutor`` gives up all jobs with it; decoders do crash.
    """
    from pebble import ProcessExpired, ProcessPool

    # A fork has torch imported already, and has it in the same memory. No
    # thread holds anything here that a child needs. Elsewhere than on Linux
    # it is not safe.
    kind = 'fork' if sys.platform.startswith('linux') else 'spawn'
    pool = ProcessPool(
        min(workers, len(paths)), initializer=_begin,
        context=multiprocessing.get_context(kind))
    running: Dict[Any, str] = {}
    pending = iter(paths.items())
    try:
        while True:
            # Not all at once, which would take much memory for nothing.
            for key, path in islice(pending, 2 * workers - len(running)):
                running[pool.schedule(check_video, (path, full),
                                      timeout=timeout)] = key
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                try:
                    facts = future.result()
                except TimeoutError:
                    facts = Facts('timed_out',
                                  f'no answer within {timeout:g} s')
                except ProcessExpired as error:
                    facts = Facts('crashed', _death(error.exitcode))
                except Exception as error:  # out of memory, say
                    facts = Facts('crashed',
                                  f'{type(error).__name__}: {error}')
                yield running.pop(future), facts
    finally:
        pool.stop()
        pool.join()


def _death(code: int) -> str:
    if code >= 0:
        return f'ended the process with code {code}'
    why = ' (out of memory?)' if code == -signal.SIGKILL else ''
    return f'killed by {signal.Signals(-code).name}{why}'


def _begin() -> None:
    """Prepare a process: no words of FFmpeg in the progress bar, no dump of
    each crash, no life after its parent's."""
    # A decoder that the parent left as garbage is not to be ended here: it
    # would wait for its threads, which a fork does not have.
    gc.freeze()
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
