"""What is computed for the page, without the page.

Letters: T frames, K classes.
"""
from typing import Any, List, Optional, Tuple

import numpy as np

from projects.vifi_clip.apis.batches import ranked
from projects.vifi_clip.errors import UserError
from .answers import Found, Frames, Recognition, Request
from .limits import Limits, check_text, check_video, read_labels
from .worker import Worker

MOST_VIEWS = 8
_MOST_WINDOWS = 300


class Recogniser:
    """A model for many visitors.

    Args:
        inferencer (ViFiCLIPInferencer): The model.
        limits (Limits): What visitors may ask.
        index (VideoIndex, optional): To search, made with this model.

    Raises:
        UserError: The model has a fixed set of classes.
    """

    def __init__(self,
                 inferencer: Any,
                 limits: Limits = Limits(),
                 index: Any = None) -> None:
        inferencer.classifier
        self.inferencer, self.limits, self.index = inferencer, limits, index
        self.worker = Worker(limits.seconds)
        # Long work comes in parts, each through the tower.
        self._hook = inferencer.model.backbone.register_forward_pre_hook(
            lambda *_: self.worker.check())

    def close(self) -> None:
        """Stop what runs, take no more, and leave the model as it was."""
        self.worker.close()
        self._hook.remove()

    def check(self, path: Optional[str], labels: Optional[str],
              template: Optional[str] = None, threshold: float = 0.,
              num_views: int = 1) -> Request:
        """A request out of what stands on the page.

        Raises:
            UserError: Something is missing or not allowed.
        """
        facts = check_video(path, self.limits)
        names = read_labels(labels)
        template = (template or '').strip() or None
        if template is not None:
            check_text(template, 'template')
            if template.count('{}') != 1:
                raise UserError('The template must have {} once, where the '
                                'label goes: "a video of {}".')
        if threshold and len(names) < 2:
            raise UserError('With one label its probability is always 100%, '
                            'and no threshold tells anything: give at least '
                            'two labels.')
        return Request(path, tuple(names), template, float(threshold or 0),
                       min(max(int(num_views), 1), MOST_VIEWS), facts.seconds)

    def recognise(self, request: Request) -> Recognition:
        """Rank the labels, for the video and for each frame on its own.

        Raises:
            UserError: An unreadable video, or out of time.
            ValueError: A label that the text tower does not take.
        """
        return self.worker.run(lambda: self._recognise(request))

    def _recognise(self, request: Request) -> Recognition:
        self._set_labels(request)
        sample = self.inferencer.sample(request.video)
        video, frames = self._scores(sample.images)
        threshold = request.threshold or None
        # These frames are all there is, unless pictures are averaged first.
        if (request.num_views == 1
                and self.inferencer.model.cls_head.fusion != 'image'):
            result = ranked(video, request.labels, None, threshold)
        else:
            result, = self.inferencer.predict(
                request.video, num_views=request.num_views,
                threshold=threshold)
        best = [(request.labels[i], float(row[i]))
                for row, i in zip(frames, frames.argmax(1))]
        return Recognition(
            result['label'], list(zip(result['labels'], result['scores'])),
            Frames(sample.images, sample.times, best))

    def _scores(self, images: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Probabilities of a view, [K], and of its frames, [T, K].

        One pass through the tower, where ``video_scores`` and
        ``frame_scores`` would be two.
        """
        import torch
        head = self.inferencer.model.cls_head
        with torch.no_grad():
            embeddings = self.inferencer.frame_embeddings(images)
            # [T, D]
            alone = torch.nn.functional.normalize(embeddings.float(), dim=-1)
            video, frames = (
                head.class_logits(x).softmax(-1).cpu().numpy()
                for x in (head.fuse(embeddings), alone))
        return video, frames

    def attention(self, request: Request, method: str,
                  text: Optional[str] = None) -> Frames:
        """Frames with what the class token looks at laid over.

        Args:
            request (Request): The video, and the labels.
            method (str): See :func:`analysis.attention.attention_maps`.
            text (str, optional): For 'gradient'. Defaults to None: the first
                label.

        Raises:
            UserError: A tower without attention; or see :meth:`recognise`.
        """
        from ..attention.maps import attention_maps
        from ..attention.overlay import enlarge, overlay

        def job() -> Frames:
            self._set_labels(request)
            sample = self.inferencer.sample(request.video)
            maps = attention_maps(
                self.inferencer.model, sample.images, method,
                text=(text or request.labels[0])
                if method == 'gradient' else None)
            # Scenes differ in how much stands out: a scale for each.
            return Frames(overlay(enlarge(sample.images, 180), maps,
                                  per_frame=True), sample.times)

        return self.worker.run(job)

    def timeline(self, request: Request, window: float, stride: float) -> Any:
        """Scores of windows that slide over the video.

        Args:
            request (Request): The video, and the labels.
            window, stride (float): Seconds.

        Returns:
            Timeline: See :class:`apis.video_samples.Timeline`.

        Raises:
            UserError: Too many windows; or see :meth:`recognise`.
            ValueError: A length that is not above 0.
        """
        for name, value in dict(window=window, stride=stride).items():
            if not value or value <= 0:
                raise UserError(f'The {name} is a time in seconds, above 0.')
        count = max(request.seconds - window, 0) / stride + 1
        if count > _MOST_WINDOWS:
            raise UserError(f'These are {count:.0f} windows; at most '
                            f'{_MOST_WINDOWS} are taken. Take a stride of '
                            f'{request.seconds / _MOST_WINDOWS:.1f} s or '
                            'more.')

        def job() -> Any:
            self._set_labels(request)
            return self.inferencer.timeline(request.video, window, stride)

        return self.worker.run(job)

    def search(self, query: Optional[str], topk: int = 6) -> List[Found]:
        """The videos of the index that fit best to a text.

        Raises:
            UserError: No text, or a very long one.
        """
        from ..search.querying import search_texts
        from ..search.sheet import read_frames
        query = (query or '').strip()
        if not query:
            raise UserError('Say in words what to look for.')
        check_text(query, 'text')

        def job() -> List[Found]:
            hits, = search_texts(self.index, self.inferencer, [query], topk)
            found = []
            for hit in hits:
                self.worker.check()
                found.append(Found(hit, *read_frames(hit.path, hit.start,
                                                     hit.end)))
            return found

        return self.worker.run(job)

    def _set_labels(self, request: Request) -> None:
        self.inferencer.set_labels(list(request.labels), request.template)


def auto_window(seconds: float) -> Tuple[float, float]:
    """A window and stride that suit a video's length.

    Args:
        seconds (float): Length of the video.

    Returns:
        tuple[float, float]: A fifth of it, and half of that: nine windows.
    """
    window = max(round(seconds / 5, 1), 0.2)
    return window, round(window / 2, 2)
