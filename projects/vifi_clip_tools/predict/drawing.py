"""What a prediction looks like: a clip with its labels over it, and scores
over time as a picture or as JSON.

Letters: H, W pixels of a frame; N windows, K classes.
"""
import io
import json
import os.path as osp
import warnings
from fractions import Fraction
from typing import Any, Iterable, Iterator, List, Mapping, Optional, Tuple

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from PIL import Image, ImageDraw  # OpenCV's threads would hang a later fork

from projects.vifi_clip.apis.inferencer import NONE
from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.apis.pipeline import Sampled, Timeline
from projects.vifi_clip.datasets.contained_video import open_video
from projects.vifi_clip.errors import UnreadableVideo, UserError
from projects.vifi_clip.files import replacing
from ..cli.media import dejavu, write_h264

_SMALLEST = 240  # pixels of a shorter side that a text can stand on
_SHARE = 20  # of the shorter side, the height of a letter
_MOST_LABELS = 5  # on a panel
_AT_ONCE = 8  # frames in memory
_DARK, _INK = (15, 15, 20, 185), (255, ) * 4
_BAR = (45, 110, 215, 235)
_MOST_LINES = 8  # labels whose lines can be told apart
_SEEN = .02  # a lower line is not seen above the axis
_INCHES, _DPI = (11., 5.), 120
_FRAME_INCHES = .75  # eight frames stand side by side


def save_video(video: VideoInput, result: Mapping[str, Any],
               path: str) -> None:
    """Write a video with its best labels and their probabilities over it.

    All its frames at their times, in H.264, without sound; only a few
    frames are in memory at a time. ``path`` is replaced when the new file is
    complete.

    Raises:
        UserError: It cannot be read, or this PyAV cannot write H.264.
    """
    with video.opened() as here:
        if here.frames is not None:
            frames: Iterable[np.ndarray] = here.frames
            rate, times = Fraction(here.fps), None
        else:
            file = open_video(here.path)
            rate = Fraction(file.avg_fps)
            times = map(Fraction, file.frame_times())
            frames = (frame for start in range(0, len(file), _AT_ONCE)
                      for frame in file.frames(range(
                          start, min(start + _AT_ONCE, len(file)))))
        with replacing(path) as part:
            try:
                write_h264(part, labelled(frames, result), rate, crf=20,
                           preset='veryfast', times=times)
            except UnreadableVideo as error:
                raise UserError(f'{video.name} cannot be read to its end: '
                                f'{error.reason}') from error


def labelled(frames: Iterable[np.ndarray],
             result: Mapping[str, Any]) -> Iterator[np.ndarray]:
    """Lay labels over frames, uint8 RGB [H, W, 3]; all become of the first
    one's size, which is enlarged where it is small, and even."""
    size, panel = (0, 0), None
    for frame in frames:
        if panel is None:
            size = _size(*frame.shape[:2])
            panel = draw_panel(result, *size)
            alpha = panel[..., 3:].astype(np.uint16)
            ink = panel[..., :3] * alpha
            height, width = panel.shape[:2]
        if frame.shape[:2] != size:
            frame = Image.fromarray(frame).resize(size[::-1],
                                                  Image.Resampling.BILINEAR)
        frame = np.array(frame)
        part = frame[size[0] - height:, :width]
        part[:] = (ink + part * (255 - alpha)) // 255
        yield frame


def _size(*sides: int) -> Tuple[int, ...]:
    """Choose height and width: H.264 in 4:2:0 wants even numbers."""
    factor = max(1, -(-_SMALLEST // min(sides)))
    if factor * max(sides) > 4096:  # a strip
        factor = 1
    return tuple(max(2, factor * side // 2 * 2) for side in sides)


def draw_panel(result: Mapping[str, Any], height: int,
               width: int) -> np.ndarray:
    """Draw labels, bars and percentages for the lower left corner, uint8
    RGBA, at most as wide as the picture and nearly half as high."""
    letter = max(10, round(min(height, width) / _SHARE))
    font, line = dejavu(letter), round(letter * 1.5)
    rows = list(zip(result['labels'], result['scores']))[:_MOST_LABELS]
    none = result['label'] == NONE  # stands above, and has no score
    rows = [(NONE, None)] * none + rows
    rows = rows[:max(1 + none, int(0.45 * height) // line)]
    measure = ImageDraw.Draw(Image.new('L', (1, 1)))
    percent = measure.textlength('100% ', font)
    longest = max(measure.textlength(str(label), font) for label, _ in rows)
    gap = letter // 2
    across = int(min(width, max(longest + percent + 3 * gap, 10 * letter)))
    page = Image.new(
        'RGBA', (across, min(height, line * len(rows) + gap)), _DARK)
    draw, y = ImageDraw.Draw(page), gap // 2
    for label, score in rows:
        if score is not None:
            draw.rectangle((0, y, round(score * across), y + line - 2), _BAR)
            draw.text((across - gap, y), f'{100 * score:.0f}%', _INK, font,
                      anchor='ra')
        draw.text((gap, y), _fit(draw, str(label), font,
                                 across - percent - 2 * gap), _INK, font)
        y += line
    return np.asarray(page)


def _fit(draw: Any, text: str, font: Any, width: float) -> str:
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + '…', font) > width:
        text = text[:-1]
    return text.rstrip() + '…'


def timeline_json(name: str, timeline: Timeline) -> bytes:
    """Encode a video's ``window`` (s), ``times`` (N, centres in s),
    ``labels`` (K) and ``scores`` (N lists of K) as JSON."""
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
    order = np.argsort(-peaks, kind='stable')[:_MOST_LINES].tolist()
    return [i for i in order if peaks[i] >= _SEEN] or order[:1]


def draw_timeline(timeline: Timeline, name: str, sampled: Sampled,
                  threshold: Optional[float] = None) -> bytes:
    """Draw the scores of a video's N windows as a PNG picture under a title,
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
    zoom = _FRAME_INCHES * 72 / max(sampled.images.shape[1:3])
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
