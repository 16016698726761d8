"""What the page takes from visitors, and computes for it, without the page.

Letters: T frames, K classes, H x W pixels.
"""
import os.path as osp
import time
from concurrent import futures
from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Sequence, Tuple, TypeVar

import numpy as np
import torch

from projects.vifi_clip.apis.familiarity import UNLIKE, label_warning
from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer, ranked
from projects.vifi_clip.apis.inputs import VideoInput
from projects.vifi_clip.apis.pipeline import Timeline
from projects.vifi_clip.datasets.class_list import (parse_class_names,
                                                    split_names)
from projects.vifi_clip.datasets.contained_video import (open_video,
                                                         read_facts)
from projects.vifi_clip.errors import UnreadableVideo, UserError
from ..attention.maps import attention_maps
from ..attention.overlay import enlarge, overlay
from ..search.querying import read_frames, search_texts
from .options import Limits
from .streams import Streams

MOST_VIEWS = 8
_MOST_WINDOWS = 300
MOST_LABELS = 200  # each is a pass through the text tower
_MOST_CHARACTERS = 200  # of a label or a query
# What browsers play.
_CODECS = ('h264', 'vp8', 'vp9', 'libvpx', 'libvpx-vp9', 'av1', 'libdav1d')
Result = TypeVar('Result')


@dataclass(frozen=True)
class Request:
    """What a visitor asks."""
    path: str  # the uploaded video
    labels: Tuple[str, ...]
    template: Optional[str] = None  # None for the model's own
    threshold: float = 0.  # below it, the best label does not count
    num_views: int = 1
    seconds: float = 0.  # length of the video
    frames: Optional[np.ndarray] = None  # uint8 [T, H, W, 3], of no file

    @property
    def video(self) -> VideoInput:
        """The file under its own name, which messages show."""
        return VideoInput(
            osp.basename(self.path),
            self.path if self.frames is None else None, self.frames)


@dataclass(frozen=True)
class Frames:
    """Frames of a video, and what to say of each."""
    images: np.ndarray  # uint8 [T, H, W, 3]
    times: np.ndarray  # [T], seconds
    captions: Sequence[Tuple[str, float]] = ()  # T labels and probabilities


@dataclass(frozen=True)
class Recognition:
    """The answer."""
    label: str  # the best one, or 'none of these'
    ranking: List[Tuple[str, float]]  # K labels and probabilities, best first
    frames: Frames  # one view, each frame on its own
    # of a model that knows neither such videos nor such words
    warnings: Sequence[str] = ()


class Worker:
    """The one thread that uses the model, for one job after the other, since
    a job sets labels and uses them with nobody in between.

    Each has a limited time, waiting included. A thread cannot be ended from
    outside: a job that runs out of time is given up by the visitor at once,
    and ends itself at its next :meth:`check`.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._pool = futures.ThreadPoolExecutor(1, thread_name_prefix='model')
        self._deadline = float('inf')

    def run(self, job: Callable[[], Result]) -> Result:
        """Run a job; a UserError says that it takes too long."""
        deadline = time.monotonic() + self.seconds

        def timed() -> Result:
            self._deadline = deadline
            try:
                self.check()
                return job()
            finally:
                self._deadline = float('inf')

        future = self._pool.submit(timed)
        try:
            return future.result(self.seconds)
        except futures.TimeoutError:
            raise (UserError('The model is busy; try again in a moment.')
                   if future.cancel() else self._too_long()) from None

    def check(self) -> None:
        """End the job that runs in this thread if its time is over."""
        if time.monotonic() > self._deadline:
            raise self._too_long()

    def close(self) -> None:
        """Take no more jobs."""
        self._deadline = 0.
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _too_long(self) -> UserError:
        return UserError(
            f'This took longer than {self.seconds:g} s and was stopped. Use '
            'a shorter video, fewer views or labels, or a longer stride.')


class Recogniser:
    """A model for many visitors, an index of videos made with it, and streams
    to watch. A UserError from its methods is what a visitor has to mend."""

    def __init__(self, inferencer: ViFiCLIPInferencer,
                 limits: Limits = Limits(), index: Any = None,
                 streams: Optional[Streams] = None) -> None:
        inferencer.classifier  # says what is missing
        self.inferencer, self.limits = inferencer, limits
        self.index, self.streams = index, streams or Streams()
        self.worker = Worker(limits.seconds)
        # Long work comes in parts, each through the tower.
        self._hook = inferencer.model.backbone.register_forward_pre_hook(
            lambda *_: self.worker.check())

    def close(self) -> None:
        """Stop what runs, take no more, and leave the model as it was."""
        self.worker.close()
        self.streams.close()
        self._hook.remove()

    def check(self, path: Optional[str], labels: Optional[str],
              template: Optional[str] = None, threshold: float = 0.,
              num_views: int = 1) -> Request:
        """Make a request out of what stands on the page."""
        facts = check_video(path, self.limits)
        names = split_labels(labels)
        template = (template or '').strip() or None
        check_text(template or '', 'sentence')
        if template and template.count('{}') != 1:
            raise UserError('The sentence must have {} once, where the label '
                            'goes: "a video of {}".')
        if threshold and len(names) < 2:
            raise UserError('A single label always has 100%, so a minimum '
                            'probability has no effect: give at least two '
                            'labels.')
        return Request(path, tuple(names), template, float(threshold or 0),
                       min(max(int(num_views), 1), MOST_VIEWS), facts.seconds)

    def recognise(self, request: Request) -> Recognition:
        """Rank the labels, for the video and for each frame on its own."""
        head = self.inferencer.model.cls_head

        @torch.no_grad()
        def job() -> Recognition:
            sample = self.inferencer.sample(request.video)
            embeddings = self.inferencer.frame_embeddings(sample.images)
            # [T, D]; one pass through the tower for the video and its frames
            video, frames = (x.softmax(-1).cpu().numpy() for x in (
                head.class_logits(head.fuse(embeddings)),
                head.frame_logits(embeddings)))
            # [K], [T, K]
            threshold = request.threshold or None
            # These frames are all there is, unless pictures are averaged
            # first.
            if request.num_views == 1 and head.fusion != 'image':
                result = ranked(video, request.labels, None, threshold)
            else:
                result, = self.inferencer.predict(
                    request.video, num_views=request.num_views,
                    threshold=threshold)
            best = [(request.labels[i], float(row[i]))
                    for row, i in zip(frames, frames.argmax(1))]
            return Recognition(
                result['label'],
                list(zip(result['labels'], result['scores'])),
                Frames(sample.images, sample.times, best),
                self._warnings(sample.images))

        return self._run(request, job)

    def _warnings(self, images: np.ndarray) -> List[str]:
        """Say what of a video and the labels a model does not know."""
        text = label_warning(self.inferencer.classifier)
        unlike = self.inferencer.unlike(images)
        return [f'This video: {UNLIKE}.'] * unlike + [
            f'These labels: {text}.'] * bool(text)

    def _run(self, request: Request, job: Callable[[], Result]) -> Result:
        """Run a job with the labels of a request."""

        def with_labels() -> Result:
            self.inferencer.set_labels(list(request.labels), request.template)
            return job()

        return self.worker.run(with_labels)

    def attention(self, request: Request, method: str, text: str) -> Frames:
        """Lay over the frames what the class token looks at, by a method of
        :func:`attention_maps`; 'gradient' is of a text."""

        def job() -> Frames:
            sample = self.inferencer.sample(request.video)
            maps = attention_maps(
                self.inferencer.model, sample.images, method,
                text=text if method == 'gradient' else None)
            # Scenes differ in how much stands out: a scale for each.
            return Frames(overlay(enlarge(sample.images, 180), maps,
                                  per_frame=True), sample.times)

        return self._run(request, job)

    def timeline(self, request: Request, window: float,
                 stride: float) -> Timeline:
        """Score windows that slide over the video, in seconds."""
        if not (window > 0 and stride > 0):
            raise UserError('Window and stride must be above 0 seconds.')
        count = max(request.seconds - window, 0) / stride + 1
        if count > _MOST_WINDOWS:
            raise UserError(
                f'This makes {count:.0f} windows, more than {_MOST_WINDOWS}: '
                'use a stride of at least '
                f'{request.seconds / _MOST_WINDOWS:.1f} s.')
        return self._run(request, lambda: self.inferencer.timeline(
            request.video, window, stride))

    def search(self, query: Optional[str], topk: int = 6) -> List[tuple]:
        """Find the videos of the index that fit best to a text: of each the
        Hit, pictures of PIL, and why there are none."""
        query = (query or '').strip()
        if not query:
            raise UserError('Type what to look for.')
        check_text(query, 'text')

        def job() -> List[tuple]:
            videos = []
            for hit in search_texts(self.index, self.inferencer, [query],
                                    topk)[0]:
                self.worker.check()
                videos.append((hit, *read_frames(hit)))
            return videos

        return self.worker.run(job)


def auto_window(seconds: float) -> Tuple[float, float]:
    """Return a window and stride that suit a video's length: a fifth of it,
    and half of that, which make nine windows."""
    window = max(round(seconds / 5, 1), 0.2)
    return window, round(window / 2, 2)


# What visitors give


@dataclass(frozen=True)
class Facts:
    """What a video file says of itself."""
    seconds: float  # 0 where nothing tells
    width: int
    height: int
    plays: bool  # browsers can show it


def check_video(path: Optional[str], limits: Limits) -> Facts:
    """Look into the file of a visitor; a UserError tells the visitor why it
    is not taken."""
    if not path:
        raise UserError('There is no video yet: drop a file, or record one '
                        'with the camera.')
    name = osp.basename(path)
    if not osp.isfile(path):
        raise UserError(f'{name} is no longer here; upload it again.')
    megabytes = osp.getsize(path) / 1e6
    if megabytes > limits.upload_mb:
        raise UserError(f'{name} is {megabytes:.0f} MB large; the limit is '
                        f'{limits.upload_mb:g} MB.')
    try:
        facts = read_facts(path)
        plays = facts.codec in _CODECS and any(
            kind in facts.container for kind in ('mp4', 'webm'))
        width, height = facts.width, facts.height
        if width * height > 4096 * 2304:  # a frame is 28 MB
            raise UserError(f'{name} has {width} x {height} pixels; scale it '
                            'down to 4K or less.')
        # Some kinds are decoded to know their length: after the size.
        seconds = float(open_video(path, timeout=60.).frame_times()[-1])
    except UnreadableVideo as error:
        raise UnreadableVideo(name, error.reason) from error
    if seconds > limits.video_seconds:
        raise UserError(f'{name} is {seconds:.0f} s long; the limit is '
                        f'{limits.video_seconds:g} s. Cut out the part that '
                        'matters.')
    return Facts(seconds, width, height, plays)


def split_labels(text: Optional[str]) -> List[str]:
    """Split the labels of a text box at commas and line breaks. They are
    never read from a file: visitors could look at the server's."""
    parts = split_names((text or '').replace('\n', ','))
    labels = list(dict.fromkeys(filter(None, map(str.strip, parts))))
    if not labels:
        raise UserError('There are no labels: type some, separated by commas '
                        'or new lines.')
    if len(labels) > MOST_LABELS:
        raise UserError(f'You gave {len(labels)} labels; the limit is '
                        f'{MOST_LABELS}.')
    for label in labels:
        check_text(label, 'label')
    return parse_class_names(','.join(labels), 'labels')


def check_text(text: str, kind: str) -> None:
    """Refuse a very long text; ``kind`` says what it is."""
    if len(text) > _MOST_CHARACTERS:
        raise UserError(f'The {kind} "{text[:30]}…" has {len(text)} '
                        f'characters; the limit is {_MOST_CHARACTERS}.')
