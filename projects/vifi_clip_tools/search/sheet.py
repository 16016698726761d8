"""Hits as text, and as one picture with frames of them."""
import io
import os
import os.path as osp
import unicodedata
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.errors import UnreadableVideo
from ..cli.font import dejavu
from .store import Hit

FRAMES = 4  # of each hit
_TILE = (160, 120)  # pixels
_WIDE = FRAMES * _TILE[0]
_GAP, _LINE, _HEAD = 16, 24, 44
_PAPER, _INK, _PALE, _EMPTY = '#ffffff', '#1a1a1a', '#666666', '#e6e6e6'


def format_hits(hits: Sequence[Hit]) -> str:
    """Format hits, best first, as a table with rank, cosine, time and path;
    long paths lose their middle."""
    spans = [format_span(hit.start, hit.end) for hit in hits]
    column = max(len(text) for text in ['time', *spans])
    lines = [f'rank  cosine  {"time":<{column}}  video']
    room = 80 - len(lines[0]) + len('video')
    for rank, (hit, span) in enumerate(zip(hits, spans), 1):
        lines.append(f'{rank:4d}  {hit.similarity:6.3f}  {span:<{column}}  '
                     f'{shorten(hit.path, room)}')
    return '\n'.join(lines)


def format_span(start: Optional[float], end: Optional[float]) -> str:
    """Format a window: '0:05.0-0:10.0', or '1:00:05-1:01:40' of long videos;
    'whole' for a video that was not cut."""
    if start is None or end is None:
        return 'whole'
    texts = []
    for time in start, end:
        # Tenths where a window may begin and end in one second.
        whole, tenth = divmod(round(time * 10), 10)
        minutes, second = divmod(whole, 60)
        hours, minute = divmod(minutes, 60)
        texts.append(f'{hours}:{minute:02d}:{second:02d}'
                     if hours or end >= 3600 else
                     f'{minute}:{second:02d}.{tenth}')
    return '-'.join(texts)


def shorten(text: str, width: int) -> str:
    """Leave out the middle of a text that takes more than ``width`` columns
    (5 at least). The end, which has the name of a file, gets two thirds."""
    text = ''.join(c if c.isprintable() else '?' for c in text)
    if _columns(text) <= width:
        return text
    room = width - 3
    start = _take(text, room // 3)
    end = _take(text[::-1], room - _columns(start))[::-1]
    return f'{start}...{end}'


def _take(text: str, width: int) -> str:
    """Return as much of the start of a text as there is room for."""
    ends = np.cumsum([_columns(letter) for letter in text])
    return text[:np.searchsorted(ends, width, 'right')]


def _columns(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else
               1 + (unicodedata.east_asian_width(c) in 'WF') for c in text)


def contact_sheet(hits: Sequence[Hit], query: str) -> Image.Image:
    """Draw a few frames of each hit, best first, under its rank, cosine, time
    and name: up to four below each other, more in two columns. A video that
    can no longer be read says so in its place."""
    columns = 1 if len(hits) <= 4 else 2
    rows = max(-(-len(hits) // columns), 1)
    across, down = _WIDE + _GAP, _LINE + _TILE[1] + _GAP  # of a hit
    sheet = Image.new('RGB', (_GAP + columns * across, _HEAD + rows * down),
                      _PAPER)
    draw = ImageDraw.Draw(sheet)
    _write(draw, _GAP, 12, query, sheet.width - 2 * _GAP, _INK,
           dejavu(20, bold=True))
    if not hits:
        _write(draw, _GAP, _HEAD, 'nothing was found', _WIDE)
    for i, hit in enumerate(hits):
        _draw_hit(sheet, draw, hit, i + 1, _GAP + i % columns * across,
                  _HEAD + i // columns * down)
    return sheet


def _draw_hit(sheet: Image.Image, draw: ImageDraw.ImageDraw, hit: Hit,
              rank: int, x: int, y: int) -> None:
    numbers, bold = f'{rank}.  {hit.similarity:.3f}  ', dejavu(14, bold=True)
    if hit.start is not None:
        numbers += f'{format_span(hit.start, hit.end)}  '
    draw.text((x, y), numbers, fill=_INK, font=bold)
    begin = draw.textlength(numbers, font=bold)
    # the file and its folder, which often says more
    _write(draw, x + begin, y, '/'.join(hit.path.split(os.sep)[-2:]),
           _WIDE - begin)
    frames, problem = read_frames(hit)
    y += _LINE
    if problem:
        draw.rectangle((x, y, x + _WIDE - 1, y + _TILE[1] - 1), fill=_EMPTY)
        _write(draw, x + 12, y + 12, problem, _WIDE - 24)
    for i, frame in enumerate(frames):
        tile = ImageOps.pad(frame, (_TILE[0] - 2, _TILE[1]),
                            Image.Resampling.LANCZOS, color=_PAPER)
        sheet.paste(tile, (x + i * _TILE[0] + 1, y))


def _write(draw: ImageDraw.ImageDraw, x: float, y: float, text: str,
           width: float, colour: str = _PALE, font: Any = None) -> None:
    """Write a text, which loses its middle until it fits."""
    font = font or dejavu(14)
    size = max(len(text), 5)
    while size > 5 and draw.textlength(shorten(text, size), font=font) > width:
        size -= 1
    draw.text((x, y), shorten(text, size), fill=colour, font=font)


def stack(sheets: Sequence[Image.Image]) -> Image.Image:
    """Put the sheets of several queries below each other."""
    width = max(sheet.width for sheet in sheets)
    return Image.fromarray(np.vstack([
        ImageOps.expand(sheet, (0, 0, width - sheet.width, 0), _PAPER)
        for sheet in sheets]))


def encode(sheet: Image.Image, path: str) -> bytes:
    """Encode a picture in the format that a file's name asks for."""
    file, png = io.BytesIO(), path.lower().endswith('.png')
    sheet.save(file, 'PNG' if png else 'JPEG', quality=90)  # of JPEG alone
    return file.getvalue()


def read_frames(hit: Hit) -> Tuple[List[Image.Image], str]:
    """Read frames from the middles of equal parts of a video or window.
    Returns pictures of PIL, and what is wrong if there are none."""
    if not osp.exists(hit.path):
        return [], 'the file is no longer there'
    start, end = hit.start, hit.end
    try:
        video = VideoFile(hit.path)
        times = video.frame_times()
        if start is None or end is None:
            start, end = 0., times[-1]
        middles = start + (np.arange(FRAMES) + 0.5) * (end - start) / FRAMES
        shown = np.searchsorted(times, middles, 'right') - 1
        frames = video.frames(shown.clip(0, len(video) - 1))
    except UnreadableVideo as error:
        return [], f'cannot be read: {error.reason}'
    return [Image.fromarray(frame) for frame in frames], ''
