"""Frames of the videos that were found, on one picture."""
import io
import os
import os.path as osp
from typing import Any, List, Optional, Sequence, Tuple

from .rows import Hit
from ..cli.font import dejavu
from .table import format_span, shorten

FRAMES = 4  # of each hit
_TILE = (160, 120)  # pixels
_GAP, _LINE, _HEAD = 16, 24, 44
_PAPER, _INK, _PALE, _EMPTY = '#ffffff', '#1a1a1a', '#666666', '#e6e6e6'


def contact_sheet(hits: Sequence[Hit], query: str) -> Any:
    """Draw a few frames of each hit under its rank, cosine, time and name.

    Args:
        hits (Sequence[Hit]): Best first.
        query (str): What was searched, the heading.

    Returns:
        PIL.Image.Image: RGB; up to four hits below each other, more in two
        columns. A video that can no longer be read says so in its place.
    """
    from PIL import Image, ImageDraw
    columns = 1 if len(hits) <= 4 else 2
    rows = -(-len(hits) // columns)
    wide, high = FRAMES * _TILE[0], _LINE + _TILE[1]
    sheet = Image.new('RGB', (_GAP + columns * (wide + _GAP),
                              _HEAD + max(rows, 1) * (high + _GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 12), _fitted(draw, query, dejavu(20, bold=True),
                                  sheet.width - 2 * _GAP),
              fill=_INK, font=dejavu(20, bold=True))
    if not hits:
        draw.text((_GAP, _HEAD), 'nothing was found', fill=_PALE,
                  font=dejavu(14))
    for i, hit in enumerate(hits):
        x = _GAP + i % columns * (wide + _GAP)
        y = _HEAD + i // columns * (high + _GAP)
        _draw_hit(sheet, draw, hit, i + 1, x, y)
    return sheet


def stack(sheets: Sequence[Any]) -> Any:
    """Put the sheets of several queries below each other."""
    from PIL import Image
    whole = Image.new('RGB', (max(s.width for s in sheets),
                              sum(s.height for s in sheets)), _PAPER)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def encode(sheet: Any, path: str) -> bytes:
    """A picture in the format that a file's name asks for."""
    file = io.BytesIO()
    kind = 'PNG' if path.lower().endswith('.png') else 'JPEG'
    sheet.save(file, kind, **({} if kind == 'PNG' else dict(quality=90)))
    return file.getvalue()


def _draw_hit(sheet: Any, draw: Any, hit: Hit, rank: int, x: int,
              y: int) -> None:
    from PIL import Image, ImageOps
    numbers = f'{rank}.  {hit.similarity:.3f}  '
    if hit.start is not None:
        numbers += f'{format_span(hit.start, hit.end)}  '
    draw.text((x, y), numbers, fill=_INK, font=dejavu(14, bold=True))
    begin = draw.textlength(numbers, font=dejavu(14, bold=True))
    wide = FRAMES * _TILE[0]
    draw.text((x + begin, y),
              _fitted(draw, _name(hit.path), dejavu(14), wide - begin),
              fill=_PALE, font=dejavu(14))
    frames, problem = read_frames(hit.path, hit.start, hit.end)
    y += _LINE
    if problem:
        draw.rectangle((x, y, x + wide - 1, y + _TILE[1] - 1), fill=_EMPTY)
        draw.text((x + 12, y + 12),
                  _fitted(draw, problem, dejavu(14), wide - 24), fill=_PALE,
                  font=dejavu(14))
    for i, frame in enumerate(frames):
        tile = ImageOps.pad(frame, (_TILE[0] - 2, _TILE[1]),
                            Image.Resampling.LANCZOS, color=_PAPER)
        sheet.paste(tile, (x + i * _TILE[0] + 1, y))


def _name(path: str) -> str:
    """The file and its folder, which often says more."""
    return '/'.join(path.split(os.sep)[-2:])


def read_frames(path: str, start: Optional[float], end: Optional[float],
                count: int = FRAMES) -> Tuple[List[Any], str]:
    """Frames from the middles of equal parts of a video or a window.

    Args:
        path (str): Video file.
        start, end (float, optional): Seconds; None for the whole video.
        count (int): How many.

    Returns:
        tuple: PIL pictures, and what is wrong if there are none.
    """
    import av
    from PIL import Image

    from projects.vifi_clip.datasets.video_reader import (duration, frame_at,
                                                          open_container)
    from projects.vifi_clip.errors import UnreadableVideo
    if not osp.exists(path):
        return [], 'the file is no longer there'
    try:
        with open_container(path) as container:
            if start is None or end is None:
                start, end = 0., duration(container)
            step = (end - start) / count
            frames = [frame_at(container, start + (i + 0.5) * step)
                      for i in range(count)]
    except UnreadableVideo as error:
        return [], f'cannot be read: {error.reason}'
    except av.FFmpegError as error:
        return [], f'cannot be read: {error}'
    frames = [Image.fromarray(frame) for frame in frames if frame is not None]
    return frames, '' if frames else 'no frame could be read'


def _fitted(draw: Any, text: str, font: Any, width: float) -> str:
    """A text that loses its middle until it fits."""
    size = max(len(text), 5)
    while size > 5 and draw.textlength(shorten(text, size), font=font) > width:
        size -= 1
    return shorten(text, size)
