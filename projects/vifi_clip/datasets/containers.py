"""Video files as PyAV (FFmpeg) opens them: which are taken, which of their
streams is the video, and which way up it is."""
import io
import logging
import os
import stat
from typing import Any, Optional, Sequence, Union

import av
import numpy as np
from av.stream import Disposition

from ..errors import UnreadableVideo

Source = Union[str, bytes]  # a file on the local disk, or its content

# FFmpeg's names of containers that hold their own pictures. A playlist (HLS,
# DASH, concat) names other files: with one, a visitor of the web page could
# see files of the server.
CONTAINERS = ','.join((
    'mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'avi', 'mpegts', 'mpeg',
    'mpegvideo', 'flv', 'asf', 'ogg', 'gif', 'apng', 'mxf', 'nut', 'rm',
    'dv', 'ivf', 'h264', 'hevc', 'm4v', 'mjpeg', 'wtv', 'swf', 'amv',
    'wav', 'mp3', 'flac'))  # audio, so that the error can say 'only sound'

# FFmpeg's words are for VideoFile to hear; nobody reads them where they are
# printed. The level is the process's: set in each call, one thread's end
# would make another deaf.
av.logging.set_level(av.logging.WARNING)
logging.getLogger('libav').addHandler(logging.NullHandler())
logging.getLogger('libav').propagate = False


class VideoCutShort(UnreadableVideo):
    """A file that ends before its pictures do."""


def open_container(source: Source) -> Any:
    """Open a file as PyAV's container, to be closed after.

    Raises:
        UnreadableVideo: It cannot be read, or has no pictures.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        container = av.open(file, options=dict(format_whitelist=CONTAINERS))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise unreadable(source, error) from error
    stream = picture_stream(container)
    if stream is not None and stream.codec_context is not None:
        return container
    container.close()
    raise unreadable(source, 'no decoder is known for its pictures'
                     if stream else 'it has no pictures, only sound')


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


def turned(picture: np.ndarray, matrix: Optional[Any]) -> np.ndarray:
    """Turn or mirror a picture [H, W, 3] as its display matrix says.

    Phones store what is filmed upright lying, with a note. The matrix (3 x 3
    numbers of 32 bits) takes the point (x, y) to (ax + cy, bx + dy).
    """
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


def check_file(source: Source) -> None:
    """Raise UnreadableVideo at what is no regular file or is empty."""
    try:
        # a pipe would be waited for
        if isinstance(source, str) and not stat.S_ISREG(
                os.stat(source).st_mode):
            raise unreadable(source, 'it is no file')
        size = (len(source) if isinstance(source, bytes)
                else os.path.getsize(source))
    except (OSError, ValueError) as error:
        raise unreadable(source, error) from error
    if not size:
        raise unreadable(source, 'the file is empty')


def unreadable(source: Source,
               error: Union[str, Exception]) -> UnreadableVideo:
    """Make an error with the short text of PyAV's or the system's."""
    reason = (getattr(error, 'strerror', None) or str(error)
              or type(error).__name__)
    return UnreadableVideo(
        source if isinstance(source, str) else 'the video', reason)
