"""Attention maps as one picture, in the manner of ViFi-CLIP's figures.

Rows are the frames and the maps of each model and method, columns are time.
Lengths are pixels.
"""
import io
from typing import List, Sequence

import numpy as np

from ..cli.font import dejavu, wrap
from .overlay import Row, Scores, enlarge, overlay

_CELL = 180  # a frame's shorter side
_GAP = 7
_LABELS = 210  # width of the column of labels
_LINE = 26  # height of a line of text
_MARGIN = 14
_NARROWEST = 588  # for the line under the frames
_INK, _GREY, _PAPER = (0, 0, 0), (102, 102, 102), (255, 255, 255)


def draw_grid(title: str, rows: Sequence[Row], scores: Sequence[Scores],
              times: Sequence[float], columns: int) -> bytes:
    """Draw the picture, a PNG: the video's ``title`` and each model's scores
    over at most so many ``columns``, chosen evenly from the frames at the T
    ``times`` (seconds); ``rows`` are the models for each method."""
    from PIL import Image, ImageDraw
    chosen = choose(len(times), columns)
    frames = enlarge(rows[0].images[chosen], _CELL)
    height, width = frames.shape[1:3]
    scale = _CELL / min(height, width)
    height, width = round(scale * height), round(scale * width)
    left = _MARGIN + _LABELS
    right = max(left + len(chosen) * (width + _GAP) - _GAP,
                _NARROWEST - _MARGIN)
    head = _header(title, scores, right - _MARGIN)
    top = _MARGIN + round(_LINE * (len(head) + 1.3))
    bottom = top + (len(rows) + 1) * (height + _GAP)
    page = Image.new('RGB', (right + _MARGIN, bottom + 60), _PAPER)
    draw = ImageDraw.Draw(page)
    _write(draw, _MARGIN + _LINE * len(head) / 2, head)
    lines = [(frames, [('frames', _INK, dejavu(18))]),
             *((row.pictures(_CELL, chosen), _label(row)) for row in rows)]
    for line, (images, label) in enumerate(lines):
        y = top + line * (height + _GAP)
        _write(draw, y + height / 2, label)
        for column, image in enumerate(images):
            page.paste(Image.fromarray(image).resize((width, height)),
                       (left + column * (width + _GAP), y))
    for column, index in enumerate(chosen):
        x = left + column * (width + _GAP) + width / 2
        draw.text((x, top - 0.55 * _LINE), f'{times[index]:.2f} s', _INK,
                  dejavu(15), anchor='mm')
    page.paste(Image.fromarray(_colour_bar()), (_MARGIN + 48, bottom + 12))
    for x, text in (0, 'low'), (238, 'high (the range is at the left of each '
                                'row)'):
        draw.text((_MARGIN + x, bottom + 20), text, _INK, dejavu(14),
                  anchor='lm')
    out = io.BytesIO()
    page.save(out, 'PNG')
    return out.getvalue()


def choose(total: int, count: int) -> List[int]:
    """Choose ``count`` of ``total`` frames evenly, first and last included;
    all if there are no more."""
    if total <= count:
        return list(range(total))
    return np.linspace(0, total - 1, count).round().astype(int).tolist()


def _colour_bar() -> np.ndarray:
    """Draw the colours from a row's lowest value to its highest, as they look
    over a white frame."""
    ramp = np.linspace(0, 1, 180, dtype=np.float32)[None, None]
    white = np.full((1, 17, 180, 3), 255, dtype=np.uint8)
    return overlay(white, ramp, (0, 1))[0]


def _write(draw, middle: float, lines: Sequence[tuple]) -> None:
    """Write lines of (text, colour, font) at the left, around a height."""
    for number, (text, ink, font) in enumerate(lines):
        y = middle + (number - (len(lines) - 1) / 2) * _LINE
        draw.text((_MARGIN, y), text, ink, font, anchor='lm')


def _header(title: str, scores: Sequence[Scores], width: float) -> List[tuple]:
    """Write the video's name and the models' best labels."""
    bold, font = dejavu(20, bold=True), dejavu(16)
    lines = [(line, _INK, bold) for line in wrap(title, bold, width, 1)]
    for score in scores:
        text = (f'{score.model}:  ' if len(scores) > 1 else '') + score.line()
        lines += [(line, _INK, font) for line in wrap(text, font, width, 4)]
    return lines


def _label(row: Row) -> List[tuple]:
    """Write what a row shows: model, method and range."""
    return [(line, ink, font) for text, ink, font, most in (
        (row.model, _INK, dejavu(18, bold=True), 2),
        (row.title, _INK, dejavu(16), 4), (row.scale, _GREY, dejavu(13), 1))
        for line in wrap(text, font, _LABELS - _GAP, most)]
