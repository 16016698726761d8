"""Open a file with decord, and with PyAV what decord 0.6 cannot read.

That is AV1, some narrow pictures, and names that are not UTF-8. decord's
FFmpeg is of 2019; PyAV's is of today.
"""
import os
import stat
from types import SimpleNamespace
from typing import Any, Iterator, List, Optional, Sequence

import numpy as np
from mmaction.datasets.transforms import DecordInit

from .video_list import is_local
from .video_reading import BadVideoError

# Of the frames that the container promises; a few are often missing at the
# end of files that play well.
_WHOLE = 0.9
_LONGEST = 1e6  # seconds that a video may have, 11 days
# FFmpeg's names of containers that hold their own pictures. Its playlists
# (HLS, DASH, concat) name other files, and would show a visitor of the web
# page what he has not brought.
CONTAINERS = ','.join((
    'mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'avi', 'mpegts', 'mpeg',
    'mpegvideo', 'flv', 'asf', 'ogg', 'gif', 'apng', 'mxf', 'nut', 'rm',
    'dv', 'ivf', 'h264', 'hevc', 'm4v', 'mjpeg', 'wtv', 'swf', 'amv',
    'wav', 'mp3', 'flac'))  # these to say that they have no pictures


class OpenVideo(DecordInit):
    """DecordInit from the file, not from a copy of it in memory.

    A long video may have gigabytes. MMAction2's also takes a name without an
    ending for another, with '.mp4'.
    """

    def transform(self, results: dict) -> dict:
        """Add ``video_reader``, ``total_frames``, ``avg_fps`` and
        ``frame_times``, to be called."""
        path = results['filename']
        if not is_local(path) or self.io_backend != 'disk':
            return super().transform(results)
        reader = VideoReader(path, self.num_threads)
        results.update(video_reader=reader, total_frames=len(reader),
                       avg_fps=reader.get_avg_fps(),
                       frame_times=reader.frame_times)
        return results


class VideoReader:
    """decord's reader as long as that works, and then PyAV's.

    Args:
        path (str): File on the local disk.
        num_threads (int): Of decord. Defaults to 1.

    Raises:
        BadVideoError: Neither can read it.
    """

    def __init__(self, path: str, num_threads: int = 1) -> None:
        _check_file(path)
        self._path = path
        try:
            import decord
            with open_container(path, quick=True):
                pass  # at no video decord would write to standard error
            decord.logging.set_level(decord.logging.QUIET)
            self._reader: Any = decord.VideoReader(
                path, num_threads=num_threads)
            self._total = len(self._reader)
        except Exception:  # decord's errors have no common class
            self._fall_back()

    def _fall_back(self) -> None:
        self._reader = PyAVReader(self._path)
        self._total = len(self._reader)

    def __len__(self) -> int:
        return self._total

    def __getattr__(self, name: str) -> Any:
        if name == '_reader':  # not there yet
            raise AttributeError(name)
        return getattr(self._reader, name)  # seek, next, ...

    def frame_times(self) -> Optional[np.ndarray]:
        """Start of each frame in seconds after the first one's, and at last
        the end, [total + 1]; None where the file does not say. Phones,
        cameras of browsers and screen recorders have no steady rate."""
        if isinstance(self._reader, PyAVReader):
            return None
        spans = np.asarray(self._reader.get_frame_timestamp(
            range(self._total)), dtype=np.float64)
        times = np.append(spans[:, 0], spans[-1, 1]) - spans[0, 0]
        # AVI has no times of its own: decord gives numbers like 2e17 then.
        usable = (np.isfinite(times).all() and (np.diff(times) >= 0).all()
                  and 0 < times[-1] < _LONGEST)
        return times if usable else None

    def get_batch(self, indices: Sequence[int]) -> Any:
        """Frames, an object with ``asnumpy()``: uint8 [N, H, W, 3]."""
        try:
            return self._reader.get_batch(indices)
        except Exception:
            if isinstance(self._reader, PyAVReader):
                raise
        self._fall_back()
        return self._reader.get_batch(indices)


class PyAVReader:
    """What :class:`VideoReader` uses of decord's reader, by PyAV.

    Ascending indices, over all calls, pass through the file once.

    Args:
        path (str): File on the local disk.

    Raises:
        BadVideoError: It cannot be read, or is cut short.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._total, self._rate = self._look()
        self._frames: Iterator[np.ndarray] = iter(())
        self._next = self._total  # the first call starts anew

    def _look(self) -> tuple:
        """Frames that can be decoded, and how many are in a second."""
        with open_container(self._path) as container:
            stream = container.streams.video[0]
            promised, rate = stream.frames, stream.average_rate
            try:
                total = sum(1 for _ in container.decode(stream))
            except Exception as error:
                raise BadVideoError(_reason(error)) from error
        check_whole(total, promised)
        return total, float(rate or 25)

    def __len__(self) -> int:
        return self._total

    def get_avg_fps(self) -> float:
        """Frames in a second."""
        return self._rate

    def get_batch(self, indices: Sequence[int]) -> SimpleNamespace:
        """As decord's."""
        wanted = np.asarray(indices).reshape(-1).tolist()
        kept: dict = {}
        for index in sorted(set(wanted)):
            kept[index] = self._frame(index)
        frames: List[np.ndarray] = [kept[index] for index in wanted]
        return SimpleNamespace(asnumpy=lambda: np.stack(frames))

    def _frame(self, index: int) -> np.ndarray:
        if index < self._next:
            self._frames, self._next = self._decode(), 0
        frame = None
        while self._next <= index:
            frame = next(self._frames, None)
            if frame is None:
                raise BadVideoError(f'it has no frame {index}')
            self._next += 1
        return upright(frame)

    def _decode(self) -> Iterator[Any]:
        with open_container(self._path) as container:
            yield from container.decode(video=0)


def open_container(path: str, quick: bool = False) -> Any:
    """A file as PyAV's container, to be closed after.

    Args:
        path (str): File on the local disk.
        quick (bool): Look at its head alone. Defaults to False.

    Raises:
        BadVideoError: It cannot be read, or has no pictures.
    """
    import av
    options = dict(format_whitelist=CONTAINERS)
    if quick:
        options.update(probesize='65536', analyzeduration='0')
    try:
        container = av.open(path, options=options)
    except Exception as error:
        raise BadVideoError(_reason(error)) from error
    if quick:
        return container
    if not container.streams.video:
        container.close()
        raise BadVideoError('it has no pictures, only sound')
    container.streams.video[0].thread_type = 'AUTO'
    return container


def check_whole(total: int, promised: int) -> None:
    """Refuse a file of which too few frames can be decoded.

    With several threads FFmpeg says nothing of it.

    Args:
        total (int): Frames that were decoded.
        promised (int): Frames that the container says it has, or 0.

    Raises:
        BadVideoError: It is cut short.
    """
    if total < _WHOLE * promised:
        raise BadVideoError(f'the file is cut short: {total} of {promised} '
                            'frames can be decoded')


def upright(frame: Any) -> np.ndarray:
    """A frame of PyAV as it is to be seen, uint8 RGB [H, W, 3].

    Phones store what is filmed upright lying, with a note; decord turns such
    frames by itself.
    """
    picture = frame.to_ndarray(format='rgb24')
    return np.rot90(picture, round(frame.rotation / 90) % 4)


def _check_file(path: str) -> None:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise BadVideoError('it is no file')
        with open(path, 'rb'):
            pass
    except OSError as error:
        raise BadVideoError(error.strerror or str(error)) from error
    if not status.st_size:
        raise BadVideoError('the file is empty')


def _reason(error: Exception) -> str:
    """The short text of an error of PyAV."""
    return (getattr(error, 'strerror', None) or str(error)
            or type(error).__name__)
