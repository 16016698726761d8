"""The attention weights of an image tower while it runs.

The towers run on ``scaled_dot_product_attention``, which never has the
weights in memory as a whole; here they are made, one layer after the other.

Letters: N frames, L tokens of a frame, W the tower's width, h heads.
"""
import contextlib
from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional, Tuple

import torch
import torch.nn.functional as F
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer as TimmViT
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.models.blocks import FusedBlock
from projects.vifi_clip.models.image_backbone import reads_class_token
from projects.vifi_clip.models.prompts import DeepPrompts

_SUPPORTED = ('attention maps need CLIPVisionBackbone or VLDeepPromptBackbone '
              'with a ViT that reads its class token: OpenCLIP\'s own '
              '(ViT-B-32, ViT-B-16, ViT-L-14 ...), or one of timm\'s with '
              "global_pool='token' (EVA02 ...)")


@dataclass
class Tokens:
    """The order of a frame's tokens: class token, perhaps registers, then
    patches row by row, then perhaps prompts."""
    grid: Tuple[int, int]  # patches, rows and columns
    first: int  # index of the first patch
    image_size: Tuple[int, int]  # pixels, height and width
    prompts: Optional[DeepPrompts] = None  # at the end

    @property
    def end(self) -> int:
        """Index behind the last patch."""
        return self.first + self.grid[0] * self.grid[1]


class _Recorder(TorchFunctionMode):
    """Attends with weights that are kept, ``layers`` of [N, h, L, L]."""

    def __init__(self, keep: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.keep = keep
        self.layers: List[Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.multi_head_attention_forward:
            raise UserError(f'{_SUPPORTED}; layers of this tower were changed')
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        q, k, v = args
        # 3 x [N, h, L, W/h]
        weights = (q @ k.mT / q.shape[-1]**0.5).softmax(dim=-1)
        if torch.is_grad_enabled() and not weights.requires_grad:
            weights.requires_grad_()  # even if all is frozen
        self.layers.append(self.keep(weights))
        return weights @ v


def token_layout(backbone: nn.Module) -> Tokens:
    """Find the patches among the tokens of a model's image side; UserError if
    it has no class token that attends to patches."""
    tower = getattr(backbone, 'visual', None)
    prompts = getattr(backbone, 'prompts', None)
    if isinstance(tower, VisionTransformer):
        if not reads_class_token(tower) or not all(
                isinstance(block, FusedBlock)
                for block in tower.transformer.resblocks):
            raise UserError(f'{_SUPPORTED}; this tower pools or attends in '
                            'another way')
        return Tokens(tuple(tower.grid_size), 1, tuple(tower.image_size),
                      prompts)
    trunk = getattr(tower, 'trunk', tower)
    if (isinstance(tower, TimmModel) and type(trunk) in (TimmViT, Eva)
            and trunk.cls_token is not None and trunk.global_pool == 'token'
            and all(hasattr(getattr(block, 'attn', None), 'fused_attn')
                    for block in trunk.blocks)):
        patches = trunk.patch_embed
        return Tokens(tuple(patches.grid_size), trunk.num_prefix_tokens,
                      tuple(patches.img_size), prompts)
    name = '' if trunk is None else f' with {type(trunk).__name__}'
    raise UserError(f'{_SUPPORTED}; this model has {type(backbone).__name__}'
                    f'{name}')


@contextlib.contextmanager
def recorded_attention(backbone: nn.Module,
                       keep: Callable[[Tensor], Tensor] = lambda a: a
                       ) -> Iterator[List[Tensor]]:
    """Record the attention weights of each layer: the list is filled by each
    forward pass, with a tensor for each layer.

    All is as it was afterwards, also after an error. Nobody else may use the
    model at the same time. :func:`token_layout` may refuse the backbone.
    ``keep`` turns weights [N, h, L, L] into what is to be kept of them; by
    default everything, with its graph if gradients are on.
    """
    token_layout(backbone)
    tower, recorder = backbone.visual, _Recorder(keep)
    trunk = getattr(tower, 'trunk', tower)
    blocks = (tower.transformer.resblocks if trunk is tower
              else trunk.blocks)
    with contextlib.ExitStack() as undo:
        for module, name, value in (
                # A layer that is run again in the backward pass has no graph.
                (backbone, 'grad_checkpointing', False),
                (trunk, 'grad_checkpointing', False),
                *((block.attn, 'fused_attn', True) for block in blocks)):
            if hasattr(module, name):  # timm's blocks have the last
                undo.callback(setattr, module, name, getattr(module, name))
                setattr(module, name, value)
        # With a hook, the last layer runs for all tokens, and all frames go
        # through together.
        undo.callback(blocks[-1].register_forward_hook(
            lambda *args: None).remove)
        with recorder:
            yield recorder.layers
