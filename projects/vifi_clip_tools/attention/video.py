"""Attention maps as a video: the clip beside its overlays."""
import io
from fractions import Fraction
from typing import Iterable, Iterator, List, Sequence

import numpy as np

from .rows import Row, Scores
from ..cli.font import dejavu
from ..cli.h264 import write_h264
from .overlay import enlarge

_PANEL = 256  # pixels of a frame's shorter side
_STRIP = 52  # height of the text over a panel: two lines
_FOOT = 24
_GAP = 6
_FONT = 15
_INK, _PAPER = (20, 20, 20), (255, 255, 255)
_SLOWEST, _FASTEST = 4, 30  # frames per second


def draw_video(rows: Sequence[Row], scores: Sequence[Scores],
               times: Sequence[float]) -> Iterator[np.ndarray]:
    """Frames of the video: a line for each model, with its frame at the left
    and a panel for each method.

    Args:
        rows (Sequence[Row]): See :func:`attention_rows.make_rows`; all with
            frames of one size.
        scores (Sequence[Scores]): Of each model.
        times (Sequence[float]): T times of the frames in seconds.

    Yields:
        np.ndarray: uint8 [H, W, 3], H and W even.
    """
    from PIL import Image, ImageDraw
    everything = range(len(times))
    names = [score.model for score in scores]
    lines = [[row for row in rows if row.model == name] for name in names]
    overlays = [[row.pictures(_PANEL, everything) for row in line]
                for line in lines]
    originals = [enlarge(line[0].images, _PANEL) for line in lines]
    height, width = max(panel.shape[1:3] for panel in originals)
    pitch = width + _GAP, height + _STRIP
    size = (_even(pitch[0] * (len(lines[0]) + 1) + _GAP),
            _even(pitch[1] * len(lines) + _FOOT))
    page = Image.new('RGB', size, _PAPER)
    for y, (line, score) in enumerate(zip(lines, scores)):
        captions = [f'{score.model}: {score.line(1)}'] + [
            row.what for row in line]
        for x, caption in enumerate(captions):
            _write(ImageDraw.Draw(page), _GAP + x * pitch[0], y * pitch[1],
                   caption, width)
    for t, time in enumerate(times):
        canvas = page.copy()
        for y in range(len(lines)):
            for x, panel in enumerate([originals[y], *overlays[y]]):
                canvas.paste(Image.fromarray(panel[t]),
                             (_GAP + x * pitch[0], y * pitch[1] + _STRIP))
        ImageDraw.Draw(canvas).text(
            (_GAP, size[1] - _FOOT + 3), f'{time:.2f} s', _INK, dejavu(_FONT))
        yield np.asarray(canvas)


def video_rate(times: Sequence[float]) -> Fraction:
    """Frames per second of the video: as in life, but for clips of which so
    few frames are shown that it would be a slide show.

    Args:
        times (Sequence[float]): Times of the frames in seconds.
    """
    span = times[-1] - times[0]
    rate = (len(times) - 1) / span if span > 0 else _SLOWEST
    return Fraction(min(max(rate, _SLOWEST), _FASTEST)).limit_denominator(
        1001)


def encode_mp4(frames: Iterable[np.ndarray], rate: Fraction) -> bytes:
    """Encode an H.264 video that browsers and slides play.

    Args:
        frames (Iterable[np.ndarray]): uint8 [H, W, 3], RGB, of one even size.
        rate (Fraction): Frames per second.

    Returns:
        bytes: The content of an .mp4 file.

    Raises:
        UserError: This PyAV has no encoder for H.264.
    """
    out = io.BytesIO()
    write_h264(out, frames, rate)
    return out.getvalue()


def _even(number: int) -> int:
    return number + number % 2


def _write(draw, x: int, y: int, text: str, width: int) -> None:
    """Two lines at most, right above the panel."""
    lines = _fit(draw, text, width)
    for number, line in enumerate(lines):
        up = (len(lines) - number) * (_FONT + 4)
        draw.text((x, y + _STRIP - 4 - up), line, _INK, dejavu(_FONT))


def _fit(draw, text: str, width: int) -> List[str]:
    """Words in lines of so many pixels; what is too much ends in dots."""
    font, lines = dejavu(_FONT), ['']
    for word in text.split():
        longer = f'{lines[-1]} {word}'.strip()
        if lines[-1] and draw.textlength(longer, font) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    shown = lines[:2]
    for number, line in enumerate(shown):
        cut = number == 1 and len(lines) > 2
        while cut or draw.textlength(line, font) > width:
            line, cut = line.rstrip('…')[:-1] + '…', False
        shown[number] = line
    return shown
