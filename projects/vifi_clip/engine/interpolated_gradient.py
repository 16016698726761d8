"""The gradient at weights between CLIP's and the model's, of Open-VCLIP
(arXiv 2302.00624)."""
import random
from contextlib import contextmanager, nullcontext
from typing import Iterator, List

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..checkpoints.settings import unwrapped
from ..errors import UserError
from ..models.class_embeddings import ClassAccumulation
from ..models.image_backbone import CLIPVisionBackbone
from ..models.tuning import parameter_groups
from .hooks import text_classifier_of
from .resume import waiting

_NAME = 'InterpolatedGradientHook'


@HOOKS.register_module()
class InterpolatedGradientHook(Hook):
    """Adds to each step the gradient at weights that are nearer to CLIP's.

    With r drawn for each optimizer step, evenly from 0 to ``max_ratio``, and
    the weights w of the model::

        w' = r w_CLIP + (1 - r) w
        step along  d loss(w) / dw  +  weight * d loss(w') / dw'

    Both passes see the same videos, and what is drawn at random (mixup, drop
    path) is the same. Each process draws its own r, as in the authors' code,
    so that w' differs between them and their gradients are averaged; all
    micro-batches of a step have one r. It follows from the run's seed, and a
    resumed run goes on as an unbroken one. Clipping sees the sum.

    w_CLIP are the weights that ``pretrained=`` of the backbone and of the
    text classifier loads, before ``load_from`` or a resumed checkpoint. What
    does not train stays as it is, and so does what CLIP does not have. A step
    takes twice the time, and two more copies of the weights that train. Batch
    norm, which ViTs have not, would count both passes.

    Args:
        max_ratio (float): Largest r, from 0 to 1. Defaults to 0.6.
        weight (float): Of the second loss; 0 switches it off. Defaults to
            0.5.

    Raises:
        UserError: Weights that a strategy shards; no ``pretrained`` or
            nothing of CLIP that trains; several optimizers.
        ValueError: A ``max_ratio`` or ``weight`` that is none.
    """

    priority = 'LOW'  # after the timer, and all that seeds

    def __init__(self, max_ratio: float = 0.6, weight: float = 0.5) -> None:
        if not 0 <= max_ratio <= 1:
            raise ValueError(f'max_ratio must be from 0 to 1, got {max_ratio}')
        if not 0 <= weight < float('inf'):
            raise ValueError(f'weight must be 0 or above, got {weight}')
        self.max_ratio, self.weight = max_ratio, weight
        self._params: List[nn.Parameter] = []
        self._clip: List[Tensor] = []

    def before_run(self, runner: Runner) -> None:
        """Keep CLIP's weights, before a checkpoint takes their place."""
        wrapper = runner.optim_wrapper
        if wrapper is None or isinstance(wrapper, dict) or self._params:
            return  # of a test
        model = runner.model
        if hasattr(runner, 'strategy') or is_model_wrapper(
                model) and not isinstance(model, DistributedDataParallel):
            raise UserError(f'{_NAME} needs whole weights in each process, '
                            'and this strategy may shard them: set '
                            'STRATEGY=ddp')
        if isinstance(wrapper, OptimWrapperDict):
            raise UserError(f'{_NAME} takes one optimizer, not several')
        self._params = clip_parameters(unwrapped(model))
        self._clip = [p.detach().clone() for p in self._params]

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch=None) -> None:
        """Leave the second gradient for the step's own to add up with."""
        if not self.weight:
            return
        model, wrapper = runner.model, runner.optim_wrapper
        ratio = np.random.default_rng(
            [runner.seed, get_rank(), runner.iter - waiting(runner)]).uniform(
                0, self.max_ratio)
        with torch.no_grad():
            between = [torch.lerp(own, clip, ratio)
                       for own, clip in zip(self._params, self._clip)]
        # The step's own backward sends the sum to other processes.
        unsent = getattr(model, 'no_sync', nullcontext)
        with exchanged(self._params, between), _same_chance(), unsent(), \
                _encoded_alone(text_classifier_of(model)):
            with wrapper.optim_context(model):
                data = unwrapped(model).data_preprocessor(data_batch, True)
                losses = model._run_forward(data, mode='loss')
            loss, _ = unwrapped(model).parse_losses(losses)
            wrapper.backward(wrapper.scale_loss(self.weight * loss))
            wrapper._inner_count -= 1  # which backward has counted


def clip_parameters(model: nn.Module) -> List[nn.Parameter]:
    """Return a recognizer's parameters that CLIP has and that train;
    UserError if there are none, or weights that are not CLIP's."""
    parts, names = [], ['logit_scale']
    if isinstance(model.backbone, CLIPVisionBackbone):
        parts.append(('backbone', model.backbone))
        names.append('image')
    classifier = text_classifier_of(model)
    if classifier is not None:
        parts.append(('cls_head.text_classifier', classifier))
        names += ['text', 'tokens']
    for name, part in parts:
        if part.pretrained is None:
            raise UserError(f'{_NAME} moves back towards CLIP, but '
                            f'model.{name}.pretrained names none: set '
                            'PRETRAINED')
    groups = parameter_groups(model)
    params = [param for name in names for param in groups[name]
              if param.requires_grad]
    if not params:
        raise UserError(f'{_NAME}: no parameter of CLIP trains '
                        f'(TUNE={model.tune}); remove it from custom_hooks')
    return params


@contextmanager
def exchanged(params: List[nn.Parameter],
              values: List[Tensor]) -> Iterator[None]:
    """Let parameters have other values for a while. Their own are not
    touched: they are put aside, and come back bit by bit."""
    own = [param.data for param in params]
    try:
        for param, value in zip(params, values):
            param.data = value
        yield
    finally:
        for param, value in zip(params, own):
            param.data = value


@contextmanager
def _same_chance() -> Iterator[None]:
    """Draw the same behind this as inside."""
    states = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if (
        torch.cuda.is_available()) else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@contextmanager
def _encoded_alone(classifier: nn.Module) -> Iterator[None]:
    """Let classes be encoded by this process and for this pass alone: other
    processes have other weights, and so has the step's own pass."""
    if classifier is None:
        yield
        return
    own = classifier.class_accumulation, classifier.shard_classes
    try:
        classifier.class_accumulation = ClassAccumulation()
        classifier.shard_classes = False
        yield
    finally:
        classifier.class_accumulation, classifier.shard_classes = own
