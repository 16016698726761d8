"""Operations and parameters of a recognizer, counted without computing.

The model is built on nothing: no weights are loaded, and the operations are
counted on PyTorch's meta device. Letters: T frames of a view, K classes, S
sentences, L tokens, D the embedding, H x W pixels.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from benchmarks.flops import count
from projects.vifi_clip.models.blocks import FusedBlock
from projects.vifi_clip.models.text_tower import plan_chunks, encode_chunk
from .complexity_view import view_shape

if TYPE_CHECKING:
    from mmengine.config import Config


@dataclass
class Complexity:
    """Figures of one config; all operations in MACs (multiply-adds).

    Attributes:
        title (list[str]): The config's name, then its changes.
        frames (int): T.
        size (tuple[int, int]): H, W.
        classes (int): K; 1 caption for retrieval.
        sentences (int): S, of all classes; 0 without a text side.
        context (int): L that the text tower reads when nothing is cut.
        asked (dict[str, int]): What the mathematics asks for, ``image`` (T
            frames to scores) and ``text`` (all sentences at the full
            context, once per label set).
        run (dict[str, int]): The same as this implementation executes it:
            the last layer for the token that is read, sentences cut behind
            their end.
        parameters (int): All.
        token_parameters (int): Of those, the table of token embeddings.
        trained (int): With gradient in training.
    """
    title: List[str]
    frames: int
    size: Tuple[int, int]
    classes: int
    sentences: int
    context: int
    asked: Dict[str, int]
    run: Dict[str, int]
    parameters: int
    token_parameters: int
    trained: int


class _NoFill(TorchFunctionMode):
    """Leaves out the random start of parameters: it takes seconds and
    touches memory, where nobody looks at the values."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, '__module__', None) == 'torch.nn.init' or func in (
                Tensor.normal_, Tensor.uniform_, Tensor.erfinv_):
            return kwargs['tensor'] if 'tensor' in kwargs else args[0]
        return func(*args, **kwargs)


def build(cfg: Config) -> nn.Module:
    """A config's recognizer as it is built, in train mode.

    Raises:
        ValueError: The model cannot be built, or is no recognizer that takes
            frames.
    """
    from mmaction.models.recognizers import Recognizer2D, Recognizer3D
    from mmaction.registry import MODELS
    from mmengine.registry import init_default_scope
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    try:
        model = MODELS.build(cfg.model)
    except (TypeError, AssertionError) as error:
        raise ValueError(f'{cfg.filename}: the model cannot be built: '
                         f'{error}') from error
    if not isinstance(model, (Recognizer2D, Recognizer3D)):
        raise ValueError(f'{cfg.filename}: {type(model).__name__} is neither '
                         'a Recognizer2D nor a Recognizer3D of MMAction2')
    return model.train()


def complexity(cfg: Config, title: List[str]) -> Complexity:
    """Count a config's model.

    Args:
        cfg (Config): From :func:`load_spec`.
        title (list[str]): For the table.

    Raises:
        ValueError: See :func:`build`; or its pipelines do not say how many
            frames of what size a view has.
    """
    with _NoFill():
        model = build(cfg)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frames, size = view_shape(cfg, model)
    text = getattr(model.cls_head, 'text_classifier', None)
    sentences = None if text is None else _sentences(model)
    # FlopCounterMode follows gradients, which there are none of.
    model.requires_grad_(False).eval().to('meta')
    if hasattr(model.backbone, 'reuse_frames'):
        model.backbone.reuse_frames = False  # it compares pixels
    run = _both_sides(model, frames, size, sentences)
    for module in model.modules():
        if isinstance(module, FusedBlock):
            # With a hook the last layer runs for all tokens, as written.
            module.register_forward_hook(lambda *_: None)
    context = text.text.context_length if text is not None else 0
    if sentences is not None:
        sentences = {context: sum(sentences.values())}
    return Complexity(
        title=list(title),
        frames=frames,
        size=size,
        classes=_num_classes(model),
        sentences=sum((sentences or {}).values()),
        context=context,
        asked=_both_sides(model, frames, size, sentences),
        run=run,
        parameters=sum(p.numel() for p in model.parameters()),
        token_parameters=0 if text is None else sum(
            p.numel() for p in text.token_parameters()),
        trained=trained)


def _num_classes(model: nn.Module) -> int:
    return getattr(model.cls_head, 'num_classes', 0)


def _sentences(model: nn.Module) -> Dict[int, int]:
    """How many sentences are encoded to each length, as a CPU does it."""
    classifier = model.cls_head.text_classifier
    if hasattr(model, 'embed_text'):
        # A caption may be as long as the context.
        return {classifier.text.context_length: 1}
    chunks, lengths, _ = plan_chunks(classifier.text, classifier.tokens,
                                     classifier.ends, False, None)
    counts: Dict[int, int] = {}
    for rows in chunks:
        length = int(lengths[rows].max())
        counts[length] = counts.get(length, 0) + len(rows)
    return counts


def _both_sides(model: nn.Module, frames: int, size: Tuple[int, int],
                sentences: Optional[Dict[int, int]]) -> Dict[str, int]:
    """MACs of a view and of all sentences."""
    text = sum(num * _sentence(model, length)
               for length, num in (sentences or {}).items())
    return dict(image=_view(model, frames, size), text=text)


def _view(model: nn.Module, frames: int, size: Tuple[int, int]) -> int:
    """T frames to scores, of a model on the meta device."""
    from mmaction.models.recognizers import Recognizer3D
    shape = (1, 1, 3, frames, *size) if isinstance(
        model, Recognizer3D) else (1, frames, 3, *size)
    x = torch.empty(shape, device='meta')
    head = model.cls_head
    if not hasattr(head, 'text_classifier'):
        return count(lambda: model.extract_feat(x, stage='head')) // 2
    macs = count(lambda: head.video_embeddings(model.extract_feat(x)[0])) // 2
    # Similarity to each class: autocast, which the head calls there, knows
    # no meta device.
    return macs + _num_classes(model) * head.text_classifier.embed_dim


def _sentence(model: nn.Module, length: int) -> int:
    """One sentence of L tokens, of a model on the meta device."""
    classifier = model.cls_head.text_classifier
    tokens = torch.zeros(1, length, dtype=torch.long, device='meta')
    return count(lambda: encode_chunk(classifier.text, tokens, tokens[:, 0],
                                      classifier.prompts, False)) // 2
