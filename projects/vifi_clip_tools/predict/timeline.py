"""Scores over time as a picture, or as JSON.

Letters: W windows, K classes, T frames.
"""
import io
import json
import os.path as osp
import warnings
from typing import List, Optional

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from projects.vifi_clip.apis.pipeline import Sampled, Timeline

_MOST = 8  # labels whose lines can be told apart
_SEEN = .02  # a lower line is not seen above the axis
_INCHES, _DPI = (11., 5.), 120
_FRAME = .75  # inches of a frame: eight stand side by side


def timeline_json(name: str, timeline: Timeline) -> bytes:
    """Encode a video's ``window`` (s), ``times`` (W, centres in s),
    ``labels`` (K) and ``scores`` (W lists of K) as JSON."""
    content = dict(
        video=name,
        window=round(timeline.window, 6),
        times=np.round(timeline.times, 6).tolist(),
        labels=list(timeline.labels),
        scores=np.round(timeline.scores.astype(float), 6).tolist())
    return (json.dumps(content) + '\n').encode()


def shown_labels(timeline: Timeline) -> List[int]:
    """Return the indices of labels whose peak can be seen, highest first."""
    peaks = timeline.scores.max(0)
    order = np.argsort(-peaks, kind='stable')[:_MOST].tolist()
    return [i for i in order if peaks[i] >= _SEEN] or order[:1]


def draw_timeline(timeline: Timeline, name: str, sampled: Sampled,
                  threshold: Optional[float] = None) -> bytes:
    """Draw the scores of a video's W windows as a PNG picture under a title,
    with frames below the axis, and the threshold as a line."""
    figure = Figure(_INCHES, _DPI, layout='constrained')
    upper, lower = figure.subplots(2, 1, height_ratios=[5, 1.3], sharex=True)
    times, labels = timeline.times, timeline.labels
    shown = shown_labels(timeline)
    for colour, index in zip(colormaps['tab10'].colors, shown):
        upper.plot(times, timeline.scores[:, index], color=colour, lw=1.8,
                   marker='o' if len(times) <= 60 else None, ms=3.5,
                   label=_label(labels[index], 40))
    if threshold is not None:
        upper.axhline(threshold, color='0.5', ls='--', lw=1,
                      label=f'threshold {threshold:g}')
    upper.set(ylim=(0, 1.02), ylabel='probability')
    upper.grid(alpha=.25)
    upper.spines[['top', 'right']].set_visible(False)
    upper.legend(loc='upper left', bbox_to_anchor=(1.01, 1), frameon=False,
                 fontsize=9, title=f'{len(shown)} of {len(labels)} labels'
                 if len(shown) < len(labels) else None, title_fontsize=9)
    upper.set_title(_label(osp.basename(name), 90), fontsize=11)
    half = timeline.window / 2
    lower.set(
        xlim=(times[0] - half, times[-1] + half),
        xlabel=f'seconds (points: centres of windows of {timeline.window:g} '
        's)', ylim=(0, 1), yticks=[])
    zoom = _FRAME * 72 / max(sampled.images.shape[1:3])
    for image, time in zip(sampled.images, sampled.times):
        lower.add_artist(AnnotationBbox(
            OffsetImage(image, zoom=zoom), (time, 0.5), frameon=False,
            pad=0, annotation_clip=False))
    lower.spines[['top', 'right', 'left']].set_visible(False)
    out = io.BytesIO()
    with warnings.catch_warnings():
        # letters that the font has not are boxes, and no worse
        warnings.filterwarnings('ignore', 'Glyph .* missing from')
        figure.savefig(out, format='png')
    return out.getvalue()


def _label(text: str, most: int) -> str:
    """Leave out the middle of a long text, and what matplotlib cannot take:
    dollars are its mathematics, and odd bytes are no letters."""
    if len(text) > most:
        text = f'{text[:most // 2]}…{text[-most // 2 + 1:]}'
    return text.encode(errors='replace').decode().replace('$', r'\$')
