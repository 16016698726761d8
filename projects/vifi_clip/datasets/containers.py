"""Video files as PyAV (FFmpeg) opens them: which are taken, which of their
streams is the video, and which way up it is."""
import io
import logging
import os
import os.path as osp
import re
import shlex
import stat
import unicodedata
from typing import Any, Optional, Sequence, Union

import av
import numpy as np
from av.stream import Disposition

from ..errors import UnreadableVideo
from .class_list import INVISIBLE

Source = Union[str, bytes]  # a file on the local disk, or its content

# FFmpeg's names of containers that hold their own pictures. A playlist (HLS,
# DASH, concat) names other files: with one, a visitor of the web page could
# see files of the server.
CONTAINERS = ','.join((
    'mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'avi', 'mpegts', 'mpeg',
    'mpegvideo', 'flv', 'asf', 'ogg', 'gif', 'apng', 'mxf', 'nut', 'rm',
    'dv', 'ivf', 'h264', 'hevc', 'm4v', 'mjpeg', 'wtv', 'swf', 'amv',
    'wav', 'mp3', 'flac'))  # audio, so that the error can say 'only sound'

# What of them people keep, and pictures, by the ends of their names.
SUFFIXES = ('.mp4', '.mov', '.avi', '.mkv', '.webm', '.m4v', '.ts', '.mts',
            '.m2ts', '.mpg', '.mpeg', '.vob', '.wmv', '.asf', '.flv', '.f4v',
            '.ogv', '.gif', '.3gp')
PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')

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


def unreadable(source: Source, error: Union[str, Exception],
               kind: type = UnreadableVideo) -> UnreadableVideo:
    """Make an error with the short text of PyAV's or the system's."""
    reason = (getattr(error, 'strerror', None) or str(error)
              or type(error).__name__)
    if isinstance(source, bytes):
        return kind('the video', reason)
    return kind(source, reason + remedy(source))


def remedy(path: str) -> str:
    """Return what to do about a path that is no video: '; write / for ...',
    or '' where it shows nothing."""
    # a reader adds the ending where there is none
    stem, numbers = re.fullmatch(r'(?s)(.*?)((?: [0-9]+)*)(?:\.mp4)?',
                                 path).groups()
    if numbers and osp.isdir(stem):
        return ('; lines of "folder frames label" are for RawframeDataset, '
                'with RawFrameDecode in its pipeline')
    if numbers and osp.exists(stem):
        return '; a number behind the path is no part of it'
    if path.lower().endswith(PICTURES) or osp.isdir(stem):
        return remedy_of_pictures(path if osp.exists(path) else stem)
    if osp.lexists(path):
        return ''
    if re.fullmatch(r'(["\']).*\1', osp.basename(path)):
        return '; take the quotes off'
    if '\\' in path:
        return '; write / where the path has \\'
    plain = INVISIBLE.sub('', path.replace('\xa0', ' '))
    for other, what in ((path.strip(), 'without spaces around it'),
                        (unicodedata.normalize('NFC', path), 'in NFC'),
                        (unicodedata.normalize('NFD', path), 'in NFD'),
                        (plain, 'without special spaces')):
        if osp.exists(other):
            return f'; {other!r} is there: write it so, {what}'
    return ''


def remedy_of_pictures(path: str) -> str:
    """Return how to make a video of the pictures in a folder, or of one and
    those beside it; '' if there is none."""
    folder, names = osp.split(path)[0], [path]
    try:
        if osp.isdir(path):
            folder, names = path, sorted(os.listdir(path))
    except OSError:
        return ''
    end = next((osp.splitext(name)[1] for name in names
                if name.lower().endswith(PICTURES)), None)
    if end is None:
        return ''
    pattern = shlex.quote(osp.join(folder, f'*{end}'))
    codec = 'copy' if end.lower() in ('.jpg', '.jpeg') else 'ffv1'  # as it is
    return ('; frames as pictures make a video: ffmpeg -framerate 25 '
            f'-pattern_type glob -i {pattern} -c {codec} video.mkv')
