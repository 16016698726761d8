"""Temporal fusion, cosine logits and loss.

Letters: B videos, V views, T frames of a view, N = B * V views of the batch,
K classes, C channels of the backbone, D embedding.
"""
import math
from typing import Dict, Optional

import torch
import torch.nn.functional as F
from mmaction.models.heads import BaseHead
from mmaction.registry import MODELS
from mmaction.utils import ConfigType, SampleList
from mmengine.model.weight_init import normal_init
from torch import Tensor, nn

FUSIONS = ('embedding', 'decision', 'image')
_CHUNK = 1 << 15  # class embeddings of videos that are made at a time


@MODELS.register_module()
class TemporalMeanPoolHead(BaseHead):
    """ViFi-CLIP's head: T frames to one score per class.

    Serves CLIP's image tower under :class:`ViFiCLIP`, and any backbone of
    MMAction2's own under Recognizer2D and Recognizer3D. It takes

    - [N*T, D] and [N*T, C, h, w]: frames, each on its own (2D backbones);
    - [N, C, T', h, w]: a clip's feature volume (3D backbones), whose T' time
      steps take the place of the frames. A 3D backbone that gives [N, C]
      (VideoMAE) is a 2D one with ``num_frames=1`` to this head.

    Fusion (ViFi-CLIP section 4.3):

    - ``embedding``: the mean of the frames' embeddings is the video's;
    - ``decision``: the mean of the frames' logits;
    - ``image``: in training every frame is a sample with its video's label;
      scores are those of ``decision``.

    A subclass with a fusion of its own overrides :meth:`pool`: training,
    tests and all commands come to it by :meth:`fuse`.

    Args:
        in_channels (int, optional): C. A linear projection to D is learnt
            when the two differ. None means D, CLIP's own towers.
        num_frames (int): T; of no consequence for 5-D features.
        text_classifier (dict): Config of :class:`CLIPTextClassifier`.
        fusion (str): Defaults to 'embedding'.
        temporal (dict, optional): A module, built with ``embed_dim`` (D)
            beside its own arguments, that takes frame embeddings [N, T, D]
            before they are fused, and returns [N, T, D] or [N, 1, D].
            ``max_frames=None`` becomes T. Defaults to None: frames do not
            see each other.
        condition (dict, optional): A module, built likewise, that makes the
            class embeddings [K, D], not normalised, those of a video,
            [N, K, D], by its tokens [N, P, D]. The backbone then gives
            [N*T, 1 + P, D]: each frame's embedding, and its tokens, which
            are averaged over the frames.
            Defaults to None: that of the text classifier, if it has one.
        temperature (float, optional): exp(-logit_scale) at the start.
            Defaults to None: as in the weights that ``pretrained`` loads.
        loss_cls (dict): A loss on [*, K] logits, or
            :class:`CLIPContrastiveLoss`, which pairs videos and texts in the
            batch. Defaults to MMAction2's cross-entropy.
        average_clips (str): Views are averaged after the softmax ('prob') or
            before ('score'). Defaults to 'prob', as in the paper.
        kwargs: ``label_smooth_eps``, ``topk`` and others of MMAction2's
            BaseHead.

    Raises:
        ValueError: Unknown fusion, or one that a temporal module or a fusion
            of one's own does not go with; features whose number of frames is
            no multiple of ``num_frames``; labels of a wrong shape.
        TypeError: A subclass that overrides ``forward``, when it is defined.
    """

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if cls.forward is not TemporalMeanPoolHead.forward:
            raise TypeError(
                f'{cls.__name__} overrides forward, which only a test calls: '
                'override pool([N, T, D]) -> [N, D], which training and all '
                'commands use, or class_logits([N, D]) -> [N, K]')

    def __init__(self, in_channels: Optional[int], num_frames: int,
                 text_classifier: ConfigType, fusion: str = 'embedding',
                 loss_cls: ConfigType = dict(type='CrossEntropyLoss'),
                 average_clips: Optional[str] = 'prob',
                 temporal: Optional[ConfigType] = None,
                 condition: Optional[ConfigType] = None,
                 temperature: Optional[float] = None, **kwargs) -> None:
        if fusion not in FUSIONS:
            raise ValueError(f'fusion must be one of {FUSIONS}, got '
                             f'{fusion!r}')
        own = type(self)
        if fusion == 'image' and (
                temporal or condition
                or own.pool is not TemporalMeanPoolHead.pool
                or own.fuse is not TemporalMeanPoolHead.fuse):
            raise ValueError("fusion='image' (FUSION) trains on single frames,"
                             ' which a temporal module or a pool() of your '
                             "own cannot take: set 'embedding'")
        if not isinstance(num_frames, int) or num_frames < 1:
            raise ValueError('num_frames must be a whole number of at least '
                             f'1, got {num_frames!r}')
        if kwargs.get('multi_class'):
            raise ValueError('multi_class=True: multi-label training is not '
                             'supported, as scores are a softmax; leave it '
                             'out')
        if condition:
            text_classifier = dict(text_classifier, normalize=False)
        classifier = MODELS.build(text_classifier)
        dim = classifier.embed_dim
        in_channels = in_channels or dim
        kwargs.pop('num_classes', None)  # the label set tells
        super().__init__(classifier.num_classes, in_channels,
                         loss_cls=loss_cls, average_clips=average_clips,
                         **kwargs)
        self.num_frames, self.fusion = num_frames, fusion
        self.text_classifier = classifier
        scale = classifier.init_logit_scale
        if temperature is not None:
            if not temperature > 0:
                raise ValueError(f'temperature={temperature} must be above 0')
            scale = -math.log(temperature)
        self.logit_scale = nn.Parameter(torch.tensor(float(scale)))
        self.projection = nn.Identity() if in_channels == dim else nn.Linear(
            in_channels, dim, bias=False)
        if temporal and temporal.get('max_frames', 0) is None:
            temporal = dict(temporal, max_frames=num_frames)
        self.temporal, self.condition = (
            MODELS.build(dict(part, embed_dim=dim)) if part else None
            for part in (temporal, condition))
        if self.condition is None:
            self.condition = getattr(classifier, 'condition', None)
        if self.condition and (classifier.average == 'prob' or getattr(
                self.loss_cls, 'in_batch', False)):
            raise ValueError("class embeddings of a video (condition) go with "
                             "average='embedding' and a loss over all classes")

    @property
    def num_classes(self) -> int:
        """K of the present label set."""
        return self.text_classifier.num_classes

    @num_classes.setter
    def num_classes(self, value: int) -> None:
        """BaseHead sets it; the text classifier is the owner."""

    def init_weights(self) -> None:
        """Initialise the projection; the text side brings its weights."""
        if isinstance(self.projection, nn.Linear):
            normal_init(self.projection, std=self.in_channels**-0.5)

    def frame_embeddings(self, x: Tensor,
                         num_frames: Optional[int] = None) -> Tensor:
        """Features of any shape that the class names to [N, T, D];
        ``num_frames`` is the T of 2-D and 4-D ones, if not the head's."""
        num_frames = num_frames or self.num_frames
        if x.ndim == 5:
            x = x.mean(dim=(3, 4)).transpose(1, 2)
            # [N, C, T', h, w] -> [N, T', C]
            return self.projection(x)
        if x.ndim == 4:
            x = x.mean(dim=(2, 3))
            # [N*T, C, h, w] -> [N*T, C]
        if x.ndim != (2 if self.condition is None else 3):
            raise ValueError(f'{tuple(x.shape)} are not features [N*T, C], '
                             '[N*T, C, h, w] or [N, C, T, h, w]')
        if x.shape[0] % num_frames:
            raise ValueError(f'{x.shape[0]} frames are not a multiple of '
                             f'num_frames={num_frames} of the head; set it to '
                             'what the pipeline samples for a view.')
        return self.projection(x).unflatten(0, (-1, num_frames))
        # [N*T, D] -> [N, T, D], or [N*T, 1 + P, D] -> [N, T, 1 + P, D]

    def fuse(self, frames: Tensor) -> Tensor:
        """Frame embeddings [..., T, D] to what is compared with the classes,
        [..., D], by :meth:`pool`. With tokens, [..., T, 1 + P, D] to
        [..., 1 + P, D], of which the first is that."""
        tokens = None
        if self.condition is not None:
            frames, tokens = frames[..., 0, :], frames[..., 1:, :]
        shape = frames.shape
        frames = frames.reshape(-1, *shape[-2:])
        # [..., T, D] -> [N, T, D]
        video = self.pool(frames)
        if not isinstance(video, Tensor) or video.shape != frames.shape[::2]:
            got = (list(video.shape) if isinstance(video, Tensor) else
                   type(video).__name__)
            raise ValueError(
                f'{type(self).__name__}.pool must return [N, D] = '
                f'{list(frames.shape[::2])} of [N, T, D], got {got}')
        if self.fusion == 'embedding':
            video = F.normalize(video.float(), dim=-1)
        video = video.reshape(*shape[:-2], shape[-1])
        # [N, D] -> [..., D]
        return video if tokens is None else torch.cat(
            [video[..., None, :], tokens.float().mean(-3)], -2)

    def pool(self, frames: Tensor) -> Tensor:
        """Frame embeddings [N, T, D], not normalised, to video embeddings
        [N, D]. They are normalised where ``fusion`` is 'embedding'; of others
        the products with the classes' embeddings are the scores as they are.
        """
        if self.temporal is not None:
            frames = self.temporal(frames)
            if frames.dim() != 3:
                raise ValueError(
                    f'{type(self.temporal).__name__} (cls_head.temporal) must '
                    'return [N, T, D] or [N, 1, D] of [N, T, D], got '
                    f'{list(frames.shape)}')
        if self.fusion == 'embedding':
            return frames.float().mean(-2)
        # The mean of products with a class is the product with the mean.
        return F.normalize(frames.float(), dim=-1).mean(-2)

    def video_embeddings(self, fused: Tensor) -> Tensor:
        """What :meth:`fuse` returned, without tokens: [..., D]."""
        return fused if self.condition is None else fused[..., 0, :]

    def frame_logits(self, frames: Tensor,
                     classes: Optional[Tensor] = None) -> Tensor:
        """Frame embeddings, with their tokens, each on its own: [..., T, D]
        to logits [..., T, K]; ``classes`` as of :meth:`class_logits`."""
        frames = frames.float()
        if self.condition is None:
            return self.class_logits(F.normalize(frames, dim=-1), classes)
        return self.class_logits(torch.cat([
            F.normalize(frames[..., :1, :], dim=-1), frames[..., 1:, :]], -2),
            classes)

    def forward(self, x: Tensor, num_segs: Optional[int] = None,
                **kwargs) -> Tensor:
        """Features to the logits of every view, [B*V, K] cosine similarities
        times exp(logit_scale). ``num_segs`` is the V*T that 2D recognizers
        give; it is checked against ``num_frames``."""
        return self.class_logits(self.fuse(self.frames_of(x, num_segs)))

    def frames_of(self, x: Tensor, num_segs: Optional[int] = None) -> Tensor:
        """Features to [N, T, D] as :meth:`frame_embeddings`, where
        ``num_segs`` fits; see :meth:`forward`."""
        if num_segs is not None and x.ndim < 5 and num_segs % self.num_frames:
            raise ValueError(
                f'The pipeline gives {num_segs} frames per video, which are '
                f'not views of num_frames={self.num_frames} frames each.')
        return self.frame_embeddings(x)

    def encode_classes(self, autocast: Optional[bool] = None) -> Tensor:
        """The text classifier's embeddings, [K, D] or [M, K, D], in float32.

        A text side that trains follows autocast; what is encoded once and
        kept can afford float32. ``autocast`` says otherwise."""
        if autocast is None:
            autocast = torch.is_grad_enabled() and self.text_classifier.trains
        device = self.logit_scale.device.type
        with torch.autocast(device, enabled=(
                autocast and torch.is_autocast_enabled(device))):
            return self.text_classifier().float()

    def class_logits(self, embeddings: Tensor,
                     classes: Optional[Tensor] = None) -> Tensor:
        """Embeddings [..., D] of :meth:`fuse` to [..., K], in float32: bf16
        is too coarse for logits of up to exp(logit_scale) = 100. ``classes``
        are those of :meth:`encode_classes`, where they are there already."""
        if classes is None:
            classes = self.encode_classes()
        with torch.autocast(embeddings.device.type, enabled=False):
            return self._compare(embeddings.float(), classes)

    def _compare(self, video: Tensor, classes: Tensor) -> Tensor:
        scale = self.logit_scale.exp()
        if self.condition is not None:
            x = video.reshape(-1, *video.shape[-2:])
            # [..., 1 + P, D] -> [N, 1 + P, D]
            logits = scale * torch.cat([
                self._of_videos(part, classes) for part in x.split(
                    len(x) if torch.is_grad_enabled() else
                    max(1, _CHUNK // len(classes)))])
            return logits.view(*video.shape[:-2], -1)
        if classes.ndim == 2:
            return scale * (video @ classes.T)
        # [..., D] and [M, K, D]: the mean probability of M templates. The
        # softmax of its logarithm is itself.
        logits = scale * torch.einsum('...d,mkd->...mk', video, classes)
        return logits.softmax(-1).mean(-2).log()

    def _of_videos(self, video: Tensor, classes: Tensor) -> Tensor:
        """Cosines of videos [N, 1 + P, D] with their classes: [N, K]."""
        classes = F.normalize(self.condition(classes, video[:, 1:]), dim=-1)
        # [N, K, D]
        return (classes @ video[:, 0, :, None])[..., 0]

    def loss(self, feats: Tensor, data_samples: SampleList,
             num_segs: Optional[int] = None, **kwargs) -> Dict[str, Tensor]:
        """Training losses from features; see :meth:`forward`."""
        return self.loss_of_frames(self.frames_of(feats, num_segs),
                                   data_samples)

    def loss_of_frames(self, frames: Tensor, data_samples: SampleList,
                       classes: Optional[Tensor] = None) -> Dict[str, Tensor]:
        """Training losses from frame embeddings [N, T, D]; ``classes`` as of
        :meth:`class_logits`, which in-batch losses do not take."""
        if getattr(self.loss_cls, 'in_batch', False):
            return self._in_batch_loss(frames, data_samples)
        if self.fusion == 'image':
            # [N, T, D] -> [N*T, D]: each frame is a sample
            logits = self.frame_logits(frames.flatten(0, 1), classes)
        else:
            logits = self.class_logits(self.fuse(frames), classes)
        return self.loss_by_feat(logits, data_samples)

    def _in_batch_loss(self, frames: Tensor, data_samples: SampleList) -> dict:
        labels = self._labels(data_samples, frames.device)
        if labels.ndim != 1:
            raise ValueError('An in-batch loss needs index labels: remove '
                             'blending from the data preprocessor.')
        video = self.fuse(frames)
        if len(video) != len(labels):
            labels = labels.repeat_interleave(len(video) // len(labels))
        text = self.text_classifier(labels)
        # [N, D] both
        return dict(loss_cls=self.loss_cls(
            video, text, self.logit_scale.exp(), labels, frames))

    def loss_by_feat(self, cls_scores: Tensor,
                     data_samples: SampleList) -> Dict[str, Tensor]:
        """Class-set loss of logits [B*R, K], R rows for each video (its
        views, or frames under ``fusion='image'``), and labels of B samples
        that are indices, Long one-hot or soft."""
        labels = self._labels(data_samples, cls_scores.device)
        rows = len(cls_scores) // len(labels)
        losses = {}
        if labels.ndim == 1:
            scores = cls_scores.detach().reshape(len(labels), rows, -1).mean(1)
            # [B*R, K] -> [B, K]
            best = scores.topk(min(max(self.topk), scores.shape[1])).indices
            hits = best == labels[:, None]
            for k in self.topk:
                if k == 1 or k < scores.shape[1]:  # else always right
                    losses[f'top{k}_acc'] = hits[:, :k].any(1).float().mean()
        if self.label_smooth_eps:
            eps = self.label_smooth_eps
            if labels.ndim == 1:
                labels = F.one_hot(labels, self.num_classes)
                # [B] -> [B, K]
            labels = (1 - eps) * labels.float() + eps / self.num_classes
        if rows > 1:
            labels = labels.repeat_interleave(rows, dim=0)
        loss = self.loss_cls(cls_scores, labels)
        losses.update(loss if isinstance(loss, dict) else dict(loss_cls=loss))
        return losses

    def _labels(self, data_samples: SampleList,
                device: torch.device) -> Tensor:
        """Labels of a batch: [B] indices, or [B, K] as float."""
        labels = [sample.gt_label for sample in data_samples]
        sizes, num_classes = {tuple(x.shape) for x in labels}, self.num_classes
        if sizes == {(1, )} and (num_classes > 1
                                 or not labels[0].is_floating_point()):
            return torch.cat(labels).to(device)
        if sizes != {(num_classes, )}:
            raise ValueError(
                f'Labels {sorted(sizes)} are neither indices nor of '
                f'{num_classes} classes: set num_classes in blending, or '
                'blending=None.')
        return torch.stack(labels).to(device).float()
