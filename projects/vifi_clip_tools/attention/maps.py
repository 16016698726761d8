"""Where the class token looks: attention maps of each frame.

The towers run on ``scaled_dot_product_attention``, which never has the
weights in memory as a whole; here they are made, one layer after the other.

Letters: T frames, H x W pixels, h x w patches, L tokens of a frame, W the
tower's width, D embedding; of weights: N frames, h heads.
"""
import contextlib
from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional, Tuple

import numpy as np
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
from .options import METHODS

_SUPPORTED = ('attention maps need CLIPVisionBackbone or VLDeepPromptBackbone '
              'with a ViT that reads its class token: OpenCLIP\'s own '
              '(ViT-B-32, ViT-B-16, ViT-L-14 ...), or one of timm\'s with '
              "global_pool='token' (EVA02 ...)")
_CHUNK = 4  # frames; ViT-L/14 at 336 pixels: 0.5 GB of weights for each


@dataclass
class Tokens:
    """The order of a frame's tokens: class token, perhaps registers, then
    patches row by row, then perhaps prompts."""
    grid: Tuple[int, int]  # patches, rows and columns
    first: int  # index of the first patch
    image_size: Tuple[int, int]  # pixels, height and width
    prompts: Optional[nn.Module] = None  # at the end, see `inserted`

    @property
    def end(self) -> int:
        """Index behind the last patch."""
        return self.first + self.grid[0] * self.grid[1]

    @property
    def length(self) -> int:
        """L."""
        return self.end + (self.prompts.length if self.prompts else 0)


class _Recorder(TorchFunctionMode):
    """Attends with weights that are kept, ``layers`` of [N, h, L, L]."""

    def __init__(self, keep: Callable[[Tensor], Tensor],
                 length: int) -> None:
        super().__init__()
        self.keep, self.length = keep, length
        self.layers: List[Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.multi_head_attention_forward:
            raise UserError(f'{_SUPPORTED}; layers of this tower were changed')
        if (func is not F.scaled_dot_product_attention
                or args[0].shape[-2] != self.length):
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
    prompts = getattr(backbone, 'inserted', None)
    for name, method, others in (
            ('neighbours', 'open_vclip', 'their neighbours'),
            ('context', 'tc_clip', 'a context of their view')):
        if getattr(backbone, name, None):
            raise UserError(f'{_SUPPORTED}; frames of this model (METHOD='
                            f'{method}) attend to {others}, which no map '
                            'shows')
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
    length = token_layout(backbone).length
    tower, recorder = backbone.visual, _Recorder(keep, length)
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


def attention_maps(model: nn.Module, inputs: np.ndarray,
                   method: str = 'rollout', text: Optional[str] = None
                   ) -> np.ndarray:
    """Map the patches that decide each frame's embedding.

    - ``'last'``: the class token's attention in the last layer, the mean of
      its heads. Values are shares: with the class token's own (and that of
      prompts and registers), which is left out, they sum to 1.
    - ``'rollout'``: attention through all layers: the product of
      (A + I) / 2, A being the mean of a layer's heads (Abnar and Zuidema,
      "Quantifying Attention Flow in Transformers", 2020). Values are shares,
      too. Depends on the frame alone, as ``'last'`` does.
    - ``'gradient'``: what speaks for a text: the product of I + E[(dy/dA *
      A)+] over the layers, where E is the mean of the heads and y the
      frame's own logit of the text (Chefer, Gur and Wolf, "Generic
      Attention-model Explainability", 2021, equations 5 and 6, with which
      they explain CLIP). Values have no unit.

    Deep prompts that give way to the next layer's carry nothing on. Nor do
    X-CLIP's messages: maps follow what stays in a frame, and 'gradient' has
    y of all frames of its view, of the text as the video changes it.

    Args:
        model (nn.Module): :class:`ViFiCLIP` in eval mode.
        inputs (np.ndarray): Frames uint8 [T, H, W, 3], RGB, as the model
            sees them: after resize and crop, before normalisation.
        method (str): One of ``METHODS``. Defaults to 'rollout'.
        text (str, optional): For 'gradient': any text; put into the model's
            templates as a class name is.

    Returns:
        np.ndarray: float32 [T, h, w], not negative.

    Raises:
        UserError: A tower without a class token that attends to patches.
        ValueError: An unknown method, no text for 'gradient', frames of
            another shape than the tower takes.
    """
    if method not in METHODS:
        raise ValueError(f'method must be one of {", ".join(METHODS)}, got '
                         f'{method!r}')
    if method == 'gradient' and text is None:
        raise ValueError("method 'gradient' explains the score of a text")
    tokens = token_layout(model.backbone)
    shape = (*tokens.image_size, 3)
    if (getattr(inputs, 'dtype', None) != np.uint8 or inputs.ndim != 4
            or not len(inputs) or inputs.shape[1:] != shape):
        raise ValueError(
            'frames must be uint8 [T, H, W, 3] with (H, W) = '
            f'{tokens.image_size}, the size that the tower takes; got '
            f'{getattr(inputs, "dtype", type(inputs).__name__)} '
            f'{list(np.shape(inputs))}')
    together = getattr(model.backbone, 'num_frames', None)
    if together and len(inputs) % together:
        raise ValueError(f'{len(inputs)} frames are not views of {together}, '
                         'which this model embeds together')
    # Its tensors could be in no graph, should the caller be in this mode.
    with torch.inference_mode(False), torch.autocast(
            next(model.parameters()).device.type, enabled=False):
        target = (_text_embedding(model, text) if method == 'gradient' else
                  None)
        step = together or _CHUNK
        maps = [_maps(model, inputs[i:i + step], method, tokens, target)
                for i in range(0, len(inputs), step)]
    return np.concatenate(maps).reshape(-1, *tokens.grid)
    # [T, hw] -> [T, h, w]


def _maps(model: nn.Module, frames: np.ndarray, method: str, tokens: Tokens,
          target: Optional[Tensor]) -> np.ndarray:
    """Make the maps of a few frames, [T, h*w]."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, 1)
    x = model.data_preprocessor(
        dict(inputs=[x], data_samples=[None]))['inputs'][0]
    # [T, H, W, 3] -> [T, 3, H, W], normalised
    if method == 'gradient':
        layers = _relevances(model, x, target)
        row = _class_row(layers, tokens, residual=1.)
    else:
        with torch.no_grad(), recorded_attention(
                model.backbone, lambda weights: weights.mean(1)) as layers:
            model.backbone(x)
        row = layers[-1][:, 0] if method == 'last' else _class_row(
            [a / 2 for a in layers], tokens, residual=0.5)
    return row[:, tokens.first:tokens.end].float().cpu().numpy()


def _relevances(model: nn.Module, x: Tensor, target: Tensor) -> List[Tensor]:
    """Compute E[(dy/dA * A)+] of each layer, [T, L, L]."""
    head = model.cls_head
    with torch.enable_grad():
        with recorded_attention(model.backbone) as layers:
            embeddings = head.projection(model.backbone(x)).float()
            if head.condition is not None:  # a view's, with tokens
                patches = embeddings[None, :, 1:].detach().mean(1)
                target = F.normalize(
                    head.condition(target[None], patches)[0, 0], dim=0)
                embeddings = embeddings[:, 0]
            logits = F.normalize(embeddings, dim=-1) @ target
        # A frame's logit depends on its own weights alone, or on its view's.
        grads = torch.autograd.grad(
            head.logit_scale.exp().detach() * logits.sum(), layers)
    return [(grad * layer.detach()).clamp(min=0).mean(1)
            for grad, layer in zip(grads, layers)]


def _class_row(layers: List[Tensor], tokens: Tokens,
               residual: float) -> Tensor:
    """Compute the first row [T, L] of the product of (residual * I + A), last
    layer first; A of each layer is [T, L, L]."""
    row = torch.zeros_like(layers[0][:, 0])
    row[:, 0] = 1
    for number in reversed(range(len(layers))):
        row = residual * row + (row[:, None] @ layers[number])[:, 0]
        if tokens.prompts is not None and number < tokens.prompts.depth:
            # These came in fresh, and nothing before flowed into them.
            row[:, tokens.end:] = 0
    return row


def _text_embedding(model: nn.Module, text: str) -> Tensor:
    """Embed a text as the classifier does, [D] of length 1."""
    classifier = getattr(model.cls_head, 'text_classifier', None)
    if classifier is None:
        raise UserError("method 'gradient' needs a head with a "
                        f'text_classifier, not {type(model.cls_head).__name__}'
                        ": use 'rollout' or 'last'")
    names = list(classifier.class_names)
    with torch.no_grad():
        if text not in names:
            return classifier.embed_texts([text])[0].float()
        # A clone, since it may have been kept in inference mode.
        classes = classifier.class_embeddings()
        return classes[names.index(text)].float().clone()
