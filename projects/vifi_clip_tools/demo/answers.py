"""Answers as HTML: readable at any width, light or dark, and by a reader.
Pictures are in the page itself, so that nothing is left on disk.
"""
import base64
import io
import os.path as osp
from pathlib import Path
from typing import List, Tuple

import jinja2
import numpy as np
from PIL import Image

from projects.vifi_clip.apis.pipeline import Timeline
from ..search.querying import format_span
from .downloads import links

_SIDE = 240  # pixels of a picture's shorter side
# Of a chart's labels: Okabe and Ito's, which the colour-blind can tell apart.
_COLOURS = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9')


def percent(score: float) -> str:
    """Format a probability, with no more digits than tell something."""
    return '<0.1%' if 0 < score < 0.001 else f'{100 * score:.1f}%'


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


def _lines(timeline: Timeline, end: float) -> List[Tuple[str, str, str]]:
    """Return the labels that matter in a chart of ``end`` seconds, with the
    colour and the points of each: percent of the picture, edge to edge."""
    x = 100 * timeline.times / end
    best = np.argsort(-timeline.scores.max(0), kind='stable')
    drawn = []
    for label, colour in zip(best, _COLOURS):
        y = 100 * (1 - timeline.scores[:, label].astype(float))
        points = ' '.join(f'{a:.2f},{b:.2f}' for a, b in (
            (0., y[0]), *zip(x, y), (100., y[-1])))
        drawn.append((timeline.labels[label], colour, points))
    return drawn


def _course(timeline: Timeline) -> str:
    """Say which label is the best from when on."""
    best = timeline.scores.argmax(1)
    changes = [0, *np.flatnonzero(np.diff(best)) + 1]
    if len(changes) == 1:
        return f'Best label: {timeline.labels[best[0]]} throughout.'
    parts = [f'{timeline.labels[best[i]]} '
             + (f'from {timeline.times[i]:.1f} s' if i else 'at the start')
             for i in changes[:8]]
    return ('Best label: ' + ', '.join(parts)
            + (', …' if len(changes) > 8 else '.'))


_JINJA = jinja2.Environment(autoescape=True, trim_blocks=True,
                            undefined=jinja2.StrictUndefined)
_JINJA.globals.update(format_span=format_span, links=links)
_JINJA.filters.update(percent=percent, inline=_inline, lines=_lines,
                      course=_course, basename=osp.basename)
# Its macros make strings.
HTML = _JINJA.from_string(Path(__file__).with_name('answers.html').read_text(
    encoding='utf-8')).module
