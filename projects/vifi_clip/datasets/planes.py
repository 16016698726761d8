"""Frames as they are decoded, YUV 4:2:0 in 8 bits: half the bytes of RGB, for
another place to turn them to RGB as FFmpeg's swscale does."""
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

# The planes of a larger frame take longer to hand on than a finished picture.
MAX_PIXELS = 640 * 480
_FORMATS = ('yuv420p', 'yuvj420p')
# swscale's weights of V in red, U in blue, U and V in green, times 65536, by
# FFmpeg's number of the colour space; 2 is "not specified".
_BT601 = 104597, 132201, 25675, 53279
_WEIGHTS = {
    1: (117489, 138438, 13975, 34925), 2: _BT601,
    4: (104448, 132798, 24759, 53109), 5: _BT601, 6: _BT601,
    7: (117579, 136230, 16907, 35559), 9: (110013, 140363, 12277, 42626)}


class YUV(NamedTuple):
    """What turns planes to RGB: swscale's whole numbers.

    With the products ``8 * (x - black) * weight >> 16``, where black is
    128 of U and V, red is Y + V, green Y + U + V, and blue Y + U.
    """

    black: int  # of Y
    luma: int
    red_v: int
    blue_u: int
    green_u: int
    green_v: int


class NoPlanes(Exception):
    """A frame is of another kind."""


def planes_of(frame: Any) -> Tuple[np.ndarray, YUV]:
    """Return the planes of a frame of PyAV's, uint8 [H * 3 / 2, W]: Y, then U
    and V at half the size. NoPlanes if it has others, is to be turned, or is
    interlaced: swscale then turns each field to RGB by itself."""
    weights = _WEIGHTS.get(frame.colorspace)
    name = frame.format.name
    if (name not in _FORMATS or not weights or frame.interlaced_frame
            or frame.side_data.get('DISPLAYMATRIX') is not None):
        raise NoPlanes
    if name == 'yuvj420p' or frame.color_range == 2:  # 0 to 255
        black, luma = 0, 65536
        weights = tuple(weight * 224 // 255 for weight in weights)
    else:
        black, luma = 16, 65536 * 255 // 219
    red, blue, green_u, green_v = weights
    return frame.to_ndarray(), YUV(black, *(
        (8192 * weight + 32768) >> 16
        for weight in (luma, red, blue, -green_u, -green_v)))


def read_planes(video: Any, indices: Sequence[int], size: Tuple[int, int],
                pix_fmt: Optional[str]
                ) -> Tuple[List[np.ndarray], Optional[YUV]]:
    """Return planes of a VideoFile's frames and what turns them to RGB; or
    its RGB frames and None, if any of them is of another kind."""
    width, height = size
    if (pix_fmt in _FORMATS and width * height <= MAX_PIXELS
            and width % 2 == height % 2 == 0):
        try:
            frames, colours = zip(*video.frames(indices, planes_of))
            if len(set(colours)) == 1 and {frame.shape for frame in frames
                                           } == {(height * 3 // 2, width)}:
                return list(frames), colours[0]
        except NoPlanes:
            pass
    return video.frames(indices), None
