"""Videos decoded in a process of their own, which crashes or hangs in place
of the one that reads them: FFmpeg is C, and files come from anywhere."""
import faulthandler
import gc
import math
import mmap
import os
import signal
import sys
import weakref
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any, List, Sequence

import numpy as np
from torch.utils.data import get_worker_info

from ..errors import UnreadableVideo
from .containers import Source, check_file, unreadable
from .video_file import VideoFile

_GRACE = 10.  # seconds that an answer may take beyond the video's timeout
_BUFFER = 256 << 20  # bytes for frames; memory is taken for those that come
# Elsewhere a fork is not safe, or there is none.
CAN_FORK = sys.platform.startswith('linux')


def open_video(source: Source, in_order: bool = False, num_threads: int = 1,
               timeout: float = 600.) -> VideoFile:
    """Open a video as :class:`VideoFile` does; in a data worker on Linux in a
    child process, which is kept for the next video. Elsewhere there may be
    threads, whose locks a fork would wait for."""
    contained = CAN_FORK and get_worker_info() is not None
    kind = ContainedVideo if contained else VideoFile
    return kind(source, in_order, num_threads, timeout)


class ContainedVideo(VideoFile):
    """A video in a child process; see :func:`open_video`. UnreadableVideo
    also if the child crashes, or does not answer in ``timeout`` seconds, when
    it is killed."""

    def __init__(self, source: Source, *args: Any) -> None:
        check_file(source)
        self._source, self._timeout = source, args[-1]
        self._child, self.num_damaged = _children.take(), 0
        # In a __del__, the pipe may have been closed already.
        self._finalizer = weakref.finalize(self, _children.give, self._child)
        self._finalizer.atexit = False
        if isinstance(source, str):  # the child may be in another folder
            source = os.path.abspath(source)
        self._total, self.avg_fps, self._times = self._ask((source, *args))

    def frames(self, indices: Sequence[int]) -> List[np.ndarray]:
        """See :meth:`VideoFile.frames`."""
        order = np.ravel(indices).tolist()
        if not order:
            return []
        # [N, H, W, 3]
        shape, self.num_damaged = self._ask(order)
        frames = np.empty(shape, np.uint8)
        for start in range(0, len(frames), _at_once(shape)):
            if start:
                self._ask(start)
            part = frames[start:start + _at_once(shape)]
            part[...] = _held(self._child.buffer, part)
        return list(frames)

    def _ask(self, request: Any) -> Any:
        if not self._child:
            raise unreadable(self._source, 'its decoder has crashed')
        try:
            self._child.pipe.send(request)
            if self._child.pipe.poll(self._timeout + _GRACE):
                answer = self._child.pipe.recv()
            else:
                self._end()
                answer = unreadable(self._source, 'decoding it takes more '
                                    f'than {self._timeout:g} s')
        except (EOFError, ConnectionError):
            answer = unreadable(self._source,
                                f'its decoder crashed ({self._end()})')
        except BaseException:  # Ctrl-C: nobody would hear the answer
            self._end()
            raise
        if isinstance(answer, UnreadableVideo):
            answer.name = unreadable(self._source, '').name  # as given
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _end(self) -> str:
        """Be rid of the child, and say how it ended."""
        child, self._child = self._child, None
        self._finalizer.detach()
        os.kill(child.pid, signal.SIGKILL)  # does nothing to a dead one
        code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        return signal.Signals(-code).name if code < 0 else f'exit code {code}'


class _Child:
    """A fork that has one video open at a time, until its parent ends."""

    def __init__(self) -> None:
        self.buffer = mmap.mmap(-1, _BUFFER)
        self.pipe, theirs = Pipe()
        self.owner = os.getpid()
        # In a child, what the parent left as garbage may wait for ever for
        # threads that a fork does not have.
        collects = gc.isenabled()
        gc.disable()
        self.pid = os.fork()
        if self.pid and collects:
            gc.enable()
        if not self.pid:
            try:
                _begin(theirs.fileno())
                self._serve(theirs)
            finally:
                os._exit(1)
        theirs.close()

    def _serve(self, pipe: Any) -> None:
        video: Any = None
        frames: List[np.ndarray] = []
        while True:
            request = pipe.recv()
            if not isinstance(request, int):
                frames = []
            if request is None:
                video = None
                continue
            try:
                if isinstance(request, tuple):
                    limit = math.ceil(request[-1] + 2 * _GRACE)
                signal.alarm(limit)  # it may hang, and its parent be gone
                if isinstance(request, tuple):
                    video = VideoFile(*request)
                    answer = len(video), video.avg_fps, video.frame_times()
                elif isinstance(request, list):
                    frames = video.frames(request)
                    shape = len(frames), *frames[0].shape
                    answer, request = (shape, video.num_damaged), 0
                if isinstance(request, int):
                    part = frames[request:request + _at_once(shape)]
                    np.stack(part, out=_held(self.buffer, part))
            except Exception as error:
                answer = error
            signal.alarm(0)
            pipe.send(answer)


class _Children:
    """Those that have no video now, for any thread to take."""

    def __init__(self) -> None:
        self.forget()
        # A fork must not use its parent's.
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._idle: List[_Child] = []

    def take(self) -> _Child:
        """Return a child that lives, a new one if need be."""
        with suppress(IndexError):  # another thread may take the last one
            while child := self._idle.pop():
                if os.waitpid(child.pid, os.WNOHANG) == (0, 0):
                    return child
        return _Child()

    def give(self, child: _Child) -> None:
        """Take back a child, unless it is another process's."""
        if child.owner == os.getpid():
            with suppress(OSError):  # it was killed
                child.pipe.send(None)
            self._idle.append(child)


_children = _Children()


def _at_once(shape: Sequence[int]) -> int:
    """Number of frames, of [N, H, W, 3], that the buffer holds."""
    return max(1, _BUFFER // int(np.prod(shape[1:])))


def _held(buffer: mmap.mmap, frames: Sequence[np.ndarray]) -> np.ndarray:
    """The place of frames in a buffer; a ValueError if one is too large."""
    shape = len(frames), *frames[0].shape
    return np.frombuffer(buffer, np.uint8, int(np.prod(shape))).reshape(shape)


def _begin(pipe: int) -> None:
    """Forget what the parent does on signals and at its end, and close what
    it has open but for a pipe: another end would not hear that it closes."""
    for name in os.listdir('/proc/self/fd'):
        if int(name) != pipe:
            with suppress(OSError):  # what listed them is closed already
                os.close(int(name))
    for number in signal.valid_signals():
        with suppress(OSError, ValueError):  # two cannot be set
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to hear
    faulthandler.disable()
    gc.freeze()
    gc.enable()
    for _ in range(3):
        os.open(os.devnull, os.O_RDWR)  # the standard streams
