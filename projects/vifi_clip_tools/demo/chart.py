"""Scores over time as a picture that fits any width.

Letters: W windows, K classes.
"""
from html import escape
from typing import Any, List

import numpy as np

_LINES = 5  # labels
# Okabe and Ito's, which the colour-blind can tell apart.
_COLOURS = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9')
_MARKS = 5  # times on the axis


def chart(timeline: Any) -> str:
    """Lines of the labels that matter, their legend, and the course in words.

    The lines are stretched to the width, and the text beside them is not, so
    that it stays readable on a telephone.

    Args:
        timeline (Timeline): W windows, K labels.

    Returns:
        str: HTML.
    """
    end = float(timeline.times[-1] + timeline.window / 2)
    best = np.argsort(-timeline.scores.max(0), kind='stable')[:_LINES]
    words = course(timeline)
    lines = ''.join(
        f'<polyline points="{_points(timeline, i, end)}" stroke="{colour}"/>'
        for i, colour in zip(best, _COLOURS))
    legend = ''.join(
        f'<li><span style="background:{colour}"></span>'
        f'{escape(timeline.labels[i])}</li>'
        for i, colour in zip(best, _COLOURS))
    marks = ''.join(f'<span>{seconds:.1f} s</span>'
                    for seconds in np.linspace(0, end, _MARKS))
    return (
        f'<p>{escape(words)}</p><div class="vifi-chart">'
        '<div class="vifi-y" aria-hidden="true"><span>100%</span>'
        '<span>50%</span><span>0%</span></div>'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(words)}">'
        '<path class="vifi-grid" d="M0 0H100M0 25H100M0 50H100M0 75H100'
        f'M0 100H100"/>{lines}</svg>'
        f'<div class="vifi-x" aria-hidden="true">{marks}</div></div>'
        f'<ul class="vifi-legend">{legend}</ul>'
        f'<p class="vifi-note">{_windows(timeline)}</p>')


def course(timeline: Any) -> str:
    """Which label is the best from when on."""
    first, parts = timeline.scores.argmax(1), []
    for i, (seconds, label) in enumerate(zip(timeline.times, first)):
        if i == 0 or label != first[i - 1]:
            when = f'from {seconds:.1f} s' if i else 'at the start'
            parts.append(f'{timeline.labels[label]} {when}')
    if len(parts) == 1:
        return f'Best label: {timeline.labels[first[0]]} throughout.'
    return ('Best label: ' + ', '.join(parts[:8])
            + (', …' if len(parts) > 8 else '.'))


def _points(timeline: Any, label: int, end: float) -> str:
    """A line in percent of the picture, from edge to edge."""
    x = 100 * timeline.times / end
    y = 100 * (1 - timeline.scores[:, label].astype(float))
    pairs: List[tuple] = [(0., y[0]), *zip(x, y), (100., y[-1])]
    return ' '.join(f'{a:.2f},{b:.2f}' for a, b in pairs)


def _windows(timeline: Any) -> str:
    count = len(timeline.times)
    return (f'{count} window{"s" if count > 1 else ""} of '
            f'{timeline.window:.3g} s; each point is the middle of one.')
