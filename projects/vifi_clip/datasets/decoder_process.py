"""The child's side of :mod:`.contained_video`: it opens one video at a time.
What it imports is what decoding needs, so that it starts in 0.2 s."""
import gc
import math
import mmap
import os
import select
import signal
import sys
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any, Optional, Sequence

import numpy as np

from ..errors import UnreadableVideo
from .containers import Source, video_facts
from .planes import YUV
from .video_file import VideoFile

GRACE = 10.  # seconds that an answer may take beyond a video's timeout


class Decoder:
    """What a parent asks for, with the frames in a buffer that both see."""

    def __init__(self, buffer: mmap.mmap) -> None:
        self._buffer = buffer
        self._frames: Sequence[np.ndarray] = []

    def facts(self, source: Source) -> tuple:
        """Look into a file."""
        return video_facts(source)

    def open(self, *args: Any) -> dict:
        """Open a :class:`VideoFile`, and return its attributes."""
        self._video = VideoFile(*args)
        return dict(_total=len(self._video), _times=self._video.frame_times(),
                    **{name: getattr(self._video, name) for name in (
                        'avg_fps', 'container', 'by_packets',
                        'num_damaged')})

    def frames(self, indices: Sequence[int]) -> tuple:
        """Decode frames and put the first part of them into the buffer;
        returns the shape [N, H, W, 3] of all, the number of damaged ones, and
        what turns planes to RGB."""
        return self._put(self._video.frames(indices), None)

    def planes(self, indices: Sequence[int]) -> tuple:
        """The same of frames as they are decoded, [N, H * 3 / 2, W], where a
        video has them."""
        return self._put(*self._video.planes(indices))

    def _put(self, frames: Sequence[np.ndarray], yuv: Optional[YUV]) -> tuple:
        self._frames = frames
        self.part(0)
        shape = len(frames), *frames[0].shape
        return shape, self._video.num_damaged, yuv

    def part(self, start: int) -> None:
        """Put the frames from one on into the buffer, as many as it holds."""
        held = in_buffer(self._buffer, self._frames[start:])
        np.stack(self._frames[start:start + len(held)], out=held)

    def close(self) -> None:
        """Let the video go."""
        self._video, self._frames = None, []
        gc.collect()  # it refers to itself, through the packets to come


def in_buffer(buffer: mmap.mmap, frames: Sequence[np.ndarray]) -> np.ndarray:
    """The place of the first frames in a buffer, [n, ...]; an
    UnreadableVideo if it holds none."""
    count = min(len(frames), len(buffer) // frames[0].size)
    if not count:
        raise UnreadableVideo('', f'a frame has {frames[0].size} bytes, more '
                              f'than the {len(buffer)} kept for frames')
    shape = count, *frames[0].shape
    return np.frombuffer(buffer, np.uint8, math.prod(shape)).reshape(shape)


def serve(pipe_handle: int, buffer_handle: int) -> None:
    """Answer (method, arguments, limit in seconds) until the parent ends."""
    import resource  # not on Windows
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no dump of a crash
    Thread(target=_end_with_parent, args=[pipe_handle], daemon=True).start()
    gc.freeze()  # what was imported is not looked through again
    decoder = Decoder(mmap.mmap(buffer_handle, 0))
    # What a library prints must not come among the frames.
    os.dup2(sys.stderr.fileno(), buffer_handle)
    with Connection(pipe_handle) as pipe:
        while True:
            method, args, limit = pipe.recv()
            signal.alarm(math.ceil(limit))  # FFmpeg may stop all threads
            try:
                answer = getattr(decoder, method)(*args)
            except Exception as error:
                answer = error
            signal.alarm(0)
            if method != 'close':  # nobody waits
                pipe.send(answer)


def _end_with_parent(pipe_handle: int) -> None:
    """Wait until the other end of a pipe is closed, then end the process."""
    poll = select.poll()
    poll.register(pipe_handle, 0)  # that alone is reported
    poll.poll()
    os._exit(0)
