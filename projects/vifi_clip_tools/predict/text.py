"""What prediction says, within 80 columns."""
import sys
import textwrap
from typing import Any, Iterator, Sequence, Tuple

from projects.vifi_clip.apis.batches import NONE
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip.apis.pipeline import count_views, pipeline_cfg

_WIDTH, _BAR = 80, 20
_MOST = 20  # failures that are listed


def result_lines(result: dict) -> Iterator[str]:
    """A prediction of ``ViFiCLIPInferencer.predict`` as text."""
    yield printable(result['video'])
    if result['label'] == NONE:
        yield f'  {NONE}; the nearest:'
    for label, score in zip(result['labels'], result['scores']):
        start = f'  {100 * score:5.1f}%  {_bar(score)}  '
        yield textwrap.fill(
            printable(str(label)), _WIDTH, initial_indent=start,
            subsequent_indent=' ' * len(start))


def _bar(score: float) -> str:
    full = '█' if printable('█') == '█' else '#'
    return (full * round(_BAR * score)).ljust(_BAR)


def printable(text: str) -> str:
    """A text that standard output takes, whatever is in a file's name."""
    code = getattr(sys.stdout, 'encoding', None) or 'ascii'
    return text.encode(code, 'replace').decode(code)


def failures(bad: Sequence[Tuple[str, str]], total: int,
             out: Any) -> Iterator[str]:
    """What could not be read, and why."""
    if not bad:
        return
    yield f'{len(bad)} of {total} videos could not be read:'
    for name, reason in bad[:_MOST]:
        yield textwrap.fill(
            printable(f'{name}: {reason}'), _WIDTH, initial_indent='  ',
            subsequent_indent='    ', break_long_words=False,
            break_on_hyphens=False)
    if len(bad) > _MOST:
        where = f', in {out}' if out else ''
        yield f'  and {len(bad) - _MOST} more{where}'


def said_views(inferencer: ViFiCLIPInferencer, views: Any,
               videos: Sequence) -> str:
    """Such as '3 videos, 24 labels, 12 views of 16 frames'."""
    head = inferencer.model.cls_head
    number, frames = count_views(pipeline_cfg(inferencer.cfg, views),
                                 getattr(head, 'num_frames', None))

    def count(number: int, what: str) -> str:
        return f'{number} {what}{"" if number == 1 else "s"}'

    return (f'{count(len(videos), "video")}, '
            f'{count(head.num_classes, "label")}, {count(number, "view")} of '
            f'{count(frames, "frame")}, on {inferencer.device}')
