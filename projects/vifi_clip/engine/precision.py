"""Faster inference for a tolerance: one function, and a hook for the tools."""
import torch
from mmaction.registry import HOOKS
from mmengine.hooks import EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from ..errors import UserError

PRECISIONS = ('fp32', 'autocast', 'bf16', 'int8')


def check_inference(precision: str, token_merging: int,
                    compile: bool, text_bf16: bool = False) -> None:
    """Refuse bad settings before any long work.

    Raises:
        ValueError: Naming the value and what is allowed.
    """
    if precision not in PRECISIONS:
        raise ValueError(f'precision must be one of {PRECISIONS}, got '
                         f'{precision!r}')
    if not isinstance(token_merging, int) or isinstance(
            token_merging, bool) or token_merging < 0:
        raise ValueError('token_merging must be a whole number of tokens a '
                         f'layer, 0 for none, got {token_merging!r}')
    for name, value in dict(compile=compile, text_bf16=text_bf16).items():
        if not isinstance(value, bool):
            raise ValueError(f'{name} must be True or False, got {value!r}')


def apply_inference(model: nn.Module,
                    precision: str = 'fp32',
                    token_merging: int = 0,
                    compile: bool = False,
                    text_bf16: bool = False) -> nn.Module:
    """Make a trained model faster, at some cost in accuracy.

    docs/performance.md has the cost of each setting. Call it when the
    checkpoint is loaded and the model on its device.

    Args:
        model (nn.Module): A recognizer or retriever with ``backbone``;
            changed in place. It can neither be trained nor saved after.
        precision (str): Of the image tower; embeddings and logits stay
            float32. ``'fp32'``; ``'autocast'``, bfloat16 where PyTorch's
            autocast deems it safe; ``'bf16'``, weights and all;
            ``'int8'`` (CPU with VNNI or AMX), linear layers in 8 bits, the
            rest in bfloat16, faster than ``'bf16'`` only with ``compile``.
            Defaults to 'fp32'.
        token_merging (int): r, how many tokens each layer of the image tower
            merges; at most half of them do. Defaults to 0.
        compile (bool): ``torch.compile`` the image tower for the shape of
            the first batch; others, such as a smaller last one, run as they
            are. Defaults to False.
        text_bf16 (bool): The text tower in bfloat16, too. Its embeddings are
            computed once and enter every score, so there is little to win
            but with tens of thousands of classes. Defaults to False.

    Returns:
        nn.Module: The model.

    Raises:
        ValueError: A bad value, or a backbone or machine that does not
            allow it.
    """
    check_inference(precision, token_merging, compile, text_bf16)
    from open_clip.transformer import TextTransformer

    from .inference_backbone import InferenceBackbone
    if not isinstance(getattr(model, 'backbone', None), nn.Module):
        raise ValueError('apply_inference needs a model with a backbone, got '
                         f'{type(model).__name__}')
    model.eval()
    model.backbone = InferenceBackbone(model.backbone, precision,
                                       token_merging, compile)
    if text_bf16:
        for module in model.modules():
            if isinstance(module, TextTransformer):
                module.to(torch.bfloat16)
    return model


@HOOKS.register_module()
class InferenceHook(Hook):
    """:func:`apply_inference` before a test or a validation.

    Args:
        precision (str): Defaults to 'fp32'.
        token_merging (int): Defaults to 0.
        compile (bool): Defaults to False.
        text_bf16 (bool): Defaults to False.

    Raises:
        ValueError: A bad value.
    """

    priority = 'LOWEST'  # after all that looks at the model's parts

    def __init__(self,
                 precision: str = 'fp32',
                 token_merging: int = 0,
                 compile: bool = False,
                 text_bf16: bool = False) -> None:
        self.settings = dict(
            precision=precision,
            token_merging=token_merging,
            compile=compile,
            text_bf16=text_bf16)
        check_inference(**self.settings)
        self._done = False

    def before_train(self, runner: Runner) -> None:
        """Refuse training.

        Raises:
            UserError: Always.
        """
        raise UserError('InferenceHook changes weights for testing: take it '
                        'out of custom_hooks to train')

    def before_test(self, runner: Runner) -> None:
        """The checkpoint is loaded: change the model."""
        self._apply(runner)

    def before_val(self, runner: Runner) -> None:
        """As before a test; of ``runner.val()`` on its own."""
        self._apply(runner)

    def _apply(self, runner: Runner) -> None:
        if self._done:
            return
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):
            raise UserError('InferenceHook and EMAHook cannot be used '
                            'together: EMAHook exchanges the weights, which '
                            'InferenceHook has changed')
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        apply_inference(model, **self.settings)
        self._done = True
        runner.logger.info(f'Changed for inference: {self.settings}')
