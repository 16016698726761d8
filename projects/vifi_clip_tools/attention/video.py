"""Attention maps as a video: the clip beside its overlays."""
import io
from fractions import Fraction
from typing import Iterator, Sequence

import numpy as np

from ..cli.font import dejavu, wrap
from ..cli.h264 import write_h264
from .overlay import Row, Scores, enlarge

_PANEL = 256  # pixels of a frame's shorter side
_STRIP = 52  # height of the text over a panel: two lines
_FOOT = 24
_GAP = 6
_FONT = 15
_INK, _PAPER = (20, 20, 20), (255, 255, 255)
_SLOWEST, _FASTEST = 4, 30  # frames per second


def draw_video(rows: Sequence[Row], scores: Sequence[Scores],
               times: Sequence[float]) -> bytes:
    """Draw :func:`draw_frames` as an .mp4 file."""
    out = io.BytesIO()
    write_h264(out, draw_frames(rows, scores, times), video_rate(times))
    return out.getvalue()


def draw_frames(rows: Sequence[Row], scores: Sequence[Scores],
                times: Sequence[float]) -> Iterator[np.ndarray]:
    """Draw the frames of the video, uint8 [H, W, 3] with H and W even, at the
    T ``times`` (seconds): a line for each model, with its frame at the left
    and a panel for each method. The rows have frames of one size."""
    from PIL import Image, ImageDraw
    # A line for each model: its name, then a caption and pictures per panel.
    lines = [[row for row in rows if row.model == score.model]
             for score in scores]
    panels = [[enlarge(line[0].images, _PANEL),
               *(row.pictures(_PANEL, range(len(times))) for row in line)]
              for line in lines]
    height, width = max(line[0].shape[1:3] for line in panels)
    pitch = width + _GAP, height + _STRIP
    size = tuple(side + side % 2 for side in (
        pitch[0] * len(panels[0]) + _GAP, pitch[1] * len(lines) + _FOOT))
    page = Image.new('RGB', size, _PAPER)
    draw, font = ImageDraw.Draw(page), dejavu(_FONT)
    for y, (line, score) in enumerate(zip(lines, scores)):
        captions = [f'{score.model}: {score.line(1)}',
                    *(row.title for row in line)]
        for x, caption in enumerate(captions):  # right above its panel
            text = '\n'.join(wrap(caption, font, width, 2))
            draw.text((_GAP + x * pitch[0], y * pitch[1] + _STRIP - 4),
                      text, _INK, font, anchor='ld')
    for t, time in enumerate(times):
        canvas = page.copy()
        for y, line in enumerate(panels):
            for x, pictures in enumerate(line):
                canvas.paste(Image.fromarray(pictures[t]),
                             (_GAP + x * pitch[0], y * pitch[1] + _STRIP))
        ImageDraw.Draw(canvas).text(
            (_GAP, size[1] - _FOOT + 3), f'{time:.2f} s', _INK, font)
        yield np.asarray(canvas)


def video_rate(times: Sequence[float]) -> Fraction:
    """Return frames per second: the clip's speed within bounds, so that few
    frames of a long clip do not become a slide show."""
    span = times[-1] - times[0]
    rate = (len(times) - 1) / span if span > 0 else _SLOWEST
    return Fraction(min(max(rate, _SLOWEST), _FASTEST))
