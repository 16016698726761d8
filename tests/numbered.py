"""Clips whose frames carry their own number, and coloured corners."""
from fractions import Fraction

import av
import numpy as np

CORNERS = [(220, 30, 30), (30, 200, 30), (30, 30, 220), (230, 230, 40)]
FPS = 25
_BITS = 10  # two rows of five blocks


def draw(number, width=160, height=96):
    """A frame with its number in binary and a colour in each corner."""
    frame = np.full((height, width, 3), 90, np.uint8)
    side = height // 4
    for (down, right), colour in zip(np.ndindex(2, 2), CORNERS):
        y, x = down * (height - side), right * (width - side)
        frame[y:y + side, x:x + side] = colour
    for bit, block in enumerate(_blocks(frame)):
        block[:] = 235 if number >> bit & 1 else 16
    return frame


def read(frame):
    """Number that a frame carries."""
    grey = frame.astype(float).mean(-1)
    return sum(int(block[3:-3, 3:-3].mean() > 125) << bit
               for bit, block in enumerate(_blocks(grey)))


def is_upright(frame):
    """Whether all four corners have their colours."""
    inner = np.asarray(frame, float)
    side = min(frame.shape[:2]) // 4
    corners = [inner[3:side - 3, 3:side - 3], inner[3:side - 3, 3 - side:-3],
               inner[3 - side:-3, 3:side - 3],
               inner[3 - side:-3, 3 - side:-3]]
    return all(np.abs(corner.mean((0, 1)) - colour).max() < 60
               for corner, colour in zip(corners, CORNERS))


def _blocks(frame):
    height, width = frame.shape[:2]
    down, right = height // 6, width // 6
    for bit in range(_BITS):
        y = height // 3 + bit // 5 * down
        x = width // 12 + bit % 5 * right
        yield frame[y:y + down, x:x + right]


def write(path, codec='libx264', count=90, times=None, rotation=None,
          size=(160, 96), turn=None, **options):
    """Encode frames 0 to ``count``, shown at ``times`` (ticks of 1/1000 s).

    ``rotation`` is what the display matrix says (degrees counter-clockwise,
    whether it is mirrored then); ``turn`` changes frames before encoding.
    """
    with av.open(str(path), 'w') as file:
        stream = file.add_stream(codec, rate=FPS, options={
            'threads': '1', **options})
        stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
        first = turn(draw(0, *size)) if turn else draw(0, *size)
        stream.height, stream.width = first.shape[:2]
        stream.bit_rate = 2_000_000
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        for number in range(count):
            picture = draw(number, *size)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(
                turn(picture) if turn else picture), format='rgb24')
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            else:
                frame.pts, frame.time_base = number, Fraction(1, FPS)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return str(path)
