"""Answers as HTML: readable at any width, light or dark, and by a reader.

Pictures are in the page itself, so that nothing is left on disk.
Letters: T frames, W windows, K classes.
"""
import base64
import io
import os.path as osp
from html import escape
from typing import Sequence, Tuple

import numpy as np
from PIL import Image

from projects.vifi_clip.apis.sampling import Timeline
from .limits import Facts
from .service import Frames, Recognition, Request

_SHOWN = 10  # labels; the rest is folded
_SIDE = 240  # pixels of a picture's shorter side
# Of a chart's labels: Okabe and Ito's, which the colour-blind can tell apart.
_COLOURS = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9')


def note(text: str) -> str:
    """Make a remark."""
    return f'<p class="vifi-note">{escape(text)}</p>'


def alert(text: str) -> str:
    """Say what is wrong; screen readers read it at once."""
    return f'<p class="vifi-alert" role="alert">{escape(text)}</p>'


def about_video(name: str, facts: Facts) -> str:
    """Say what was uploaded."""
    plays = '' if facts.plays else (' Browsers cannot play it; that does not '
                                    'matter to the model.')
    return note(f'{name}: {facts.seconds:.1f} s, {facts.width} x '
                f'{facts.height} pixels.{plays}')


def verdict(request: Request, result: Recognition) -> str:
    """Show the best label, and all of them as bars."""
    best, score = result.ranking[0]
    head = f'<strong>{escape(best)}</strong> {percent(score)}'
    if result.label != best:
        head = (f'<strong>{escape(result.label.capitalize())}</strong> '
                f'The best, {escape(best)}, has {percent(score)}, below '
                f'{percent(request.threshold)}.')
    remark = ('Probabilities among these labels only.'
              if len(result.ranking) > 1 else
              'One label always has 100%: add others to compare with.')
    bars, folded = result.ranking[:_SHOWN], result.ranking[_SHOWN:]
    more = folded and (f'<details><summary>{len(folded)} more</summary>'
                       f'{_bars(folded)}</details>')
    return (f'<div class="vifi-answer" role="status"><p class="vifi-verdict">'
            f'{head}</p>{_bars(bars)}{more or ""}{note(remark)}</div>')


def _bars(ranking: Sequence[Tuple[str, float]]) -> str:
    rows = ''.join(
        f'<li><span class="vifi-label">{escape(label)}</span>'
        f'<span class="vifi-score">{percent(score)}</span>'
        f'<span class="vifi-bar" aria-hidden="true"><span style="width:'
        f'{100 * score:.2f}%"></span></span></li>'
        for label, score in ranking)
    return f'<ol class="vifi-bars">{rows}</ol>'


def percent(score: float) -> str:
    """Format a probability, with no more digits than tell something."""
    return '&lt;0.1%' if 0 < score < 0.001 else f'{100 * score:.1f}%'


def frames(shown: Frames, kind: str) -> str:
    """Show frames in a grid, each with its time and its own label; ``kind``
    says what they are to those who do not see them."""
    cells = []
    for i, (image, seconds) in enumerate(zip(shown.images, shown.times)):
        text = ''
        if shown.captions:
            label, score = shown.captions[i]
            text = (f'<span class="vifi-own" title="{escape(label)}">'
                    f'{escape(label)}</span> <b>{percent(score)}</b>')
        cells.append(
            f'<figure><img src="{_inline(image)}" alt="{escape(kind)} at '
            f'{seconds:.2f} s"><figcaption><span class="vifi-time">'
            f'{seconds:.2f} s</span> {text}</figcaption></figure>')
    return f'<div class="vifi-frames">{"".join(cells)}</div>'


def hits(videos: Sequence[tuple]) -> str:
    """Show what :meth:`Recogniser.search` found, best first."""
    from ..search.sheet import format_span
    if not videos:
        return note('Nothing was found.')
    rows = []
    for rank, (hit, pictures, problem) in enumerate(videos, 1):
        name = escape(osp.basename(hit.path))
        span = '' if hit.start is None else format_span(hit.start, hit.end)
        images = ''.join(
            f'<img src="{_inline(np.asarray(picture))}" alt="{name}">'
            for picture in pictures)
        rows.append(
            f'<li><p><b>{rank}. {name}</b> {escape(span)} <span '
            f'class="vifi-time">cosine {hit.similarity:.3f}</span></p>'
            f'{note(problem) if problem else ""}'
            f'<div class="vifi-strip">{images}</div></li>')
    return f'<ol class="vifi-hits">{"".join(rows)}</ol>'


def _inline(image: np.ndarray) -> str:
    """Return a picture [H, W, 3] as a data address."""
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


def chart(timeline: Timeline) -> str:
    """Draw lines of the labels that matter, and say the course in words.

    The lines are stretched to the width, and the text beside them is not, so
    that it stays readable on a telephone.
    """
    end = float(timeline.times[-1] + timeline.window / 2)
    x = 100 * timeline.times / end
    best = np.argsort(-timeline.scores.max(0), kind='stable')
    lines = legend = ''
    for label, colour in zip(best, _COLOURS):
        # In percent of the picture, from edge to edge.
        y = 100 * (1 - timeline.scores[:, label].astype(float))
        points = ' '.join(f'{a:.2f},{b:.2f}' for a, b in (
            (0., y[0]), *zip(x, y), (100., y[-1])))
        lines += f'<polyline points="{points}" stroke="{colour}"/>'
        legend += (f'<li><span style="background:{colour}"></span>'
                   f'{escape(timeline.labels[label])}</li>')
    marks = ''.join(f'<span>{seconds:.1f} s</span>'
                    for seconds in np.linspace(0, end, 5))
    words, count = escape(course(timeline)), len(timeline.times)
    return (
        f'<p>{words}</p><div class="vifi-chart">'
        '<div class="vifi-y" aria-hidden="true"><span>100%</span>'
        '<span>50%</span><span>0%</span></div>'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{words}">'
        '<path class="vifi-grid" d="M0 0H100M0 25H100M0 50H100M0 75H100'
        f'M0 100H100"/>{lines}</svg>'
        f'<div class="vifi-x" aria-hidden="true">{marks}</div></div>'
        f'<ul class="vifi-legend">{legend}</ul>'
        f'<p class="vifi-note">{count} window{"s" if count > 1 else ""} of '
        f'{timeline.window:.3g} s; each point is the middle of one.</p>')


def course(timeline: Timeline) -> str:
    """Say which label is the best from when on."""
    first, parts = timeline.scores.argmax(1), []
    for i, (seconds, label) in enumerate(zip(timeline.times, first)):
        if i == 0 or label != first[i - 1]:
            when = f'from {seconds:.1f} s' if i else 'at the start'
            parts.append(f'{timeline.labels[label]} {when}')
    if len(parts) == 1:
        return f'Best label: {timeline.labels[first[0]]} throughout.'
    return ('Best label: ' + ', '.join(parts[:8])
            + (', …' if len(parts) > 8 else '.'))
