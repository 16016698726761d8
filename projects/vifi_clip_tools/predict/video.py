"""A clip with its labels over it.

Letters: H, W pixels of a frame.
"""
from fractions import Fraction
from typing import Any, Iterable, Iterator, Mapping, Tuple

import numpy as np
from PIL import Image, ImageDraw  # OpenCV's threads would hang a later fork

from ..cli.font import dejavu
from ..cli.h264 import write_h264
from ..cli.outputs import replacing
from projects.vifi_clip.apis.batches import NONE
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.errors import UnreadableVideo, UserError
from projects.vifi_clip.apis.inputs import VideoInput

_SMALLEST = 240  # pixels of a shorter side that a text can stand on
_SHARE = 20  # of the shorter side, the height of a letter
_MOST = 5  # labels
_AT_ONCE = 8  # frames in memory
_DARK, _INK = (15, 15, 20, 185), (255, ) * 4
_BAR = (45, 110, 215, 235)


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
            file = VideoFile(here.path)
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
    rows = list(zip(result['labels'], result['scores']))[:_MOST]
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
