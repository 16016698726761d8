"""What pictures and videos are made with: letters, and H.264, which browsers,
players and slides show."""
import os.path as osp
import textwrap
from fractions import Fraction
from functools import lru_cache
from typing import Any, BinaryIO, Iterable, List, Optional, Union

import numpy as np

from projects.vifi_clip.errors import UserError

_TICK = Fraction(1, 90000)  # seconds; as in broadcast


@lru_cache
def dejavu(size: int, bold: bool = False) -> Any:
    """Load DejaVu Sans of a size in pixels, which comes with matplotlib and
    has Greek and Cyrillic, too."""
    import matplotlib
    from PIL import ImageFont
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(
        osp.join(matplotlib.get_data_path(), 'fonts', 'ttf', name), size)


def wrap(text: str, font: Any, width: float, most: int) -> List[str]:
    """Break a text into at most so many lines of a width in pixels; what is
    too much ends in dots."""
    text, lines = text[:1000], []  # nobody reads, or lays out, more
    for characters in range(len(text) + 2, 2, -1):
        lines = textwrap.wrap(text, characters, max_lines=most,
                              placeholder=' …', break_on_hyphens=False)
        if all(font.getlength(line) <= width for line in lines):
            break
    return lines


def write_h264(target: Union[str, BinaryIO], frames: Iterable[np.ndarray],
               rate: Fraction, crf: int = 18, preset: str = 'medium',
               times: Optional[Iterable[Fraction]] = None) -> None:
    """Encode frames, uint8 RGB [H, W, 3] of one even size, as .mp4 while they
    come.

    ``rate`` is in frames per second; ``crf`` is x264's quality, lower is
    better, and ``preset`` its speed. ``times`` are the seconds at which each
    frame is shown, ascending, and are asked for one after the frame; without
    them, ``rate`` says it.
    """
    import av
    # what FFmpeg takes; at 0 it would choose a rate of its own
    rate = max(Fraction(rate).limit_denominator(1001 if rate >= 1 else 10**6),
               Fraction(1, 10**6))
    options = dict(crf=str(crf), preset=preset)
    if times is not None:
        options['bf'] = '0'  # reordered, the last one's length would be lost
    with av.open(target, 'w', format='mp4') as container:
        try:
            stream = container.add_stream(
                'libx264', rate=rate, options=options)
        except ValueError as error:  # what PyAV's own errors derive from
            raise UserError('this PyAV cannot write H.264 (no libx264): pip '
                            'install av') from error
        stream.pix_fmt = 'yuv420p'
        if times is not None:
            stream.codec_context.time_base = _TICK
        moments = None if times is None else iter(times)
        for frame in frames:
            if not stream.codec_context.is_open:
                stream.height, stream.width = frame.shape[:2]
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            if moments is not None:
                picture.time_base = _TICK
                picture.pts = round(next(moments) / _TICK)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
