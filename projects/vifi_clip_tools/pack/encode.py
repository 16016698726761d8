"""One video, encoded anew so that a few frames of it are read quickly."""
import io
from fractions import Fraction
from typing import Iterator, Optional

import av
import cv2
import numpy as np

from projects.vifi_clip.datasets.contained_video import open_video
from projects.vifi_clip.datasets.containers import Source, open_container
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.errors import UnreadableVideo

from .options import Encoding

_TICKS = 90_000  # of a second; the usual frame rates have whole ones
_AT_ONCE = 8  # frames that are taken from the decoder
# Key frames come at fixed places, and every other frame refers to the one
# before it alone. With CABAC, files are a tenth smaller, and take 1.6 times as
# long to read. The same pictures give the same bytes (mini_world/clips.py).
_X264 = ('keyint={0}:min-keyint=1:scenecut=0:bframes=0:ref=1:rc-lookahead=0:'
         'cabac=0:mbtree=0')


def pack_video(path: str, how: Encoding, timeout: float,
               comment: str = '') -> bytes:
    """Encode a video as MP4, and check that it can be read back.

    Frames and times are those of :class:`VideoFile`: frame i is its frame i,
    upright, 8 bits, without sound. The whole file is made in memory.

    Args:
        path (str): The video.
        how (Encoding): How.
        timeout (float): Seconds that a decoder may take.
        comment (str): What the file says of itself. Defaults to ''.

    Raises:
        UnreadableVideo: The video, or what was made of it, cannot be read.
    """
    video = open_video(path, in_order=True, timeout=timeout)
    total = len(video)
    try:
        data = _encode(video, how, comment)
    except av.FFmpegError as error:
        raise UnreadableVideo(
            path, f'x264 refuses it: {error.strerror}') from error
    del video  # its decoder serves for the check
    packed = open_video(data, timeout=timeout)
    packed.frames(range(total - 1, -1, -max(1, total // 4)))
    if len(packed) != total or not packed.by_packets:
        raise UnreadableVideo(path, f'{len(packed)} of its {total} frames '
                              'can be read when it is packed')
    return data


def comment_of(packed: Source) -> Optional[str]:
    """Return what a packed file says of itself; None if it is damaged."""
    try:
        with open_container(packed) as container:
            return container.metadata.get('comment')
    except UnreadableVideo:
        return None


def _encode(video: VideoFile, how: Encoding, comment: str) -> bytes:
    # Ticks ascend strictly, also where frames are nearer than one.
    order = np.arange(len(video) + 1)
    ticks = np.rint(video.frame_times() * _TICKS).astype(int) - order
    ticks = np.maximum.accumulate(ticks) + order
    lengths = dict(zip(ticks.tolist(), np.diff(ticks).tolist()))
    buffer = io.BytesIO()
    with av.open(buffer, 'w', format='mp4',
                 options=dict(fflags='+bitexact')) as file:
        file.metadata['comment'] = comment
        stream = file.add_stream('libx264', options={
            'crf': str(how.crf), 'preset': how.preset,
            'x264-params': _X264.format(how.interval)})
        stream.pix_fmt = 'yuv420p'
        stream.thread_count = 1
        stream.codec_context.time_base = Fraction(1, _TICKS)
        frames = resized_frames(video, how.side)
        for time, picture in zip(lengths, frames):
            if time == ticks[0]:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts = time
            _mux(file, stream.encode(frame), lengths)
        _mux(file, stream.encode(), lengths)
    return buffer.getvalue()


def _mux(file, packets, lengths) -> None:
    for packet in packets:
        packet.duration = lengths[packet.pts]
        file.mux(packet)


def resized_frames(video: VideoFile, side: int) -> Iterator[np.ndarray]:
    """Yield all frames, uint8 RGB [H, W, 3], made smaller, if they are larger,
    until the shorter side has so many pixels.

    They are resized as in the pipelines (bilinear), but H and W are even.
    """
    for start in range(0, len(video), _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, len(video)))
        for frame in video.frames(numbers):
            yield resized(frame, side)


def resized(frame: np.ndarray, side: int) -> np.ndarray:
    """Resize a frame; see :func:`resized_frames`."""
    height, width = frame.shape[:2]
    scale = min(1., side / min(height, width))
    size = tuple(max(2, 2 * round(length * scale / 2))
                 for length in (width, height))
    return frame if size == (width, height) else cv2.resize(frame, size)
