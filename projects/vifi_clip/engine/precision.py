"""Mixed precision in training on any device, and faster inference for a
tolerance: bfloat16, autocast, torch.compile."""
from contextlib import contextmanager
from typing import Callable, Optional, Union

import torch
from mmaction.registry import HOOKS, OPTIM_WRAPPERS
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from open_clip.transformer import TextTransformer
from torch import Tensor, nn

from ..checkpoints.settings import unwrapped
from ..errors import UserError

PRECISIONS = ('fp32', 'autocast', 'bf16')


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """OptimWrapper under ``torch.autocast``, on CPU and GPU alike.

    MMEngine's AmpOptimWrapper asserts a GPU and scales the loss, which
    float16 needs and bfloat16 does not. For float16 on a GPU use that one.

    Args:
        dtype (str): ``'bfloat16'``, or ``'float32'`` to switch autocast off
            (ValueError: neither). Defaults to 'bfloat16'.
        kwargs: As OptimWrapper (``optimizer``, ``accumulative_counts``,
            ``clip_grad``).
    """

    def __init__(self, dtype: Union[str, torch.dtype] = 'bfloat16',
                 **kwargs) -> None:
        super().__init__(**kwargs)
        name = str(dtype).removeprefix('torch.')
        if name not in ('bfloat16', 'float32'):
            raise ValueError("dtype must be 'bfloat16' or 'float32', got "
                             f'{dtype!r}; for float16 use AmpOptimWrapper.')
        self.dtype = getattr(torch, name)

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast on the model's device, around MMEngine's own context."""
        device = next(model.parameters()).device.type
        autocast = torch.autocast(device, dtype=torch.bfloat16,
                                  enabled=self.dtype is not torch.float32)
        with super().optim_context(model), autocast:
            yield


def apply_inference(model: nn.Module, precision: str = 'fp32',
                    compile: bool = False,
                    text_bf16: bool = False) -> nn.Module:
    """Make a trained model faster, at some cost in accuracy.

    docs/performance.md has the cost of each setting. Call it when the
    checkpoint is loaded and the model is on its device.

    Args:
        model (nn.Module): A recognizer or retriever with ``backbone``;
            changed in place. It can neither be trained nor saved after.
        precision (str): Of the image tower; embeddings and logits stay
            float32. ``'fp32'``; ``'autocast'``, bfloat16 where PyTorch's
            autocast deems it safe; ``'bf16'``, weights and all. Defaults to
            'fp32'.
        compile (bool): ``torch.compile`` the image tower for the shape of
            the first batch; others run as they are. Defaults to False.
        text_bf16 (bool): The text tower in bfloat16, too. Its embeddings are
            computed once and enter every score, so there is little to win
            but with tens of thousands of classes. Defaults to False.

    Returns:
        nn.Module: The model.

    Raises:
        ValueError: A bad value, a model without backbone, or one that was
            changed already.
    """
    check_inference(precision, compile, text_bf16)
    backbone = getattr(model, 'backbone', None)
    if backbone is None:
        raise ValueError('apply_inference needs a model with a backbone, got '
                         f'{type(model).__name__}')
    if isinstance(backbone, InferenceBackbone):
        raise ValueError('apply_inference was called on this model already; '
                         'build it again to use other settings')
    model.eval()
    model.backbone = InferenceBackbone(backbone, precision, compile)
    if text_bf16:
        for module in model.modules():
            if isinstance(module, TextTransformer):
                module.to(torch.bfloat16)
    return model


def check_inference(precision: str = 'fp32', compile: bool = False,
                    text_bf16: bool = False) -> None:
    """Refuse bad settings of :func:`apply_inference` before any long work."""
    if precision not in PRECISIONS:
        raise ValueError(f'precision must be one of {PRECISIONS}, got '
                         f'{precision!r}')
    for name, value in dict(compile=compile, text_bf16=text_bf16).items():
        if not isinstance(value, bool):
            raise ValueError(f'{name} must be True or False, got {value!r}')


class InferenceBackbone(nn.Module):
    """A backbone in a precision of its own; float32 goes in and out."""

    def __init__(self, backbone: nn.Module, precision: str,
                 compile: bool = False) -> None:
        super().__init__()
        self.precision = precision
        self.dtype = torch.bfloat16 if precision == 'bf16' else torch.float32
        self.backbone = backbone.to(self.dtype).eval()
        self.num_frames = getattr(backbone, 'num_frames', None)
        self.neighbours = getattr(backbone, 'neighbours', 0)
        self.context = getattr(backbone, 'context', None)
        if compile and hasattr(backbone, 'embed_chunk'):
            # The backbone calls this for several chunks of a batch. Without
            # repeated frames the number of frames would vary.
            backbone.reuse_frames = False
            backbone.embed_chunk = FixedShape(backbone.embed_chunk)
        elif compile:
            backbone.forward = FixedShape(backbone.forward)
        self.register_state_dict_pre_hook(_refuse_saving)

    def forward(self, x: Tensor) -> Tensor:
        """Features of frames, in float32."""
        if self.precision != 'autocast':
            return self.backbone(x.to(self.dtype)).float()
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return self.backbone(x).float()

    def train(self, mode: bool = True) -> 'InferenceBackbone':
        """Set the mode; eval mode is the only one left."""
        if mode:
            raise RuntimeError('apply_inference changed this model, which '
                               'cannot be trained: build it again.')
        return super().train(mode)


def _refuse_saving(*args) -> None:
    raise RuntimeError('apply_inference changed this model, whose weights can '
                       'be neither saved nor loaded: build it again.')


class FixedShape:
    """A function of a tensor, compiled for the first shape that comes.

    Other shapes, such as a last, smaller batch, run as they are: compiling
    takes longer than that. So do calls with gradient, since the weights are
    folded into the compiled code.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function
        self.shape: Optional[torch.Size] = None
        self._compiled = torch.compile(
            function, dynamic=False, options=dict(freezing=True))

    def __call__(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return self.function(x)
        self.shape = self.shape or x.shape
        run = self._compiled if x.shape == self.shape else self.function
        return run(x)


@HOOKS.register_module()
class InferenceHook(Hook):
    """:func:`apply_inference`, with its arguments, before a test or a
    validation."""

    priority = 'LOWEST'  # after all that looks at the model's parts

    def __init__(self, **settings) -> None:
        check_inference(**settings)
        self.settings = settings

    def before_train(self, runner: Runner) -> None:
        raise UserError('InferenceHook changes weights for testing: remove it '
                        'from custom_hooks to train')

    def before_test(self, runner: Runner) -> None:
        """Change the model, now that the checkpoint is loaded."""
        model = unwrapped(runner.model)
        if isinstance(getattr(model, 'backbone', None), InferenceBackbone):
            return
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):
            raise UserError('EMAHook exchanges the weights that InferenceHook '
                            'changes: remove one from custom_hooks')
        apply_inference(model, **self.settings)
        runner.logger.info(f'Changed for inference: {self.settings}')

    before_val = before_test  # of ``runner.val()`` on its own
