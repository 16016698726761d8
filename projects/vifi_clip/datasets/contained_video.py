"""Videos decoded in a process of their own, which crashes or hangs in place
of the one that reads them: FFmpeg is C, and files come from anywhere."""
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import UnreadableVideo, UserError
from .containers import (Source, VideoFacts, VideoTimedOut, check_file,
                         unreadable, video_facts)
from .decoder_process import GRACE, in_buffer
from .planes import YUV
from .video_file import VideoFile

_BUFFER = 256 << 20  # bytes for frames; memory is taken for those that come
CAN_CONTAIN = os.name == 'posix'  # elsewhere, handles are not handed down
# A fork would wait for locks that threads of the parent hold, and have its
# files open. Packages are named without what they import, torch above all.
_CODE = '''\
import sys
from types import ModuleType
sys.path[:] = {path!r}
for name, folders in {packages!r}:
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__path__ = folders
from {here}.decoder_process import serve
serve(0, 1)
'''


class DecoderCrashed(UnreadableVideo):
    """A file at which FFmpeg ends its process."""


def open_video(source: Source, in_order: bool = False, num_threads: int = 1,
               timeout: float = 600.) -> VideoFile:
    """Open a video as :class:`VideoFile` does, in a child process where the
    system allows it."""
    kind = ContainedVideo if CAN_CONTAIN else VideoFile
    return kind(source, in_order, num_threads, timeout)


def read_facts(source: Source) -> VideoFacts:
    """Look into a file as :func:`video_facts` does, in a child process where
    the system allows it."""
    if not CAN_CONTAIN:
        return video_facts(source)
    check_file(source)
    child = _children.take()
    try:
        return child.ask(source, 60., 'facts', _absolute(source))
    finally:
        _children.give(child)


class ContainedVideo(VideoFile):
    """A video in a child process, which is kept for the next one; see
    :func:`open_video`. DecoderCrashed if the child crashes, VideoTimedOut if
    it does not answer in ``timeout`` seconds, when it is killed."""

    def __init__(self, source: Source, *args: Any) -> None:
        check_file(source)
        self._source, self._timeout = source, args[-1]
        self._child = _children.take()
        # In a __del__, the pipe may have been closed already.
        finalizer = weakref.finalize(self, _children.give, self._child)
        finalizer.atexit = False
        try:
            vars(self).update(self._ask('open', _absolute(source), *args))
        except BaseException:
            finalizer()  # the error, which may be kept, keeps self
            raise

    def frames(self, indices: Sequence[int]) -> List[np.ndarray]:
        """See :meth:`VideoFile.frames`."""
        return list(self._read('frames', indices)[0])

    def planes(self, indices: Sequence[int]
               ) -> Tuple[np.ndarray, Optional[YUV]]:
        """See :meth:`VideoFile.planes`."""
        return self._read('planes', indices)

    def _read(self, method: str, indices: Sequence[int]
              ) -> Tuple[np.ndarray, Optional[YUV]]:
        order = np.ravel(indices).tolist()
        if not order:
            return np.empty(0, np.uint8), None
        # [N, H, W, 3] or [N, H * 3 / 2, W]
        shape, self.num_damaged, yuv = self._ask(method, order)
        frames, start = np.empty(shape, np.uint8), 0
        while start < len(frames):
            if start:
                self._ask('part', start)
            part = in_buffer(self._child.buffer, frames[start:])
            frames[start:start + len(part)] = part
            start += len(part)
        return frames, yuv

    def _ask(self, method: str, *args: Any) -> Any:
        return self._child.ask(self._source, self._timeout, method, *args)


class _Child:
    """A process that has one video open at a time, until its parent ends."""

    def __init__(self) -> None:
        with _file_in_memory() as file:
            file.truncate(_BUFFER)
            self.buffer = mmap.mmap(file.fileno(), _BUFFER)
            self.pipe, theirs = Pipe()
            with theirs:
                # A session of its own: Ctrl-C is the parent's to hear. As
                # input and output, handles are right whatever numbers they
                # have here: 0 to 2 where the parent's own are closed.
                self.process = subprocess.Popen(
                    [sys.executable, '-c', _code()], start_new_session=True,
                    stdin=theirs, stdout=file, stderr=subprocess.DEVNULL)

    def ask(self, source: Source, timeout: float, method: str,
            *args: Any) -> Any:
        """Return what a method of :class:`.decoder_process.Decoder` answers,
        or raise what it raises of a video."""
        try:
            self.pipe.send((method, args, timeout + 2 * GRACE))
            if self.pipe.poll(timeout + GRACE):
                answer = self.pipe.recv()
            else:
                self.end()
                answer = unreadable(source, 'decoding it takes more than '
                                    f'{timeout:g} s', VideoTimedOut)
        except (EOFError, OSError):
            answer = unreadable(source, f'its decoder crashed ({self.end()})',
                                DecoderCrashed)
        except BaseException:  # Ctrl-C: nobody would hear the answer
            self.end()
            raise
        if isinstance(answer, UnreadableVideo):
            answer.name = unreadable(source, '').name  # as given
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> str:
        """Kill the process if it lives, and say how it ended."""
        self.process.kill()
        code = self.process.wait()
        self.pipe.close()
        if code >= 0:
            return f'exit code {code}'
        with suppress(ValueError):  # real-time signals have no names
            why = ' (out of memory?)' if code == -signal.SIGKILL else ''
            return signal.Signals(-code).name + why
        return f'signal {-code}'


class _Children:
    """Those that have no video now, for any thread to take."""

    def __init__(self) -> None:
        self._ends = 0
        self.forget()
        # A fork must not use its parent's.
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._idle: List[_Child] = []
        self._all: Any = weakref.WeakSet()

    def take(self) -> _Child:
        """Return a child that lives, a new one if need be."""
        with suppress(IndexError):  # another thread may take the last one
            while child := self._idle.pop():
                if child.process.poll() is None:
                    return child
        ends = self._ends
        try:
            child = _Child()
        except OSError as error:
            raise UserError(
                'no process can be started to decode videos: '
                f'{error.strerror}; ulimit -a shows the limits') from error
        self._all.add(child)
        if ends != self._ends:  # all were ended while this one started
            child.process.kill()
        return child

    def give(self, child: _Child) -> None:
        """Take back a child, unless it is another process's or has ended."""
        if child in self._all and not child.pipe.closed:
            with suppress(OSError):  # it was killed
                child.pipe.send(('close', (), GRACE))
            self._idle.append(child)

    def end(self) -> None:
        """Kill all; none of them, which take a moment to die, is taken."""
        self._ends += 1
        children = list(self._all)
        self.forget()
        for child in children:
            child.process.kill()


_children = _Children()


def end_decoders() -> None:
    """End the children of this process; a video that one has open now counts
    as one whose decoder crashed."""
    _children.end()


def _absolute(source: Source) -> Source:
    """Name a file for a child, which may be in another folder."""
    return os.path.abspath(source) if isinstance(source, str) else source


def _code() -> str:
    """Write what a child runs."""
    parts = __package__.split('.')
    names = ['.'.join(parts[:n]) for n in range(1, len(parts) + 1)]
    packages = [(name, list(sys.modules[name].__path__)) for name in names]
    return _CODE.format(path=sys.path, packages=packages, here=__package__)


def _file_in_memory() -> Any:
    with suppress(AttributeError, OSError):  # not here, or not allowed
        # /dev/shm is small in containers
        return open(os.memfd_create('frames'), 'w+b')
    return tempfile.TemporaryFile()
