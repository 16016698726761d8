"""Recognise videos of any kind among any labels.

Letters: B videos, V views, T frames, K classes, M texts, D embedding.
"""
import logging
from numbers import Integral, Real
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

import numpy as np
import torch
import torch.nn.functional as F
from mmaction.registry import INFERENCERS
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from torch import Tensor

from ..engine.precision import apply_inference
from ..errors import UserError
from ..models.recognizer import embed_frames
from .familiarity import UNLIKE, known_pixels, label_warning
from .inputs import one_video, read_labels
from .loading import load_model
from .pipeline import (Sampled, Timeline, Views, VideoSampler,
                       run_in_batches)
from .windows import WindowEmbeddings, embed_windows

Labels = Union[None, str, Sequence[str]]
NONE = 'none of these'
_LARGEST = 1_000_000  # of a batch, and of labels


@INFERENCERS.register_module()
class ViFiCLIPInferencer:
    """Labels of videos, in the manner of MMAction2Inferencer.

    The label set changes from call to call without a reload; class
    embeddings are encoded when labels, templates or weights change and at no
    other time.

        infer = ViFiCLIPInferencer('vifi_k400', 'vifi.pth')
        infer('clips/', labels=['arm wrestling', 'playing cards'])

    MMEngine's BaseInferencer is not its base: that loads weights without our
    checks, has one pipeline for all calls, and ends at the first bad video.

    Args:
        config (str | Config): Path, or name of an entry in ``configs/``.
            Defaults to 'vifi_zero_shot', OpenAI's ViT-B/16 unless there is a
            checkpoint.
        checkpoint (str, optional): File or web address. Defaults to None:
            the weights that the config names.
        device (str): 'auto' is a GPU if there is one. Defaults to 'auto'.
        trust (bool): Let the checkpoint run code, and the config of a model
            from the Hub. Defaults to False.
        cfg_options (dict, optional): Settings to override.
        labels: The first label set; see :meth:`set_labels`. Defaults to
            None: the config's classes.
        templates, views: See :func:`load_model`.
        inference: Settings of :func:`apply_inference`, such as
            ``precision='bf16'``.

    Raises:
        FileNotFoundError, ValueError, UserError: See :func:`load_model`.
    """

    def __init__(self, config: Any = 'vifi_zero_shot',
                 checkpoint: Optional[str] = None, device: str = 'auto',
                 trust: bool = False, cfg_options: Optional[dict] = None,
                 labels: Labels = None,
                 templates: Optional[Sequence[str]] = None,
                 views: Sequence[Views] = (), **inference) -> None:
        if labels is not None:
            labels = read_labels(labels, 'labels')
        self.model, self.cfg = load_model(config, checkpoint, device, trust,
                                          cfg_options, labels, templates,
                                          views)
        if inference:
            apply_inference(self.model, **inference)
        self.checkpoint = checkpoint
        self.sampler = VideoSampler(self.cfg)
        self._known = known_pixels(checkpoint if checkpoint not in (
            None, 'none') else self.cfg.get('load_from'))
        self._classifier = getattr(self.model.cls_head, 'text_classifier',
                                   None)
        self._warned_of: Optional[tuple] = None
        self._own = self._label_state()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def classifier(self) -> torch.nn.Module:
        """The head's text side; a UserError if its classes are fixed."""
        if self._classifier is None:
            raise UserError(
                f'The head {type(self.model.cls_head).__name__} of '
                f'{self.cfg.filename} has no text_classifier')
        return self._classifier

    @property
    def class_names(self) -> List[str]:
        """K names of the present label set."""
        return list(self.classifier.class_names)

    @property
    def num_frames(self) -> int:
        """T, frames of a view."""
        return self.model.cls_head.num_frames

    @property
    def embed_dim(self) -> int:
        """D, length of an embedding."""
        return self.classifier.embed_dim

    def set_labels(self, labels: Labels, templates=None) -> None:
        """Choose what to tell apart.

        Args:
            labels (Sequence[str] | str): Names, or a file of them, or one
                text with commas. If the config describes its classes in
                sentences, those are used for exactly its classes.
            templates (str | Sequence[str], optional): With ``{}`` where the
                label goes. Defaults to None: the config's.

        Raises:
            ValueError: Empty or repeated labels, or a bad template.
        """
        text, names = self.classifier, read_labels(labels, 'labels')
        own_names, own_templates, descriptions = self._own
        if templates is not None or names != own_names:
            descriptions = None
        templates = own_templates if templates is None else templates
        templates = ([templates] if isinstance(templates, str) else
                     list(templates))
        if (names, templates, descriptions) == self._label_state():
            return  # what is encoded stays encoded
        before, text.descriptions = text.descriptions, descriptions
        try:
            text.set_classes(names, source='labels', templates=templates)
        except ValueError:
            text.descriptions = before
            raise

    def _label_state(self) -> Optional[tuple]:
        """All that decides the class embeddings but weights."""
        text = self._classifier
        return text and (text.class_names, text.templates, text.descriptions)

    @property
    def is_bundled(self) -> bool:
        """Whether this is a small model that knows one kind of videos."""
        return self._known is not None

    def unlike(self, images: np.ndarray) -> bool:
        """Tell whether frames, uint8 [T, h, w, 3] of :meth:`sample`, are
        unlike the videos that a bundled small model knows; False for other
        models."""
        return self.is_bundled and self._known.unlike(images)

    def warn_of_labels(self) -> None:
        """Log, once for a label set, what :func:`label_warning` says."""
        state = self._label_state()
        if state is None or state == self._warned_of:
            return
        self._warned_of = state
        if text := label_warning(self.classifier):
            print_log(text, 'current', logging.WARNING)

    def sample(self, video: Any, num_frames: Optional[int] = None) -> Sampled:
        """Read the frames of one view of one video, as the model sees them;
        T are the model's unless ``num_frames`` says otherwise."""
        return self.sampler.sample(one_video(video), num_frames)

    @torch.no_grad()
    def frame_embeddings(self, images: np.ndarray) -> Tensor:
        """Embed frames uint8 [T, h, w, 3], of :meth:`sample`, each on its
        own (or with those of its view, see ``backbone.num_frames``); [T, D],
        not normalised, or [T, 1 + P, D] with tokens."""
        self.classifier  # says what is missing
        if self.model.data_preprocessor.format_shape != 'NCHW':
            raise UserError(f'The backbone of {self.cfg.filename} takes '
                            'clips, not single frames')
        return embed_frames(self.model, self.normalise(images)[None],
                            len(images))[0, 0]

    def check_texts_alone(self) -> None:
        """Refuse a model whose text embeddings are those of a video."""
        if getattr(self.model.cls_head, 'condition', None) is not None:
            raise UserError(
                f'the model of {self.cfg.filename} embeds a text for each '
                'video separately (METHOD=xclip, CONTEXT_PROMPTS=on), so texts'
                ' have no embedding of their own to search or compare with; '
                'use predict')

    def normalise(self, images: np.ndarray) -> Tensor:
        """Frames uint8 [T, h, w, 3] to the model's input, [T, 3, h, w]."""
        x = torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1)
        data = self.model.data_preprocessor(
            dict(inputs=[x], data_samples=[None]), False)
        return data['inputs'][0]

    def video_scores(self, images: np.ndarray) -> np.ndarray:
        """Probabilities [K] of T frames as one view."""
        return self._softmax(
            self.model.cls_head.fuse(self.frame_embeddings(images)))

    @torch.no_grad()
    def _softmax(self, embeddings: Tensor) -> np.ndarray:
        logits = self.model.cls_head.class_logits(embeddings)
        return logits.softmax(-1).cpu().numpy()

    @torch.no_grad()
    def text_embeddings(self, texts: Sequence[str],
                        templates=None) -> np.ndarray:
        """Embed M texts, by the model's templates or others, as float32 [M,
        D], rows of length 1; the label set stays as it is. UserError where
        they depend on the video."""
        self.check_texts_alone()
        embeddings = self.classifier.embed_texts(texts, templates)
        return embeddings.float().cpu().numpy()

    def __call__(self, videos: Any, **kwargs) -> Dict[str, List[dict]]:
        """Return what :meth:`predict` yields, as list 'predictions'."""
        return dict(predictions=list(self.predict(videos, **kwargs)))

    def predict(self, videos: Any, labels: Labels = None, templates=None,
                num_views: Views = 1, batch_size: int = 1,
                topk: Optional[int] = None, threshold: Optional[float] = None,
                on_error: str = 'raise',
                show_progress: bool = False) -> Iterator[dict]:
        """Recognise videos one after the other.

        Args:
            videos: See :func:`expand_inputs`.
            labels: See :meth:`set_labels`. Defaults to None: the present.
            templates: Likewise, with ``labels`` only.
            num_views (int | tuple | None): Temporal views, (temporal views,
                crops) such as (4, 3), or None for the config's test
                pipeline. Defaults to 1.
            batch_size (int): Videos that go through the model together.
            topk (int, optional): Labels to keep. Defaults to None: all.
            threshold (float, optional): A video whose best probability is
                below it is 'none of these'. Defaults to None.
            on_error (str): 'raise' at a video that cannot be read, or
                'report' it as ``dict(video, error)`` and go on.
            show_progress (bool): A bar on standard error.

        Yields:
            dict: ``video`` (its name), ``label`` (the best one),
            ``labels`` and ``scores`` (probabilities, descending); ``warning``
            if the video is :meth:`unlike` those of a bundled model.

        Raises:
            UserError: No such video, or one that cannot be read.
            ValueError: A bad argument.
        """
        check_arguments(batch_size, topk, threshold, on_error)
        names = None
        if labels is not None:
            names = read_labels(labels, 'labels')
        elif self._classifier is not None:
            names = self.class_names
        if threshold is not None and names and len(names) < 2:
            raise ValueError(
                f'threshold={threshold}: with one label its probability is '
                'always 1; give at least two')
        if labels is not None or templates is not None:
            self.set_labels(names, templates)
        self.warn_of_labels()
        state = self._label_state()

        def run(samples: List[dict]) -> List[dict]:
            if state != self._label_state():
                raise UserError(
                    'The labels were changed while predictions with the old '
                    'ones were still being read; read those first')
            with torch.no_grad():
                done = self.model.test_step(pseudo_collate(samples))
            return [{**ranked(answer.pred_score.float().cpu().numpy(), names,
                              topk, threshold), **self._warning(sample)}
                    for sample, answer in zip(samples, done)]

        return run_in_batches(run, self.sampler, videos, num_views,
                              batch_size, on_error, show_progress)

    def embed(self, videos: Any, num_views: Views = 1, batch_size: int = 1,
              on_error: str = 'raise') -> Iterator[dict]:
        """Video embeddings, the mean over views where there are several.

        Args:
            videos, num_views, batch_size, on_error: See :meth:`predict`.

        Yields:
            dict: ``video`` and ``embedding`` (float32 [D] of length 1), or
            ``video`` and ``error``; ``warning`` as in :meth:`predict`.
        """
        check_arguments(batch_size, on_error=on_error)
        self.classifier  # says what is missing
        return run_in_batches(self._embeddings, self.sampler, videos,
                              num_views, batch_size, on_error)

    @torch.no_grad()
    def _embeddings(self, samples: List[dict]) -> List[dict]:
        data = self.model.data_preprocessor(pseudo_collate(samples), False)
        frames = embed_frames(self.model, data['inputs'])
        head = self.model.cls_head
        views = head.video_embeddings(head.fuse(frames)).mean(1)
        # [B, V, T, D] -> [B, V, D] -> [B, D]
        rows = F.normalize(views, dim=-1).cpu().numpy()
        return [dict(embedding=row, **self._warning(sample))
                for sample, row in zip(samples, rows)]

    def _warning(self, sample: dict) -> Dict[str, str]:
        """Warn of a sample of the pipeline, by its first view."""
        if not self.is_bundled:
            return {}
        # [V*T, 3, h, w] -> [T, h, w, 3]
        images = sample['inputs'][:self.num_frames].movedim(1, -1).numpy()
        return dict(warning=UNLIKE) if self.unlike(images) else {}

    def window_embeddings(self, video: Any, window: float,
                          stride: float) -> WindowEmbeddings:
        """Embed windows of a long video; a frame that several share is decoded
        and encoded once.

        Args:
            video: One video; see :func:`expand_inputs`.
            window (float): Length of a window, seconds; a video that is
                shorter is one window.
            stride (float): From one window to the next, seconds.

        Returns:
            WindowEmbeddings: W windows; the first is at the start, the last
            reaches the end.

        Raises:
            ValueError: A length that is not above 0.
            UnreadableVideo: It cannot be read.
            UserError: It is not one video.
        """
        times, length, rows = embed_windows(
            self, one_video(video), window, stride,
            self.model.cls_head.video_embeddings)
        return WindowEmbeddings(times, length, torch.cat(rows))

    def timeline(self, video: Any, window: float, stride: float) -> Timeline:
        """Score the windows of :meth:`window_embeddings`."""
        times, length, scores = embed_windows(
            self, one_video(video), window, stride, self._softmax)
        return Timeline(times, np.concatenate(scores), self.class_names,
                        length)


def check_arguments(batch_size: int, topk: Optional[int] = None,
                    threshold: Optional[float] = None,
                    on_error: str = 'raise') -> None:
    """Refuse bad arguments of a prediction by a ValueError."""
    for name, value in dict(batch_size=batch_size, topk=topk).items():
        if value is not None and (isinstance(value, bool)
                                  or not isinstance(value, Integral)
                                  or not 1 <= value <= _LARGEST):
            raise ValueError(f'{name} must be a whole number from 1 to '
                             f'{_LARGEST}, got {value!r}')
    if threshold is not None and not (isinstance(threshold, Real)
                                      and 0 <= threshold <= 1):
        raise ValueError('threshold is a probability from 0 to 1, got '
                         f'{threshold!r}')
    if on_error not in ('raise', 'report'):
        raise ValueError("on_error must be 'raise' or 'report', got "
                         f'{on_error!r}')


def ranked(scores: np.ndarray, names: Optional[Sequence[str]],
           topk: Optional[int], threshold: Optional[float]) -> dict:
    """Turn scores [K] into ``label``, ``labels``, ``scores``, best first."""
    order = np.argsort(-scores, kind='stable')[:topk]
    labels = [names[i] if names else int(i) for i in order]
    unsure = threshold is not None and scores[order[0]] < threshold
    return dict(label=NONE if unsure else labels[0], labels=labels,
                scores=scores[order].tolist())
