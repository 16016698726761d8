"""What happens when something on the page is touched."""
import os.path as osp
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Callable, FrozenSet, List, Optional, Tuple

from projects.vifi_clip.errors import UserError
from . import markup
from .answers import Request
from .chart import chart
from .limits import check_video
from .service import Recogniser, auto_window

ATTENTION, TIMELINE = 'attention', 'timeline'
FIRST = 'Recognise a video first.'
# Whoever wrote them had visitors in mind; others are ours, and go to the log.
_EXPECTED = (UserError, ValueError, OSError)


@dataclass(frozen=True)
class Shown:
    """What one visitor's page shows.

    Attributes:
        request (Request): Of the answer. The text boxes may have changed
            since.
        labels (list[str]): K labels, best first.
        done (frozenset[str]): Tabs that are filled.
    """
    request: Request
    labels: List[str] = field(default_factory=list)
    done: FrozenSet[str] = frozenset()


def _told(count: int) -> Callable:
    """Turn errors that a visitor can mend into text in the first output.

    Args:
        count (int): Outputs; the others are emptied.
    """

    def decorate(function: Callable) -> Callable:

        @wraps(function)
        def run(self: 'Handlers', *args) -> Any:
            try:
                return function(self, *args)
            except _EXPECTED as error:
                text = markup.alert(_readable(error, args))
                return (text, *[None] * (count - 1)) if count > 1 else text

        return run

    return decorate


def _readable(error: Exception, args: Tuple) -> str:
    """The message, without the server's folders."""
    text = str(error)
    for arg in args:
        path = arg.request.path if isinstance(arg, Shown) else arg
        if isinstance(path, str) and osp.isabs(path):
            text = text.replace(path, osp.basename(path))
    return text


class Handlers:
    """Functions behind the page, on plain values.

    Args:
        recogniser (Recogniser): Does the work.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser

    def video_changed(self, path: Optional[str]) -> Tuple:
        """Look at a video as it comes, and take the old answers away.

        Returns:
            tuple: The answer, the frames, attention, over time, what is
            shown.
        """
        text = markup.note('The answer comes here.')
        try:
            if path:
                facts = check_video(path, self.recogniser.limits)
                text = markup.about_video(osp.basename(path), facts)
        except UserError as error:
            text = markup.alert(str(error))
        return text, '', markup.note(FIRST), markup.note(FIRST), None

    @_told(3)
    def recognise(self, path: Optional[str], labels: str, template: str,
                  threshold: float, num_views: int) -> Tuple:
        """Rank the labels.

        Returns:
            tuple: The answer, the frames, what is shown.
        """
        request = self.recogniser.check(path, labels, template, threshold,
                                        num_views)
        result = self.recogniser.recognise(request)
        return (markup.verdict(request, result),
                markup.frames(result.frames, 'The frame'),
                Shown(request, [label for label, _ in result.ranking]))

    @_told(2)
    def attention(self, shown: Optional[Shown], method: str,
                  text: Optional[str]) -> Tuple:
        """Lay attention over the frames.

        Returns:
            tuple: The frames, what is shown.
        """
        if shown is None:
            return markup.note(FIRST), None
        text = text if text in shown.labels else shown.labels[0]
        try:
            frames = self.recogniser.attention(shown.request, method, text)
        except _EXPECTED as error:  # said once, as a tower without any would
            return (markup.alert(_readable(error, (shown, ))),
                    _done(shown, ATTENTION))
        remark = 'Blue to red: more; each frame has a scale of its own.'
        if method == 'gradient':
            remark = f'What speaks for "{text}". ' + remark
        return (markup.note(remark)
                + markup.frames(frames, 'Attention over the frame'),
                _done(shown, ATTENTION))

    def timeline(self, shown: Optional[Shown], window: Optional[float],
                 stride: Optional[float]) -> Tuple:
        """Score sliding windows.

        Args:
            shown (Shown, optional): The video.
            window, stride (float, optional): Seconds; None or 0 for what
                suits the video.

        Returns:
            tuple: The chart, what is shown.
        """
        if shown is None:
            return markup.note(FIRST), None
        automatic = auto_window(shown.request.seconds)
        try:
            result = self.recogniser.timeline(
                shown.request, window or automatic[0],
                stride or min(automatic[1], (window or automatic[0]) / 2))
        except _EXPECTED as error:
            return (markup.alert(_readable(error, (shown, ))),
                    _done(shown, TIMELINE))
        return chart(result), _done(shown, TIMELINE)

    @_told(1)
    def search(self, query: str, topk: float) -> str:
        """Search the index."""
        return markup.hits(self.recogniser.search(query, int(topk)))


def _done(shown: Shown, tab: str) -> Shown:
    return replace(shown, done=shown.done | {tab})
