"""A trained backbone with other numbers or a compiler inside.

Letters: N frames, D the embedding.
"""
import contextlib
from typing import Optional

import torch
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from .compile_fixed import compile_backbone
from ..models.inference_tower import InferenceTower, check_tower
from ..models.int8_linear import check_int8, quantize_linears


class InferenceBackbone(nn.Module):
    """Runs a backbone in a precision of its own; float32 goes in and out.

    The weights inside are no longer what was trained: there is no way back,
    no training and no saving.

    Args:
        backbone (nn.Module): Changed in place.
        precision (str): See :func:`apply_inference`.
        token_merging (int): r. Defaults to 0.
        compile (bool): Defaults to False.

    Raises:
        ValueError: The backbone or the machine does not allow it. The
            backbone is unchanged.
    """

    def __init__(self,
                 backbone: nn.Module,
                 precision: str = 'fp32',
                 token_merging: int = 0,
                 compile: bool = False) -> None:
        super().__init__()
        self.precision = precision
        self.dtype = torch.float32
        _check(backbone, precision, token_merging)
        if token_merging or (precision == 'int8' and _fits(backbone)):
            backbone.visual = InferenceTower(
                backbone.visual, getattr(backbone, 'prompts', None),
                token_merging)
        if precision == 'int8':
            # What is quantised is quantised from the trained weights.
            quantize_linears(backbone)
        if precision in ('bf16', 'int8'):
            self.dtype = torch.bfloat16
            backbone.to(self.dtype)
        self.backbone = backbone.eval()
        if compile:
            compile_backbone(backbone)
        self.register_state_dict_pre_hook(_refuse_saving)

    def forward(self, x: Tensor) -> Tensor:
        """Features of frames, in float32."""
        with self._autocast(x.device.type):
            return self.backbone(x.to(self.dtype)).float()

    def _autocast(self, device: str) -> contextlib.AbstractContextManager:
        if self.precision == 'autocast':
            return torch.autocast(device, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def train(self, mode: bool = True) -> 'InferenceBackbone':
        """Only back to eval mode.

        Raises:
            RuntimeError: For training.
        """
        if mode:
            raise RuntimeError(
                f'This model was changed for inference (precision='
                f'{self.precision!r}, see apply_inference) and cannot be '
                'trained: build it again from its config and checkpoint.')
        return super().train(mode)


def _refuse_saving(module: InferenceBackbone, prefix: str,
                   keep_vars: bool) -> None:
    raise RuntimeError(
        f'This model was changed for inference (precision='
        f'{module.precision!r}, see apply_inference): its weights can be '
        'neither saved nor loaded. Load the checkpoint first, and save from '
        'a model that was not changed.')


def _fits(backbone: nn.Module) -> bool:
    """Whether :class:`InferenceTower` can run it."""
    try:
        check_tower(getattr(backbone, 'visual', None))
    except ValueError:
        return False
    return True


def _check(backbone: nn.Module, precision: str, token_merging: int) -> None:
    if isinstance(backbone, InferenceBackbone):
        raise ValueError('apply_inference was called on this model already; '
                         'build it again to use other settings')
    if token_merging:
        check_tower(getattr(backbone, 'visual', None))
        rows, columns = backbone.visual.grid_size
        if token_merging > rows * columns // 2:
            raise ValueError(f'token_merging={token_merging}: a layer merges '
                             f'at most half of the tower\'s {rows * columns} '
                             'patches')
    if precision != 'int8':
        return
    check_int8()
    device = next(backbone.parameters()).device.type
    if device != 'cpu':
        raise ValueError(f"precision='int8' is for CPU; the model is on "
                         f"{device}: use 'bf16' there")
    if not _is_vit(getattr(backbone, 'visual', None)):
        # Elsewhere, code reads the weights of linear layers directly.
        raise ValueError("precision='int8' needs CLIPVisionBackbone or "
                         'VLDeepPromptBackbone with a ViT of OpenCLIP or '
                         f'timm, not {type(backbone).__name__} with '
                         f'{_tower_name(backbone)}; use \'bf16\'')


def _is_vit(tower: Optional[nn.Module]) -> bool:
    if isinstance(tower, TimmModel):
        from timm.models.vision_transformer import VisionTransformer as ViT
        return type(tower.trunk) is ViT
    return isinstance(tower, VisionTransformer)


def _tower_name(backbone: nn.Module) -> str:
    tower = getattr(backbone, 'visual', None)
    return type(getattr(tower, 'trunk', tower)).__name__
