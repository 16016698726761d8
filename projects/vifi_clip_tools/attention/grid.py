"""Attention maps as one picture, in the manner of ViFi-CLIP's figures.

Rows are the frames and the maps of each model and method, columns are time.
"""
import io
import textwrap
from typing import List, Optional, Sequence

import numpy as np

from .rows import Row, Scores, choose
from .overlay import enlarge, overlay

_CELL = 1.5  # inches, and _PIXELS of a frame's shorter side
_PIXELS = 180
_GAP = 0.06
_LABELS = 1.75  # width of the column of labels
_LINE = 0.22  # height of a line of text
_MARGIN = 0.12
_WRAP = 21  # characters in the column of labels
_NARROWEST = 4.9  # for the line under the frames


def draw_grid(title: str,
              rows: Sequence[Row],
              scores: Sequence[Scores],
              times: Sequence[float],
              columns: int = 8) -> bytes:
    """Draw the picture.

    Args:
        title (str): The video's name.
        rows (Sequence[Row]): See :func:`attention_rows.make_rows`.
        scores (Sequence[Scores]): Of each model, written over the frames.
        times (Sequence[float]): T times of the frames in seconds.
        columns (int): Frames to show at most, chosen evenly. Defaults to 8.

    Returns:
        bytes: A PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    chosen = choose(len(times), columns)
    frames = rows[0].images[chosen]
    aspect = frames.shape[2] / frames.shape[1]
    cell = _CELL * max(aspect, 1), _CELL / min(aspect, 1)
    pitch = cell[0] + _GAP, cell[1] + _GAP
    head = _header(title, scores, max(
        _LABELS + len(chosen) * pitch[0], _NARROWEST))
    top = _MARGIN + _LINE * (len(head) + 1.3)
    size = (max(2 * _MARGIN + _LABELS + len(chosen) * pitch[0] - _GAP,
                _NARROWEST),
            top + (len(rows) + 1) * pitch[1] + 0.5)
    # Not through pyplot: no display, and no state that others share.
    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    place = _Places(figure, size)
    for number, (line, bold) in enumerate(head):
        place.text(_MARGIN, _MARGIN + (number + 0.5) * _LINE, line,
                   fontsize=12 if bold else 9.5,
                   weight='bold' if bold else 'normal')
    pictures = [enlarge(frames, _PIXELS)]
    pictures += [row.pictures(_PIXELS, chosen) for row in rows]
    for line, images in enumerate(pictures):
        y = top + line * pitch[1]
        _label(place, y + cell[1] / 2, rows[line - 1] if line else None)
        for column, image in enumerate(images):
            x = _MARGIN + _LABELS + column * pitch[0]
            place.image(x, y, *cell, image)
            if not line:
                place.text(x + cell[0] / 2, y - 0.55 * _LINE,
                           f'{times[chosen[column]]:.2f} s', ha='center',
                           fontsize=9)
    _colour_bar(place, top + len(pictures) * pitch[1] + 0.06)
    out = io.BytesIO()
    figure.savefig(out, format='png', dpi=_PIXELS / _CELL)
    return out.getvalue()


class _Places:
    """A figure whose places are inches from the top left corner."""

    def __init__(self, figure, size: Sequence[float]) -> None:
        self.figure, (self.width, self.height) = figure, size

    def text(self, x: float, y: float, text: str, **style) -> None:
        style = dict(dict(ha='left', va='center', parse_math=False), **style)
        self.figure.text(x / self.width, 1 - y / self.height, text, **style)

    def axes(self, x: float, y: float, width: float, height: float):
        return self.figure.add_axes(
            (x / self.width, 1 - (y + height) / self.height,
             width / self.width, height / self.height))

    def image(self, x: float, y: float, width: float, height: float,
              image) -> None:
        axes = self.axes(x, y, width, height)
        axes.imshow(image, aspect='auto')
        axes.set_axis_off()


def _header(title: str, scores: Sequence[Scores], width: float) -> List:
    """Lines over the frames, with whether they are bold."""
    characters = int(width / 0.082)
    room = int(characters * 0.7)
    lines = [(title if len(title) <= room else title[:room - 1] + '…', True)]
    named = len(scores) > 1
    for score in scores:
        line = (f'{score.model}:  ' if named else '') + score.line()
        lines += [(part, False) for part in textwrap.wrap(line, characters)]
    return lines


def _label(place: _Places, y: float, row: Optional[Row]) -> None:
    """What a row shows, in the column at the left."""
    if row is None:
        lines = [('frames', dict(fontsize=11))]
    else:
        lines = [(part, dict(fontsize=11, weight='bold'))
                 for part in _wrap(row.model, _WRAP - 3, 2)]
        lines += [(part, dict(fontsize=9.5))
                  for part in _wrap(row.what, _WRAP, 4)]
        lines += [(part, dict(fontsize=8, color='0.4'))
                  for part in _wrap(row.scale, _WRAP + 4, 1)]
    for number, (text, style) in enumerate(lines):
        offset = (number - (len(lines) - 1) / 2) * 0.95 * _LINE
        place.text(_MARGIN, y + offset, text, **style)


def _wrap(text: str, characters: int, lines: int) -> List[str]:
    return textwrap.wrap(text, characters, break_on_hyphens=False,
                         max_lines=lines, placeholder=' …')


def _colour_bar(place: _Places, y: float) -> None:
    """Colours from a row's lowest value to its highest, as they look over a
    white frame."""
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None, None]
    white = np.full((1, 1, 256, 3), 255, dtype=np.uint8)
    x = _MARGIN + 0.4
    place.image(x, y + 0.04, 1.5, 0.14, overlay(white, ramp, (0, 1))[0])
    place.text(_MARGIN, y + 0.11, 'low', fontsize=8.5)
    place.text(x + 1.58, y + 0.11, 'high (the range is at the left of each '
               'row)', fontsize=8.5)
