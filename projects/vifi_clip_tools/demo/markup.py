"""Answers as HTML: readable at any width, light or dark, and by a reader.

Pictures are in the page itself, so that nothing is left on disk.
"""
import base64
import io
import os.path as osp
from html import escape
from typing import Any, Sequence, Tuple

import numpy as np

from .answers import Found, Frames, Recognition, Request
from .limits import Facts

_SHOWN = 10  # labels; the rest is folded
_SIDE = 240  # pixels of a picture's shorter side


def note(text: str) -> str:
    """A remark."""
    return f'<p class="vifi-note">{escape(text)}</p>'


def alert(text: str) -> str:
    """What is wrong; screen readers say it at once."""
    return f'<p class="vifi-alert" role="alert">{escape(text)}</p>'


def about_video(name: str, facts: Facts) -> str:
    """What was uploaded."""
    text = (f'{name}: {facts.seconds:.1f} s, {facts.width} x {facts.height} '
            'pixels.')
    if not facts.plays:
        text += (' Browsers cannot play it; that does not matter to the '
                 'model.')
    return note(text)


def verdict(request: Request, result: Recognition) -> str:
    """The best label, and all of them as bars."""
    best, score = result.ranking[0]
    head = f'<strong>{escape(best)}</strong> {percent(score)}'
    if result.label != best:
        head = (f'<strong>{escape(result.label.capitalize())}</strong> '
                f'The best, {escape(best)}, has {percent(score)}, below '
                f'{percent(request.threshold)}.')
    count = len(result.ranking)
    remark = 'Probabilities among these labels only.' if count > 1 else (
        'One label always has 100%: add others to compare with.')
    return (f'<div class="vifi-answer" role="status"><p class="vifi-verdict">'
            f'{head}</p>{_bars(result.ranking[:_SHOWN])}'
            f'{_folded(result.ranking[_SHOWN:])}{note(remark)}</div>')


def percent(score: float) -> str:
    """A probability for people; no more digits than tell something."""
    if 0 < score < 0.001:
        return '&lt;0.1%'
    return f'{100 * score:.1f}%'


def frames(shown: Frames, what: str) -> str:
    """Frames in a grid, each with its time and its own label.

    Args:
        shown (Frames): T frames.
        what (str): Of the pictures, for those who do not see them.
    """
    cells = []
    for i, (image, seconds) in enumerate(zip(shown.images, shown.times)):
        text = ''
        if shown.captions:
            label, score = shown.captions[i]
            text = (f'<span class="vifi-own" title="{escape(label)}">'
                    f'{escape(label)}</span> <b>{percent(score)}</b>')
        cells.append(
            f'<figure><img src="{_inline(image)}" alt="{escape(what)} at '
            f'{seconds:.2f} s"><figcaption><span class="vifi-time">'
            f'{seconds:.2f} s</span> {text}</figcaption></figure>')
    return f'<div class="vifi-frames">{"".join(cells)}</div>'


def hits(found: Sequence[Found]) -> str:
    """What a search found, best first."""
    from ..search.table import format_span
    if not found:
        return note('Nothing was found.')
    rows = []
    for rank, item in enumerate(found, 1):
        hit = item.hit
        name = escape(osp.basename(hit.path))
        span = '' if hit.start is None else format_span(hit.start, hit.end)
        pictures = ''.join(
            f'<img src="{_inline(np.asarray(picture))}" alt="{name}">'
            for picture in item.pictures)
        rows.append(
            f'<li><p><b>{rank}. {name}</b> {escape(span)} <span '
            f'class="vifi-time">cosine {hit.similarity:.3f}</span></p>'
            f'{note(item.problem) if item.problem else ""}'
            f'<div class="vifi-strip">{pictures}</div></li>')
    return f'<ol class="vifi-hits">{"".join(rows)}</ol>'


def _bars(ranking: Sequence[Tuple[str, float]]) -> str:
    rows = ''.join(
        f'<li><span class="vifi-label">{escape(label)}</span>'
        f'<span class="vifi-score">{percent(score)}</span>'
        f'<span class="vifi-bar" aria-hidden="true"><span style="width:'
        f'{100 * score:.2f}%"></span></span></li>'
        for label, score in ranking)
    return f'<ol class="vifi-bars">{rows}</ol>'


def _folded(ranking: Sequence[Tuple[str, float]]) -> str:
    if not ranking:
        return ''
    return (f'<details><summary>{len(ranking)} more</summary>'
            f'{_bars(ranking)}</details>')


def _inline(image: Any) -> str:
    """A picture [H, W, 3] as a data address."""
    from PIL import Image
    picture = Image.fromarray(np.ascontiguousarray(image))
    factor = _SIDE / min(picture.size)
    size = [max(round(side * factor), 1) for side in picture.size]
    if factor > 1.5:  # of few pixels; blurred they would look out of focus
        picture = picture.resize(size, Image.Resampling.NEAREST)
    elif factor < 1:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.convert('RGB').save(data, 'JPEG', quality=85)
    return 'data:image/jpeg;base64,' + base64.b64encode(
        data.getvalue()).decode()
