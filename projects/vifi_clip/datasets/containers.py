"""Video files as PyAV (FFmpeg) opens them: which are taken, which of their
streams is the video, and which way up it is."""
import io
import logging
import os
import stat
from typing import Any, NamedTuple, Optional, Sequence, Union

import av
import numpy as np
from av.stream import Disposition

from ..errors import UnreadableVideo
from .path_hints import remedy

Source = Union[str, bytes]  # a file on the local disk, or its content

# FFmpeg's names of containers that hold their own pictures. A playlist (HLS,
# DASH, concat) names other files: with one, a visitor of the web page could
# see files of the server.
CONTAINERS = ','.join((
    'mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'avi', 'mpegts', 'mpeg',
    'mpegvideo', 'flv', 'asf', 'ogg', 'gif', 'apng', 'mxf', 'nut', 'rm',
    'dv', 'ivf', 'h264', 'hevc', 'm4v', 'mjpeg', 'wtv', 'swf', 'amv',
    'wav', 'mp3', 'flac'))  # audio, so that the error can say 'only sound'

# What of them people keep, by the ends of their names.
SUFFIXES = ('.mp4', '.mov', '.avi', '.mkv', '.webm', '.m4v', '.ts', '.mts',
            '.m2ts', '.mpg', '.mpeg', '.vob', '.wmv', '.asf', '.flv', '.f4v',
            '.ogv', '.gif', '.3gp')

# FFmpeg's words are for VideoFile to hear; nobody reads them where they are
# printed. The level is the process's: set in each call, one thread's end
# would make another deaf.
av.logging.set_level(av.logging.WARNING)
# Else a word that the file before ended with would not be heard of this one.
av.logging.set_skip_repeated(False)
logging.getLogger('libav').addHandler(logging.NullHandler())
logging.getLogger('libav').propagate = False


class VideoCutShort(UnreadableVideo):
    """A file that ends before its pictures do."""


class FrameCountChanged(UnreadableVideo):
    """The packets of a video are not its frames, which was seen too late;
    ``VideoFile(source, in_order=True)`` counts the frames first."""


class VideoTimedOut(UnreadableVideo):
    """A file that takes too long to decode."""


class VideoFacts(NamedTuple):
    """What a file says of its pictures, none of which is decoded."""

    container: str  # FFmpeg's names of the format, with commas
    codec: str
    width: int  # pixels, as stored: before any rotation
    height: int


class Packet(NamedTuple):
    """A packet of pictures, which is one frame in most files."""

    time: Optional[int]  # when its frame is shown, in the stream's units
    is_key: bool
    is_shown: bool  # not cut off by an edit list
    is_corrupt: bool
    duration: int  # 0 if unknown


def open_container(source: Source) -> Any:
    """Open a file as PyAV's container, to be closed after.

    Raises:
        UnreadableVideo: It cannot be read, or has no pictures.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        # A title may be in any encoding.
        container = av.open(file, options=dict(format_whitelist=CONTAINERS),
                            metadata_errors='replace')
    except (av.FFmpegError, OSError, ValueError) as error:
        raise unreadable(source, error) from error
    stream = picture_stream(container)
    if stream is not None and stream.codec_context is not None:
        return container
    container.close()
    raise unreadable(source, 'no decoder is known for its pictures'
                     if stream else 'it has no pictures, only sound')


def video_facts(source: Source) -> VideoFacts:
    """Look into a file; see :func:`open_container` for errors."""
    with open_container(source) as container:
        codec = picture_stream(container).codec_context
        return VideoFacts(container.format.name, codec.name, codec.width,
                          codec.height)


def picture_stream(container: Any) -> Any:
    """Return the video stream that players show, None if there is none: the
    default one or else the first, and no picture of a cover."""
    streams = [stream for stream in container.streams.video
               if not stream.disposition & Disposition.attached_pic]
    return next((stream for stream in streams
                 if stream.disposition & Disposition.default),
                streams[0] if streams else None)


def end_of(packets: Sequence[Any], stream: Any) -> float:
    """Return the second at which the last frame of packets ends."""
    return float(stream.time_base * max(
        (packet.time + packet.duration for packet in packets
         if packet.time is not None), default=0))


def turned(frame: Any, matrix: Optional[Any]) -> np.ndarray:
    """Return the pixels of an RGB frame of PyAV's, a view of [H, W, 3],
    turned or mirrored as a display matrix says.

    Phones store what is filmed upright lying, with a note. The matrix (3 x 3
    numbers of 32 bits) takes the point (x, y) to (ax + cy, bx + dy).
    """
    plane = frame.planes[0]
    picture = np.ndarray((frame.height, frame.width, 3), np.uint8, plane,
                         strides=(plane.line_size, 3, 1))
    if matrix is None:
        return picture
    a, b, _, c, d = np.frombuffer(bytes(matrix), '<i4')[:5].tolist()
    if abs(b) > abs(a):
        picture, right, down = picture.swapaxes(0, 1), c, b
    else:
        right, down = a, d
    if right < 0:
        picture = picture[:, ::-1]
    return picture[::-1] if down < 0 else picture


def file_of(path: str) -> str:
    """Return the file that a path means: where nothing has that name, the one
    with '.mp4' behind it, which is how packed videos are called, if there is
    one."""
    if not os.path.exists(path) and os.path.isfile(f'{path}.mp4'):
        return f'{path}.mp4'
    return path


def check_file(source: Source) -> None:
    """Raise UnreadableVideo at what is no regular file or is empty."""
    try:
        # a pipe would be waited for
        if isinstance(source, str) and not stat.S_ISREG(
                os.stat(source).st_mode):
            raise unreadable(source, 'it is not a file')
        size = (len(source) if isinstance(source, bytes)
                else os.path.getsize(source))
    except (OSError, ValueError) as error:
        raise unreadable(source, error) from error
    if not size:
        raise unreadable(source, 'the file is empty')


def unreadable(source: Source, error: Union[str, Exception],
               kind: type = UnreadableVideo) -> UnreadableVideo:
    """Make an error with the short text of PyAV's or the system's."""
    reason = (getattr(error, 'strerror', None) or str(error)
              or type(error).__name__)
    if isinstance(source, bytes):
        return kind('the video', reason)
    return kind(source, reason + remedy(source))
