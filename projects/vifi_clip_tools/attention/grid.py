"""Attention maps as one picture, in the manner of ViFi-CLIP's figures.

Rows are the frames and the maps of each model and method, columns are time.
Lengths are inches, from the top left corner.
"""
import io
import textwrap
from typing import List, Sequence, Tuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .overlay import Row, Scores, enlarge, overlay

_CELL = 1.5  # and _PIXELS, of a frame's shorter side
_PIXELS = 180
_GAP = 0.06
_LABELS = 1.75  # width of the column of labels
_LINE = 0.22  # height of a line of text
_MARGIN = 0.12
_WRAP = 21  # characters in the column of labels
_NARROWEST = 4.9  # for the line under the frames
Lines = List[Tuple[str, dict]]  # text with its style


def draw_grid(title: str,
              rows: Sequence[Row],
              scores: Sequence[Scores],
              times: Sequence[float],
              columns: int = 8) -> bytes:
    """Draw the picture.

    Args:
        title (str): The video's name.
        rows (Sequence[Row]): For each method, the models.
        scores (Sequence[Scores]): Of each model, written over the frames.
        times (Sequence[float]): T times of the frames in seconds.
        columns (int): Frames to show at most, chosen evenly. Defaults to 8.

    Returns:
        bytes: A PNG.
    """
    chosen = choose(len(times), columns)
    frames = rows[0].images[chosen]
    aspect = frames.shape[2] / frames.shape[1]
    cell = _CELL * max(aspect, 1), _CELL / min(aspect, 1)
    pitch = cell[0] + _GAP, cell[1] + _GAP
    width = _LABELS + len(chosen) * pitch[0]
    head = _header(title, scores, max(width, _NARROWEST))
    top = _MARGIN + _LINE * (len(head) + 1.3)
    page = _Page(max(2 * _MARGIN + width - _GAP, _NARROWEST),
                 top + (len(rows) + 1) * pitch[1] + 0.5)
    for number, (line, style) in enumerate(head):
        page.text(_MARGIN, _MARGIN + (number + 0.5) * _LINE, line, **style)
    pictures = [enlarge(frames, _PIXELS),
                *(row.pictures(_PIXELS, chosen) for row in rows)]
    labels = [[('frames', dict(fontsize=11))], *map(_label, rows)]
    for line, (images, label) in enumerate(zip(pictures, labels)):
        y = top + line * pitch[1]
        for number, (text, style) in enumerate(label):
            offset = (number - (len(label) - 1) / 2) * 0.95 * _LINE
            page.text(_MARGIN, y + cell[1] / 2 + offset, text, **style)
        for column, image in enumerate(images):
            page.image(_MARGIN + _LABELS + column * pitch[0], y, *cell, image)
    for column, index in enumerate(chosen):
        x = _MARGIN + _LABELS + column * pitch[0] + cell[0] / 2
        page.text(x, top - 0.55 * _LINE, f'{times[index]:.2f} s', ha='center',
                  fontsize=9)
    _colour_bar(page, top + len(pictures) * pitch[1] + 0.06)
    out = io.BytesIO()
    page.figure.savefig(out, format='png', dpi=_PIXELS / _CELL)
    return out.getvalue()


def choose(total: int, count: int) -> List[int]:
    """Choose ``count`` of ``total`` frames evenly, first and last included;
    all if there are no more."""
    if total <= count:
        return list(range(total))
    return np.linspace(0, total - 1, count).round().astype(int).tolist()


class _Page:
    """A figure on which things are put by inches."""

    def __init__(self, width: float, height: float) -> None:
        # Not through pyplot: no display, and no state that others share.
        self.figure = Figure(figsize=(width, height))
        FigureCanvasAgg(self.figure)
        self.width, self.height = width, height

    def text(self, x: float, y: float, text: str, ha: str = 'left',
             **style) -> None:
        self.figure.text(x / self.width, 1 - y / self.height, text, ha=ha,
                         va='center', parse_math=False, **style)

    def image(self, x: float, y: float, width: float, height: float,
              image: np.ndarray) -> None:
        axes = self.figure.add_axes(
            (x / self.width, 1 - (y + height) / self.height,
             width / self.width, height / self.height))
        axes.imshow(image, aspect='auto')
        axes.set_axis_off()


def _header(title: str, scores: Sequence[Scores], width: float) -> Lines:
    """Write the video's name and the models' best labels."""
    characters = int(width / 0.082)
    room = int(characters * 0.7)
    if len(title) > room:
        title = title[:room - 1] + '…'
    lines = [(title, dict(fontsize=12, weight='bold'))]
    for score in scores:
        line = (f'{score.model}:  ' if len(scores) > 1 else '') + score.line()
        lines += [(part, dict(fontsize=9.5, weight='normal'))
                  for part in textwrap.wrap(line, characters)]
    return lines


def _label(row: Row) -> Lines:
    """Write what a row shows: model, method and range."""
    return [
        (part, style) for text, characters, most, style in (
            (row.model, _WRAP - 3, 2, dict(fontsize=11, weight='bold')),
            (row.title, _WRAP, 4, dict(fontsize=9.5)),
            (row.scale, _WRAP + 4, 1, dict(fontsize=8, color='0.4')))
        for part in textwrap.wrap(text, characters, break_on_hyphens=False,
                                  max_lines=most, placeholder=' …')]


def _colour_bar(page: _Page, y: float) -> None:
    """Draw the colours from a row's lowest value to its highest, as they look
    over a white frame."""
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None, None]
    white = np.full((1, 1, 256, 3), 255, dtype=np.uint8)
    x = _MARGIN + 0.4
    page.image(x, y + 0.04, 1.5, 0.14, overlay(white, ramp, (0, 1))[0])
    page.text(_MARGIN, y + 0.11, 'low', fontsize=8.5)
    page.text(x + 1.58, y + 0.11, 'high (the range is at the left of each '
              'row)', fontsize=8.5)
