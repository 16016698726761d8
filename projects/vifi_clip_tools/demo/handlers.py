"""What happens when something on the page is touched."""
import os.path as osp
from dataclasses import dataclass, field, replace
from typing import FrozenSet, List, Optional, Tuple

from projects.vifi_clip.errors import UserError

from . import markup
from .limits import check_video
from .service import Recogniser, Request, auto_window

ATTENTION, TIMELINE = 'attention', 'timeline'
FIRST = 'Recognise a video first.'
# Errors with a text for visitors; others are ours, and go to the log.
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


def _alert(error: Exception, path: Optional[str] = None) -> str:
    """Return the message of an error, without the server's folders."""
    text = str(error)
    if path:
        text = text.replace(osp.join(osp.dirname(path), ''), '')
    return markup.alert(text)


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

    def recognise(self, path: Optional[str], labels: str, template: str,
                  threshold: float, num_views: int) -> Tuple:
        """Rank the labels.

        Returns:
            tuple: The answer, the frames, what is shown.
        """
        try:
            request = self.recogniser.check(path, labels, template, threshold,
                                            num_views)
            result = self.recogniser.recognise(request)
        except _EXPECTED as error:
            return _alert(error, path), None, None
        return (markup.verdict(request, result),
                markup.frames(result.frames, 'The frame'),
                Shown(request, [label for label, _ in result.ranking]))

    def attention(self, shown: Optional[Shown], method: str,
                  text: Optional[str]) -> Tuple:
        """Lay attention over the frames.

        Returns:
            tuple: The frames, what is shown.
        """
        if shown is None:
            return markup.note(FIRST), None
        # Also after an error: a tower without attention says it once.
        done = replace(shown, done=shown.done | {ATTENTION})
        text = text if text in shown.labels else shown.labels[0]
        try:
            frames = self.recogniser.attention(shown.request, method, text)
        except _EXPECTED as error:
            return _alert(error, shown.request.path), done
        remark = 'Blue to red: more; each frame has a scale of its own.'
        if method == 'gradient':
            remark = f'What speaks for "{text}". ' + remark
        return (markup.note(remark)
                + markup.frames(frames, 'Attention over the frame'), done)

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
        done = replace(shown, done=shown.done | {TIMELINE})
        automatic = auto_window(shown.request.seconds)
        window = window or automatic[0]
        try:
            result = self.recogniser.timeline(
                shown.request, window, stride or min(automatic[1], window / 2))
        except _EXPECTED as error:
            return _alert(error, shown.request.path), done
        return markup.chart(result), done

    def search(self, query: str, topk: float) -> str:
        """Search the index."""
        try:
            return markup.hits(self.recogniser.search(query, int(topk)))
        except _EXPECTED as error:
            return _alert(error)
