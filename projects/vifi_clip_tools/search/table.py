"""Hits as text."""
import unicodedata
from typing import List, Optional, Sequence

from .rows import Hit

WIDTH = 80


def format_hits(hits: Sequence[Hit], width: int = WIDTH) -> str:
    """A table with rank, cosine, time and path.

    Args:
        hits (Sequence[Hit]): Best first.
        width (int): Columns of the terminal; long paths lose their middle.

    Returns:
        str: Lines.
    """
    times = [format_span(hit.start, hit.end) for hit in hits]
    column = max(len(text) for text in ['time', *times])
    lines = [f'rank  cosine  {"time":<{column}}  video']
    room = width - len(lines[0]) + len('video')
    for rank, (hit, span) in enumerate(zip(hits, times), 1):
        lines.append(f'{rank:4d}  {hit.similarity:6.3f}  {span:<{column}}  '
                     f'{shorten(hit.path, room)}')
    return '\n'.join(lines)


def format_span(start: Optional[float], end: Optional[float]) -> str:
    """'0:05-0:10'; 'whole' for a video that was not cut."""
    if start is None or end is None:
        return 'whole'
    return f'{_clock(start, end)}-{_clock(end, end)}'


def _clock(seconds: float, longest: float) -> str:
    # Tenths where a window may begin and end in one second.
    tenths = round(seconds * 10)
    whole, tenth = divmod(tenths, 10)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    if hours or longest >= 3600:
        return f'{hours}:{minute:02d}:{second:02d}'
    return f'{minute}:{second:02d}.{tenth}'


def shorten(text: str, width: int) -> str:
    """Leave out the middle of a text that is too wide.

    The end, which has the name of the file, gets two thirds of the room.

    Args:
        text (str): A path.
        width (int): Columns, at least 5; East Asian letters take two.
    """
    text = ''.join(c if c.isprintable() else '?' for c in text)
    if _columns(text) <= width:
        return text
    room = width - 3
    start = _take(text, room // 3)
    end = _take(text[::-1], room - _columns(start))[::-1]
    return f'{start}...{end}'


def _take(text: str, width: int) -> str:
    """As much of the start of a text as there is room for."""
    taken: List[str] = []
    for letter in text:
        width -= _columns(letter)
        if width < 0:
            break
        taken.append(letter)
    return ''.join(taken)


def _columns(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(
        0 if unicodedata.combining(c) else 1 +
        (unicodedata.east_asian_width(c) in 'WF') for c in text)
