"""Search in words and by example; hits as text, and as a picture of frames."""
import io
import os
import os.path as osp
import sys
import time
import unicodedata
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from projects.vifi_clip.apis.familiarity import unknown_message
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.inputs import expand_inputs
from projects.vifi_clip.apis.pipeline import parse_views
from projects.vifi_clip.datasets.contained_video import open_video
from projects.vifi_clip.errors import UnreadableVideo
from projects.vifi_clip.files import write_bytes
from ..cli.media import dejavu
from ..cli.outputs import check_json, check_target, for_people, put_json
from ..cli.terminal import one_line
from .options import SearchOptions
from .store import Hit, VideoIndex

FRAMES = 4  # of each hit
_TILE = (160, 120)  # pixels
_WIDE = FRAMES * _TILE[0]
_GAP, _LINE, _HEAD = 16, 24, 44
_PAPER, _INK, _PALE, _EMPTY = '#ffffff', '#1a1a1a', '#666666', '#e6e6e6'


def search(options: SearchOptions) -> None:
    """Run ``vifi-clip search``: print what was found for each query."""
    queries = options.queries
    if options.videos:
        queries = [video.name for video in expand_inputs(options.videos)]
    index = VideoIndex(options.index)
    index.check_filled()
    if options.sheet:
        check_target('--sheet', options.sheet, ('.jpg', '.jpeg', '.png'),
                     options.overwrite)
    check_json(options.json, options.overwrite)
    table = for_people(options.json)
    model = index.model_options(options.model)
    inferencer = model.load()
    index.check(inferencer, model)
    start = time.perf_counter()
    if options.videos:
        found = search_videos(index, inferencer, options.videos, options.topk,
                              options.exact)
    else:
        if text := unknown_message(inferencer.classifier, queries):
            print(f'warning: {text}', file=sys.stderr)
        found = search_texts(index, inferencer, queries, options.topk,
                             options.template, options.exact)
    duration = time.perf_counter() - start
    for query, hits in zip(queries, found):
        print(f'\n{shorten(query, 80)}\n{format_hits(hits)}', file=table)
    kind = None if options.exact else index.ann
    print(f'\n{len(index)} embeddings, '
          f'{f"approximate ({kind})" if kind else "exact"} search, '
          f'{duration:.2f} s with the query\'s embedding', file=table)
    if options.json:
        put_json(options.json, dict(
            index=index.path, model=str(index.identity), queries=[
                dict(query=query, hits=[dict(rank=rank, **hit._asdict())
                                        for rank, hit in enumerate(hits, 1)])
                for query, hits in zip(queries, found)]))
        print(f'results: {options.json}', file=table)
    if options.sheet:
        sheets = [contact_sheet(hits, osp.basename(query) if options.videos
                                else query)
                  for query, hits in zip(queries, found)]
        write_bytes(options.sheet, encode(stack(sheets), options.sheet))
        print(f'contact sheet: {options.sheet}', file=table)


def search_texts(index: VideoIndex, inferencer: ViFiCLIPInferencer,
                 queries: Sequence[str], topk: int = 10,
                 template: str = '{}',
                 exact: bool = False) -> List[List[Hit]]:
    """Find the videos that fit best to each text, best first. ``template`` is
    a sentence with ``{}`` where the query goes, or 'model' for those that the
    model was trained with."""
    templates = None if template == 'model' else [template]
    # one by one: a query may be there twice, and class names may not
    return [index.search(inferencer.text_embeddings([query], templates)[0],
                         topk, exact) for query in queries]


def search_videos(index: VideoIndex, inferencer: ViFiCLIPInferencer,
                  videos: Any, topk: int = 10,
                  exact: bool = False) -> List[List[Hit]]:
    """Find the videos most like each of some videos, which may be among
    them; see :func:`search_texts` and :func:`expand_inputs`."""
    views = parse_views(index.identity.num_views)
    return [index.search(result['embedding'], topk, exact)
            for result in inferencer.embed(videos, num_views=views)]


# Hits as text and as a picture


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
    for seconds in start, end:
        # Tenths where a window may begin and end in one second.
        whole, tenth = divmod(round(seconds * 10), 10)
        minutes, second = divmod(whole, 60)
        hours, minute = divmod(minutes, 60)
        texts.append(f'{hours}:{minute:02d}:{second:02d}'
                     if hours or end >= 3600 else
                     f'{minute}:{second:02d}.{tenth}')
    return '-'.join(texts)


def shorten(text: str, width: int) -> str:
    """Leave out the middle of a text that takes more than ``width`` columns
    (5 at least). The end, which has the name of a file, gets two thirds."""
    text = one_line(text)
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
        video = open_video(hit.path)
        times = video.frame_times()
        if start is None or end is None:
            start, end = 0., times[-1]
        middles = start + (np.arange(FRAMES) + 0.5) * (end - start) / FRAMES
        shown = np.searchsorted(times, middles, 'right') - 1
        frames = video.frames(shown.clip(0, len(video) - 1))
    except UnreadableVideo as error:
        return [], f'cannot be read: {error.reason}'
    return [Image.fromarray(frame) for frame in frames], ''
