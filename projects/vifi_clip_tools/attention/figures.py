"""From a video and models to pictures of where the models look, in the manner
of ViFi-CLIP's figures.

In a grid, rows are the frames and the maps of each model and method, columns
are time; a video has the clip beside its overlays. Lengths are pixels.
Letters: T frames, H x W pixels, h x w cells of a map.
"""
import io
import os.path as osp
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from projects.vifi_clip.apis.config import override, read_config
from projects.vifi_clip.apis.inferencer import ranked
from projects.vifi_clip.apis.inputs import one_video, read_labels
from projects.vifi_clip.apis.pipeline import Sampled, VideoSampler
from projects.vifi_clip.files import write_bytes
from ..cli.media import dejavu, wrap, write_h264
from ..cli.outputs import check_target
from .maps import attention_maps, token_layout
from .options import AttentionOptions
from .overlay import enlarge, overlay, value_range

_CELL = 180  # a frame's shorter side
_GAP = 7
_LABELS = 210  # width of the column of labels
_LINE = 26  # height of a line of text
_MARGIN = 14
_NARROWEST = 588  # for the line under the frames
_INK, _GREY, _PAPER = (0, 0, 0), (102, 102, 102), (255, 255, 255)
# of the video
_PANEL = 256  # pixels of a frame's shorter side
_STRIP = 52  # height of the text over a panel: two lines
_FOOT = 24
_GUTTER = 6
_FONT = 15
_DARK = (20, 20, 20)
_SLOWEST, _FASTEST = 4, 30  # frames per second


@dataclass
class Row:
    """Maps of one model by one method."""
    model: str  # its name
    method: str  # one of maps.METHODS
    text: Optional[str]  # of 'gradient'
    images: np.ndarray  # as the model sees them, uint8 [T, H, W, 3]
    maps: np.ndarray  # float32 [T, h, w]
    per_frame: bool = False  # each frame has a scale of its own

    @property
    def title(self) -> str:
        """The method, with its text."""
        return self.method + (f' of “{self.text}”' if self.text else '')

    @property
    def scale(self) -> str:
        """The values of the lowest and the highest colour, in words."""
        if self.per_frame:
            return 'own scale in each frame'
        low, high = value_range(self.maps)
        if low < high / 100:
            low = 0
        if self.method == 'gradient':  # has no unit
            return f'{low:.2g} to {high:.2g}'
        return f'{100 * low:.2g}% to {100 * high:.2g}%'

    def pictures(self, size: int, chosen: Sequence[int]) -> np.ndarray:
        """Overlay some frames, of at least ``size`` pixels; the scale is that
        of all frames."""
        return overlay(
            enlarge(self.images[chosen], size), self.maps[chosen],
            value_range(self.maps), self.per_frame)


@dataclass
class Scores:
    """What one model takes the video for, best first."""
    model: str  # its name
    labels: List[str]
    values: List[float]  # their probabilities

    def line(self, count: int = 3) -> str:
        """The best labels in one line."""
        return '   '.join(f'{label} {100 * value:.0f}%' for label, value in
                          list(zip(self.labels, self.values))[:count])


def write_figures(options: AttentionOptions) -> None:
    """Draw where models look in a clip, and print what they take it for."""
    for option, suffix in ('out', '.png'), ('video', '.mp4'), ('npz', '.npz'):
        if path := getattr(options, option):
            check_target(f'--{option}', path, (suffix, ), options.overwrite)
            if osp.exists(path) and osp.exists(options.clip) and osp.samefile(
                    path, options.clip):
                raise ValueError(f'--{option} {path} is the video itself; '
                                 'choose another name')
    labels = None if options.labels is None else read_labels(options.labels)
    video, model = one_video(options.clip), options.models[0]
    cfg = read_config(model.config, model.trust)
    override(cfg, model.cfg_options)
    VideoSampler(cfg).sample(video, 1)  # before weights are loaded or fetched
    inferencers = [model.load(labels=labels) for model in options.models]
    for inferencer in inferencers:
        token_layout(inferencer.model.backbone)
        if options.video and getattr(inferencer.model.backbone, 'num_frames',
                                     None):
            raise ValueError(
                f'--video {options.video}: frames of this model (METHOD=xclip)'
                ' see each other, a view at a time; give --out or --npz')
    samples = _samples(video.path, inferencers, inferencers[0].num_frames)
    times = samples[0].times
    print(f'{video.path}: {len(times)} frames, {times[0]:.2f} s to '
          f'{times[-1]:.2f} s')
    scores = list(map(_recognise, options.names, inferencers, samples))
    if options.out or options.npz:
        rows = _rows(options, inferencers, scores,
                     [sample.images for sample in samples])
        _write(options.out, lambda out: draw_grid(
            osp.basename(video.path), rows, scores, times, options.columns
        ).save(out, 'PNG'))
        _write(options.npz, lambda out: np.savez_compressed(
            out, **_arrays(rows, scores, samples[0])))
    if options.video:
        samples = _samples(video.path, inferencers, options.video_frames)
        # A shorter clip has frames that are sampled twice.
        _, first = np.unique(samples[0].indices, return_index=True)
        rows = _rows(options, inferencers, scores,
                     [sample.images[first] for sample in samples])
        times = samples[0].times[first]
        _write(options.video, lambda out: write_h264(
            out, draw_frames(rows, scores, times), video_rate(times)))


def _recognise(name: str, inferencer: Any, sample: Sampled) -> Scores:
    """Find what a model takes the video for, and print the best labels."""
    best = ranked(inferencer.video_scores(sample.images),
                  inferencer.class_names, None, None)
    print(f'  {name}')
    for label, value in list(zip(best['labels'], best['scores']))[:3]:
        print(f'    {100 * value:5.1f}%  {label}')
    return Scores(name, best['labels'], best['scores'])


def _rows(options: AttentionOptions, inferencers: Sequence,
          scores: Sequence[Scores], images: Sequence[np.ndarray]
          ) -> List[Row]:
    """Make maps by each method, of each model and the frames, uint8 [T, H, W,
    3], that it sees."""
    jobs = [(method, *job) for method in dict.fromkeys(options.methods)
            for job in zip(inferencers, scores, images)]
    rows = []
    for method, inferencer, score, frames in tqdm(
            jobs, unit='map', leave=False):
        text = (options.text or score.labels[0] if method == 'gradient'
                else None)
        maps = attention_maps(inferencer.model, frames, method, text)
        rows.append(Row(score.model, method, text, frames, maps,
                        options.per_frame))
    return rows


def _samples(clip: str, inferencers: Sequence, count: int) -> List[Sampled]:
    """Read the same frames as each model sees them."""
    samples = [i.sample(clip, count) for i in inferencers]
    for sample in samples[1:]:
        if sample.indices.tolist() != samples[0].indices.tolist():
            raise ValueError('the configs sample other frames of a video '
                             '(their test pipelines differ), which cannot be '
                             'shown side by side')
    return samples


def _arrays(rows: Sequence[Row], scores: Sequence[Scores],
            sample: Sampled) -> Dict[str, np.ndarray]:
    """Return what the grid shows, as an .npz file has it."""
    arrays = dict(times=sample.times, indices=sample.indices)
    for row in rows:
        arrays[f'maps/{row.model}/{row.method}'] = row.maps  # [T, h, w]
        arrays[f'images/{row.model}'] = row.images  # [T, H, W, 3]
        if row.text:
            arrays[f'text/{row.model}'] = np.array(row.text)
    for score in scores:
        arrays[f'labels/{score.model}'] = np.array(score.labels)
        arrays[f'scores/{score.model}'] = np.array(score.values)
    return arrays


def _write(path: Optional[str], save: Callable[[io.BytesIO], None]) -> None:
    if path:
        out = io.BytesIO()
        save(out)
        content = out.getvalue()
        write_bytes(path, content)
        print(f'{path}: {len(content) / 1e6:.2f} MB')


def draw_grid(title: str, rows: Sequence[Row], scores: Sequence[Scores],
              times: Sequence[float], columns: int) -> Image.Image:
    """Draw the picture: the video's ``title`` and each model's scores
    over at most so many ``columns``, chosen evenly from the frames at the T
    ``times`` (seconds); ``rows`` are the models for each method."""
    chosen = choose(len(times), columns)
    frames = enlarge(rows[0].images[chosen], _CELL)
    height, width = frames.shape[1:3]
    scale = _CELL / min(height, width)
    height, width = round(scale * height), round(scale * width)
    left = _MARGIN + _LABELS
    right = max(left + len(chosen) * (width + _GAP) - _GAP,
                _NARROWEST - _MARGIN)
    head = _header(title, scores, right - _MARGIN)
    top = _MARGIN + round(_LINE * (len(head) + 1.3))
    bottom = top + (len(rows) + 1) * (height + _GAP)
    page = Image.new('RGB', (right + _MARGIN, bottom + 60), _PAPER)
    draw = ImageDraw.Draw(page)
    _write_lines(draw, _MARGIN + _LINE * len(head) / 2, head)
    lines = [(frames, [('frames', _INK, dejavu(18))]),
             *((row.pictures(_CELL, chosen), _row_label(row)) for row in rows)]
    for line, (images, label) in enumerate(lines):
        y = top + line * (height + _GAP)
        _write_lines(draw, y + height / 2, label)
        for column, image in enumerate(images):
            page.paste(Image.fromarray(image).resize((width, height)),
                       (left + column * (width + _GAP), y))
    for column, index in enumerate(chosen):
        x = left + column * (width + _GAP) + width / 2
        draw.text((x, top - 0.55 * _LINE), f'{times[index]:.2f} s', _INK,
                  dejavu(15), anchor='mm')
    page.paste(Image.fromarray(_colour_bar()), (_MARGIN + 48, bottom + 12))
    for x, text in (0, 'low'), (238, 'high (the range is at the left of each '
                                'row)'):
        draw.text((_MARGIN + x, bottom + 20), text, _INK, dejavu(14),
                  anchor='lm')
    return page


def choose(total: int, count: int) -> List[int]:
    """Choose ``count`` of ``total`` frames evenly, first and last included;
    all if there are no more."""
    if total <= count:
        return list(range(total))
    return np.linspace(0, total - 1, count).round().astype(int).tolist()


def _colour_bar() -> np.ndarray:
    """Draw the colours from a row's lowest value to its highest, as they look
    over a white frame."""
    ramp = np.linspace(0, 1, 180, dtype=np.float32)[None, None]
    white = np.full((1, 17, 180, 3), 255, dtype=np.uint8)
    return overlay(white, ramp, (0, 1))[0]


def _write_lines(draw, middle: float, lines: Sequence[tuple]) -> None:
    """Write lines of (text, colour, font) at the left, around a height."""
    for number, (text, ink, font) in enumerate(lines):
        y = middle + (number - (len(lines) - 1) / 2) * _LINE
        draw.text((_MARGIN, y), text, ink, font, anchor='lm')


def _header(title: str, scores: Sequence[Scores], width: float) -> List[tuple]:
    """Write the video's name and the models' best labels."""
    bold, font = dejavu(20, bold=True), dejavu(16)
    lines = [(line, _INK, bold) for line in wrap(title, bold, width, 1)]
    for score in scores:
        text = (f'{score.model}:  ' if len(scores) > 1 else '') + score.line()
        lines += [(line, _INK, font) for line in wrap(text, font, width, 4)]
    return lines


def _row_label(row: Row) -> List[tuple]:
    """Write what a row shows: model, method and range."""
    return [(line, ink, font) for text, ink, font, most in (
        (row.model, _INK, dejavu(18, bold=True), 2),
        (row.title, _INK, dejavu(16), 4), (row.scale, _GREY, dejavu(13), 1))
        for line in wrap(text, font, _LABELS - _GAP, most)]


def draw_frames(rows: Sequence[Row], scores: Sequence[Scores],
                times: Sequence[float]) -> Iterator[np.ndarray]:
    """Draw the frames of the video, uint8 [H, W, 3] with H and W even, at the
    T ``times`` (seconds): a line for each model, with its frame at the left
    and a panel for each method. The rows have frames of one size."""
    # A line for each model: its name, then a caption and pictures per panel.
    lines = [[row for row in rows if row.model == score.model]
             for score in scores]
    panels = [[enlarge(line[0].images, _PANEL),
               *(row.pictures(_PANEL, range(len(times))) for row in line)]
              for line in lines]
    height, width = max(line[0].shape[1:3] for line in panels)
    pitch = width + _GUTTER, height + _STRIP
    size = tuple(side + side % 2 for side in (
        pitch[0] * len(panels[0]) + _GUTTER, pitch[1] * len(lines) + _FOOT))
    page = Image.new('RGB', size, _PAPER)
    draw, font = ImageDraw.Draw(page), dejavu(_FONT)
    for y, (line, score) in enumerate(zip(lines, scores)):
        captions = [f'{score.model}: {score.line(1)}',
                    *(row.title for row in line)]
        for x, caption in enumerate(captions):  # right above its panel
            text = '\n'.join(wrap(caption, font, width, 2))
            draw.text((_GUTTER + x * pitch[0], y * pitch[1] + _STRIP - 4),
                      text, _DARK, font, anchor='ld')
    for t, time in enumerate(times):
        canvas = page.copy()
        for y, line in enumerate(panels):
            for x, pictures in enumerate(line):
                canvas.paste(Image.fromarray(pictures[t]),
                             (_GUTTER + x * pitch[0], y * pitch[1] + _STRIP))
        ImageDraw.Draw(canvas).text(
            (_GUTTER, size[1] - _FOOT + 3), f'{time:.2f} s', _DARK, font)
        yield np.asarray(canvas)


def video_rate(times: Sequence[float]) -> Fraction:
    """Return frames per second: the clip's speed within bounds, so that few
    frames of a long clip do not become a slide show."""
    span = times[-1] - times[0]
    rate = (len(times) - 1) / span if span > 0 else _SLOWEST
    return Fraction(min(max(rate, _SLOWEST), _FASTEST))
