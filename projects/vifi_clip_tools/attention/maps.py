"""Where the class token looks: attention maps of each frame.

Letters: T frames, H x W pixels, h x w patches, L tokens, D embedding.
"""
from typing import List, Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from projects.vifi_clip.errors import UserError
from .capture import Tokens, recorded_attention, token_layout
from .options import METHODS

_CHUNK = 4  # frames; ViT-L/14 at 336 pixels: 0.5 GB of weights for each


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

    Deep prompts that give way to the next layer's carry nothing on.

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
    # Its tensors could be in no graph, should the caller be in this mode.
    with torch.inference_mode(False), torch.autocast(
            next(model.parameters()).device.type, enabled=False):
        target = (_text_embedding(model, text) if method == 'gradient' else
                  None)
        maps = [_maps(model, inputs[i:i + _CHUNK], method, tokens, target)
                for i in range(0, len(inputs), _CHUNK)]
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
            logits = F.normalize(embeddings, dim=-1) @ target
        # A frame's logit depends on its own weights alone.
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
        return classifier()[names.index(text)].float().clone()
