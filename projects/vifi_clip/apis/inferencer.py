"""Recognise videos of any kind among any labels.

Letters: B videos, V views, T frames, K classes, D embedding, W windows.
"""
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from mmaction.registry import INFERENCERS
from mmengine.dataset import pseudo_collate

from ..errors import UserError
from .batches import batches, check_arguments, one_video, ranked
from .pipeline import Views
from .labels import read_labels
from .video_model import Labels, VideoModel
from .sampling import Timeline, opened

_CHUNK = 64  # frames of a long video that are in memory at a time


@INFERENCERS.register_module()
class ViFiCLIPInferencer(VideoModel):
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
        trust (bool): Let the checkpoint run code. Defaults to False.
        cfg_options (dict, optional): Settings to override.
        labels: The first label set; see :meth:`set_labels`. Defaults to
            None: the config's classes.
        inference: Settings of :func:`apply_inference`, such as
            ``precision='bf16'``.

    Raises:
        FileNotFoundError, ValueError, UserError: See :func:`load_model`.
    """

    def __call__(self, videos: Any, **kwargs) -> Dict[str, List[dict]]:
        """Recognise videos; see :meth:`predict`.

        Returns:
            dict: 'predictions', what :meth:`predict` yields, as a list.
        """
        return dict(predictions=list(self.predict(videos, **kwargs)))

    def predict(self,
                videos: Any,
                labels: Labels = None,
                templates=None,
                num_views: Views = 1,
                batch_size: int = 1,
                topk: Optional[int] = None,
                threshold: Optional[float] = None,
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
            ``labels`` and ``scores`` (probabilities, descending).

        Raises:
            UserError: No such video, or one that cannot be read.
            ValueError: A bad argument.
        """
        check_arguments(batch_size, topk, threshold, on_error)
        names = None
        if self._classifier is not None or labels is not None:
            names = (self.class_names if labels is None else
                     read_labels(labels, 'labels'))
        if threshold is not None and names and len(names) < 2:
            raise ValueError(
                f'threshold={threshold}: with one label its probability is '
                'always 1; give at least two')
        if labels is not None or templates is not None:
            self.set_labels(names, templates)
        self.warn_of_equal_labels()
        parts = batches(self.sampler, videos, num_views, batch_size, on_error,
                        show_progress)
        run = partial(self._scores, self._label_state())
        return (dict(video=name, error=error) if error else dict(
            video=name, **ranked(scores, names, topk, threshold))
                for name, scores, error in _joined(parts, run))

    @torch.no_grad()
    def _scores(self, state: Optional[tuple],
                samples: List[dict]) -> List[np.ndarray]:
        if state != self._label_state():
            raise UserError('The labels were changed while predictions with '
                            'others were still being read; read those first')
        done = self.model.test_step(pseudo_collate(samples))
        return [sample.pred_score.float().cpu().numpy() for sample in done]

    def embed(self,
              videos: Any,
              num_views: Views = 1,
              batch_size: int = 1,
              on_error: str = 'raise') -> Iterator[dict]:
        """Video embeddings, the mean over views where there are several.

        Args:
            videos, num_views, batch_size, on_error: See :meth:`predict`.

        Yields:
            dict: ``video`` and ``embedding`` (float32 [D] of length 1), or
            ``video`` and ``error``.
        """
        check_arguments(batch_size, on_error=on_error)
        self.classifier  # says what is missing
        parts = batches(self.sampler, videos, num_views, batch_size, on_error)
        return (dict(video=name, error=error) if error else dict(
            video=name, embedding=embedding)
                for name, embedding, error in _joined(parts,
                                                      self._embeddings))

    @torch.no_grad()
    def _embeddings(self, samples: List[dict]) -> np.ndarray:
        data = self.model.data_preprocessor(pseudo_collate(samples), False)
        inputs, head = data['inputs'], self.model.cls_head
        feats = self.model.backbone(inputs.flatten(0, 1))
        # [B, V*T, 3, H, W] -> [B*V*T, D]
        views = head.fuse(head.frame_embeddings(feats))
        views = views.unflatten(0, (len(inputs), -1)).mean(1)
        # [B*V, D] -> [B, D]
        return F.normalize(views, dim=-1).cpu().numpy()

    def timeline(self, video: Any, window: float, stride: float) -> Timeline:
        """Scores of windows that slide over a long video.

        A frame that several windows share is decoded and encoded once.

        Args:
            video: One video; see :func:`expand_inputs`.
            window (float): Length of a window, seconds.
            stride (float): From one window to the next, seconds.

        Returns:
            Timeline: W windows; the first is at the start, the last reaches
            the end.

        Raises:
            ValueError: A length that is not above 0.
            UserError: It is not one video, or cannot be read.
        """
        with opened(one_video(video)) as here:
            grid = self.sampler.windows(here, window, stride, self.num_frames)
            parts = [self.frame_embeddings(grid.read(part)) for part in
                     np.array_split(grid.unique,
                                    -(-len(grid.unique) // _CHUNK))]
        frames = torch.cat(parts)[torch.from_numpy(grid.places)]
        # [U, D] -> [W, T, D]
        scores = self._softmax(self.model.cls_head.fuse(frames))
        return Timeline(grid.times, scores, self.class_names, grid.window)


def _joined(parts: Iterator[tuple],
            run: Callable) -> Iterator[Tuple[str, Any, Optional[str]]]:
    """Name, result and error of each video; ``run`` has what could be read.
    """
    for videos, samples, errors in parts:
        results = iter(run(samples) if samples else ())
        for video, error in zip(videos, errors):
            yield video.name, None if error else next(results), error
