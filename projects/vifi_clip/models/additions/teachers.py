"""Teachers of auxiliary losses: the model's own running mean, or CLIP.

A teacher runs without gradient and in eval mode, on the very pixels (blended,
if they are) and the very sentences that the model saw. Its weights are
float32. Its towers run in the precision of the model's, so that rounding is no
difference between the two; text that is encoded once runs in float32. It is no
submodule of the model: no optimizer, state dict or wrapper sees it.

Letters: N views of the batch, T frames, K classes, M templates, D embedding.
"""
import copy
from typing import Dict, NamedTuple, Optional

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import ExponentialMovingAverage
from torch import Tensor, nn

from ...architectures import Arch
from ...checkpoints.lora import fold_lora
from ...errors import UserError
from ..image_backbone import CLIPVisionBackbone
from ..temporal_head import TemporalMeanPoolHead
from ..towers import ImageSize, build_text_tower, compare, load_pretrained
from .random_draw import RandomDraw


class Embeddings(NamedTuple):
    """What a model makes of a batch; of a model, with gradient."""
    frames: Tensor  # [N, T, D], not normalised
    video: Tensor  # [N, D], as TemporalMeanPoolHead.fuse returns it
    classes: Tensor  # [K, D], each of length 1


def mean_over_templates(classes: Tensor) -> Tensor:
    """Class embeddings [K, D] from these or from [M, K, D] of M templates."""
    return classes if classes.ndim == 2 else F.normalize(
        classes.mean(0), dim=-1)


class Teacher:
    """What teachers share; :meth:`_build` makes the two parts that run, a
    ``backbone`` and a ``cls_head``."""

    moving = False  # whether it follows the model

    def __init__(self) -> None:
        self.parts: Optional[nn.ModuleDict] = None
        self._classes: Optional[Tensor] = None
        self._autocast = False  # of the text

    def prepare(self, model: nn.Module) -> None:
        """Build it, if it is not there yet, for a model of which it takes
        classes and templates."""
        if self.parts is None:
            self.parts = self._build(model).requires_grad_(False).eval()
            classifier = self.parts.cls_head.text_classifier
            if classifier.shard_classes is None:  # all processes train
                classifier.shard_classes = True
            self._autocast = (
                self.moving and model.cls_head.text_classifier.trains)

    def update(self, model: nn.Module) -> None:
        """Follow the model, at the begin of each optimizer step."""

    @torch.no_grad()
    def __call__(self, inputs: Tensor, theirs: nn.Module,
                 draw: RandomDraw) -> Embeddings:
        """Embed normalised frames [B, V*T, 3, H, W], and the classes by the
        sentences that ``theirs``, the model's text classifier, drew."""
        head = self.parts.cls_head
        frames = head.frame_embeddings(
            self.parts.backbone(inputs.flatten(0, 1)))
        return Embeddings(frames, head.fuse(frames),
                          self._encode(head, theirs, draw))

    def _encode(self, head: nn.Module, theirs: nn.Module,
                draw: RandomDraw) -> Tensor:
        classifier = head.text_classifier
        if not classifier.random_template:
            return mean_over_templates(head.encode_classes(self._autocast))
        # Between the micro-batches of a step the model keeps its sentences.
        if draw.taken or self._classes is None:
            classifier.train().shard_classes = theirs.shard_classes
            with draw.again(), torch.enable_grad():  # or it would not draw
                self._classes = head.encode_classes(self._autocast)
        return self._classes

    def _build(self, model: nn.Module) -> nn.ModuleDict:
        raise NotImplementedError


@MODELS.register_module()
class EMATeacher(Teacher):
    """The exponential moving average of the model, MMEngine's.

    It starts as the model is, and follows before each optimizer step. Only
    what trains is averaged.

    Args:
        momentum (float): The new weights' part in the mean; above 0 and below
            1 (else ValueError). Defaults to 2e-4.
    """

    moving = True

    def __init__(self, momentum: float = 2e-4) -> None:
        if not 0 < momentum < 1:
            raise ValueError(f'momentum={momentum} of EMATeacher must be '
                             'above 0 and below 1')
        super().__init__()
        self.momentum = momentum

    def update(self, model: nn.Module) -> None:
        """Take the model in."""
        self.prepare(model)
        self._mean.update_parameters(_parts(model))
        if model.cls_head.text_classifier.trains:
            # Each weight moves by less than a look at some would notice.
            self.parts.cls_head.text_classifier.embedding_cache.clear()

    def prepare(self, model: nn.Module,
                weights: Optional[Dict[str, Tensor]] = None) -> None:
        """Build it; from ``weights``, if given, by the model's names."""
        super().prepare(model)
        if weights is not None:
            self.parts.load_state_dict(weights, strict=False)
            self._mean.steps.fill_(1)  # of 0 it would take a copy

    def _build(self, model: nn.Module) -> nn.ModuleDict:
        source = _parts(model)
        self._mean = ExponentialMovingAverage(source, self.momentum)
        trained = {n for n, p in source.named_parameters() if p.requires_grad}
        self._mean.avg_parameters = {
            name: param for name, param in self._mean.avg_parameters.items()
            if name in trained}
        return self._mean.module


@MODELS.register_module()
class CLIPTeacher(Teacher):
    """CLIP as it was, frozen; its class embeddings are encoded once.

    Args:
        arch (str | dict), pretrained (str), image_size: As for
            :class:`CLIPVisionBackbone`, and the model's.

    Raises:
        UserError: When training starts: no ``pretrained``, another
            architecture than the model's, or a model behind kept embeddings
            of frames.
    """

    def __init__(self, arch: Arch, pretrained: Optional[str],
                 image_size: ImageSize = None) -> None:
        super().__init__()
        self.arch, self.pretrained = arch, pretrained
        self.image_size = image_size

    def _build(self, model: nn.Module) -> nn.ModuleDict:
        if self.pretrained is None:
            raise UserError('CLIPTeacher has random weights: give it '
                            'pretrained=, a tag or a file (PRETRAINED)')
        if hasattr(model.backbone, 'cache'):
            raise UserError('CLIPTeacher needs the videos, and the model gets '
                            'embeddings that were made before: train without '
                            'the cache, or leave auxiliary out')
        head = copy.deepcopy(model.cls_head)
        # CLIP has the mean, whatever a subclass fuses by.
        head.__class__ = TemporalMeanPoolHead
        head.temporal, head.projection = None, nn.Identity()
        classifier = head.text_classifier
        if classifier.prompts is not None:  # CLIP has sentences in their place
            classifier.prompts, classifier.context = None, ''
            classifier.context_behind = ''
            classifier.set_classes(classifier.class_names,
                                   templates='a photo of a {}.')
        backbone = CLIPVisionBackbone(self.arch, self.pretrained,
                                      image_size=self.image_size)
        text = build_text_tower(self.arch)
        for name, own, theirs in (
                ('image', backbone.visual,
                 getattr(model.backbone, 'visual', None)),
                ('text', text, classifier.text)):
            if theirs is None or compare(fold_lora(theirs.state_dict()),
                                         own.state_dict()):
                raise UserError(
                    f'the {name} tower of CLIPTeacher is not of the model\'s '
                    'architecture: give it the same arch and image_size')
        load_pretrained(text, 'text', self.arch, self.pretrained)
        classifier.text = text
        classifier.embedding_cache.clear()
        return nn.ModuleDict(dict(backbone=backbone, cls_head=head)).to(
            model.cls_head.logit_scale.device)


def _parts(model: nn.Module) -> nn.ModuleDict:
    """A model without its auxiliary losses, under its own names."""
    return nn.ModuleDict(
        dict(backbone=model.backbone, cls_head=model.cls_head))
