"""Open videos: the one reader of training, test, prediction and all else.

decord decodes, and PyAV what decord 0.6 cannot read: AV1, some narrow
pictures, and names that are not UTF-8 (decord's FFmpeg is of 2019).

    VideoReader       the first step of a pipeline
    OpenedVideo       what it opens: numbered frames
    open_container    PyAV's container, with duration, frame_at and
                      frames_with_times for frames by their times
"""
import io
import os
import os.path as osp
import stat
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, BinaryIO, Iterator, Optional, Sequence, Tuple, Union

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine import fileio

from ..errors import UnreadableVideo

Source = Union[str, bytes]  # a file on the local disk, or its content

# Share of the frames that the container promises which must decode for a file
# to count as whole; a few are often missing at the end of good files.
_WHOLE = 0.9
_LONGEST = 1e6  # seconds that a video may have, 11 days
# FFmpeg's names of containers that hold their own pictures. A playlist (HLS,
# DASH, concat) names other files: with one, a visitor of the web page could
# see files of the server.
CONTAINERS = ','.join((
    'mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'avi', 'mpegts', 'mpeg',
    'mpegvideo', 'flv', 'asf', 'ogg', 'gif', 'apng', 'mxf', 'nut', 'rm',
    'dv', 'ivf', 'h264', 'hevc', 'm4v', 'mjpeg', 'wtv', 'swf', 'amv',
    'wav', 'mp3', 'flac'))  # audio, so that the error can say 'only sound'


@TRANSFORMS.register_module()
class VideoReader(BaseTransform):
    """Open a video: the first step of a pipeline, before the sampling.

    DecordDecode or DecordDecodeOnce must follow it. Required key is
    ``filename``; where no such file exists and the name has no extension,
    '.mp4' is tried. Added keys are ``video_reader`` (:class:`OpenedVideo`),
    ``total_frames``, ``avg_fps`` and ``frame_times`` (its method).

    Args:
        num_threads (int): Threads that decode one video. Defaults to 1.
        io_backend (str): Where the files are: 'disk', or another of
            MMEngine's storages, from which a file is fetched into memory.
            Defaults to 'disk'.
        **kwargs: Of that storage's client.

    Raises:
        UnreadableVideo: The video cannot be read.
    """

    def __init__(self, num_threads: int = 1, io_backend: str = 'disk',
                 **kwargs) -> None:
        self.num_threads = num_threads
        self.io_backend = io_backend
        self.kwargs = kwargs

    def transform(self, results: dict) -> dict:
        """Open one video."""
        source: Source = results['filename']
        if self.io_backend not in ('disk', 'local'):
            source = fileio.get(
                source, dict(self.kwargs, backend=self.io_backend))
        elif (osp.splitext(source)[1] == '' and not osp.exists(source)
              and osp.isfile(f'{source}.mp4')):
            source = f'{source}.mp4'  # as DecordInit takes it
        video = OpenedVideo(source, self.num_threads)
        results.update(
            video_reader=video, total_frames=len(video),
            avg_fps=video.get_avg_fps(), frame_times=video.frame_times)
        return results


class OpenedVideo:
    """The frames of a video, by their numbers.

    UnreadableVideo where neither decord nor PyAV can read it.
    """

    def __init__(self, source: Source, num_threads: int = 1) -> None:
        check_file(source)
        self._source = source
        try:
            with open_container(source, quick=True):
                pass  # if this is no video, decord would print to stderr
            import decord
            decord.logging.set_level(decord.logging.QUIET)
            self._reader: Any = decord.VideoReader(
                io.BytesIO(source) if isinstance(source, bytes) else source,
                num_threads=num_threads)
        except Exception:  # decord's errors have no common class
            self._reader = PyAVReader(source)
        self._total = len(self._reader)

    def __len__(self) -> int:
        return self._total

    @property
    def uses_pyav(self) -> bool:
        """Whether decord could not read it."""
        return isinstance(self._reader, PyAVReader)

    def __getattr__(self, name: str) -> Any:
        if name == '_reader':  # not there yet
            raise AttributeError(name)
        return getattr(self._reader, name)  # get_avg_fps, seek, next, ...

    def frame_times(self) -> Optional[np.ndarray]:
        """Start of each frame in seconds after the first one's, and at last
        the end, [total + 1]; None if the file has no usable times, or PyAV
        reads it. Phones, browsers and screen recorders have no steady rate."""
        if self.uses_pyav:
            return None
        spans = np.asarray(self._reader.get_frame_timestamp(
            range(self._total)), dtype=np.float64)
        times = np.append(spans[:, 0], spans[-1, 1]) - spans[0, 0]
        # AVI has no times of its own: decord gives numbers like 2e17 then.
        usable = (np.isfinite(times).all() and (np.diff(times) >= 0).all()
                  and 0 < times[-1] < _LONGEST)
        return times if usable else None

    def get_batch(self, indices: Sequence[int]) -> Any:
        """Frames, an object with ``asnumpy()``: uint8 RGB [N, H, W, 3]."""
        try:
            return self._reader.get_batch(indices)
        except Exception:
            if self.uses_pyav:
                raise
        self._reader = PyAVReader(self._source)
        self._total = len(self._reader)
        return self._reader.get_batch(indices)


class PyAVReader:
    """What :class:`OpenedVideo` uses of decord's reader, by PyAV.

    Ascending indices, over all calls, pass through the file once. Raises
    UnreadableVideo where the file cannot be read, or is cut short.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        with open_container(source) as container:
            stream = container.streams.video[0]
            promised, self._rate = stream.frames, _frame_rate(container)
            try:
                self._total = sum(1 for _ in container.decode(stream))
            except Exception as error:
                raise _unreadable(source, error) from error
        _check_whole(source, self._total, promised)
        self._frames: Iterator[Any] = iter(())
        self._next = self._total  # the first call starts anew

    def __len__(self) -> int:
        return self._total

    def get_avg_fps(self) -> float:
        """Return the frames in a second."""
        return float(self._rate)

    def get_batch(self, indices: Sequence[int]) -> SimpleNamespace:
        """Return frames as decord does."""
        order = np.asarray(indices).reshape(-1).tolist()
        frames = {}
        for index in sorted(set(order)):
            if index < self._next:
                self._frames, self._next = self._decode(), 0
            while self._next <= index:
                frame = next(self._frames, None)
                if frame is None:
                    raise _unreadable(self._source, f'it has no frame {index}')
                self._next += 1
            frames[index] = upright(frame)
        return SimpleNamespace(
            asnumpy=lambda: np.stack([frames[index] for index in order]))

    def _decode(self) -> Iterator[Any]:
        with open_container(self._source) as container:
            yield from container.decode(video=0)


# Frames by their times, with PyAV alone


def open_container(source: Source, quick: bool = False) -> Any:
    """Open a file as PyAV's container, to be closed after.

    UnreadableVideo where it cannot be read, or has no pictures. ``quick``
    looks at its head alone.
    """
    import av
    options = dict(format_whitelist=CONTAINERS)
    if quick:
        options.update(probesize='65536', analyzeduration='0')
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        container = av.open(file, options=options)
    except Exception as error:
        raise _unreadable(source, error) from error
    if quick:
        return container
    if not container.streams.video:
        container.close()
        raise _unreadable(source, 'it has no pictures, only sound')
    container.streams.video[0].thread_type = 'AUTO'
    return container


def _frame_rate(container: Any) -> Fraction:
    """The mean number of frames in a second; 25 if nothing tells."""
    return Fraction(container.streams.video[0].average_rate or 25)


def duration(container: Any) -> float:
    """Return the length of a container's video in seconds, 0 if unknown.

    Reads the whole file where its head does not say: browsers' cameras.
    """
    stream = container.streams.video[0]
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return container.duration / 1e6
    last = max((packet.pts or 0 for packet in container.demux(stream)),
               default=0)
    return float(last * stream.time_base)


def frame_at(container: Any, seconds: float) -> Optional[np.ndarray]:
    """Return the frame that is shown at a time, uint8 RGB [H, W, 3].

    The time is from the start of the video. After the end it is the last
    frame; None if there is none.
    """
    stream = container.streams.video[0]
    first = stream.start_time or 0
    container.seek(first + int(seconds / stream.time_base), stream=stream)
    origin, shown = float(first * stream.time_base), None
    for frame in container.decode(stream):
        if shown is not None and frame.time is not None and (
                frame.time - origin > seconds):
            break
        shown = frame
    return None if shown is None else upright(shown)


def frames_with_times(source: Source) -> Tuple[
        Iterator[Tuple[np.ndarray, Fraction]], Fraction]:
    """Decode a whole video, one frame at a time.

    Returns an iterator over the frames (uint8 RGB [H, W, 3]) and the seconds
    at which each is shown, ascending from 0; and the mean frame rate. The
    iterator raises UnreadableVideo where the file ends early.
    """
    container = open_container(source)
    rate = _frame_rate(container)
    # AVI says when a frame is decoded, not when it is shown.
    timed = container.format.name != 'avi'

    def frames() -> Iterator[Tuple[np.ndarray, Fraction]]:
        count, now, shift = 0, -1 / rate, None
        with container:
            stream = container.streams.video[0]
            promised = stream.frames
            try:
                for count, frame in enumerate(container.decode(stream), 1):
                    last, now = now, now + 1 / rate
                    if timed and frame.pts is not None:
                        time = frame.pts * frame.time_base
                        if shift is None or time + shift <= last:
                            shift = now - time  # the start, or a jump back
                        now = time + shift
                    yield upright(frame), now
            except ValueError as error:  # FFmpeg's derive from it
                raise _unreadable(source, error) from error
        _check_whole(source, count, promised)

    return frames(), rate


def upright(frame: Any) -> np.ndarray:
    """Turn a frame of PyAV as it is to be seen, uint8 RGB [H, W, 3].

    Phones store what is filmed upright lying, with a note; decord turns such
    frames by itself.
    """
    picture = frame.to_ndarray(format='rgb24')
    return np.rot90(picture, round(frame.rotation / 90) % 4)


# Whether a file is whole


def check_file(source: Source) -> None:
    """Raise UnreadableVideo at what is no regular file, is empty, or is an
    AVI cut short.

    decord 0.6 does not fail on an AVI file whose pictures run past the end
    of the file, it crashes the process, and HMDB-51 and UCF-101 come as AVI.
    """
    try:
        # a pipe would be waited for
        if isinstance(source, str) and not stat.S_ISREG(
                os.stat(source).st_mode):
            raise _unreadable(source, 'it is no file')
        with (open(source, 'rb') if isinstance(source, str)
              else io.BytesIO(source)) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            end = _end_of_pictures(file)
    except OSError as error:
        raise _unreadable(source, error) from error
    if not size:
        raise _unreadable(source, 'the file is empty')
    if end > size:
        raise _unreadable(source, f'the file is cut short: {size} bytes of at '
                          f'least {end}')


def _end_of_pictures(file: BinaryIO) -> int:
    """Where the lists of an AVI file end; 0 for any other kind."""
    end, head = 0, file.read(12)
    if (head[:4], head[8:]) != (b'RIFF', b'AVI '):
        return end
    # Chunks: four-letter name, byte count, content padded to even length.
    while len(header := file.read(12)) == 12:
        name, kind = header[:4], header[8:]
        next_chunk = file.tell() - 4 + int.from_bytes(header[4:8], 'little')
        if name == b'LIST':
            end = next_chunk
        if kind == b'movi':
            break
        file.seek(next_chunk + next_chunk % 2)
    return end


def _check_whole(source: Source, total: int, promised: int) -> None:
    """Check after decoding: FFmpeg with several threads reports no error at
    the end of a file that is cut short."""
    if total < _WHOLE * promised:
        raise _unreadable(source, f'the file is cut short: {total} of '
                          f'{promised} frames can be decoded')


def _unreadable(source: Source,
                error: Union[str, Exception]) -> UnreadableVideo:
    """Make an error with the short text of PyAV's or the system's."""
    reason = (getattr(error, 'strerror', None) or str(error)
              or type(error).__name__)
    return UnreadableVideo(
        source if isinstance(source, str) else 'the video', reason)
