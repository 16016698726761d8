"""Operations and parameters of a recognizer, counted without computing.

The model is built on nothing: no weights are loaded, and the operations are
counted on PyTorch's meta device. Letters: T frames of a view, K classes, S
sentences, L tokens, D the embedding, H x W pixels.
"""
from collections import Counter
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Tuple

import projects.vifi_clip  # noqa: F401  before mmaction.models, see compat
import torch
from mmaction.models.recognizers import Recognizer2D, Recognizer3D
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from projects.vifi_clip.apis.config import blamed_on
from projects.vifi_clip.models.blocks import FusedBlock
from projects.vifi_clip.models.text_tower import plan_chunks

# Settings that name a size; of a pipeline the last one counts.
_SIZES = ('crop_size', 'size', 'scale', 'input_size')


@dataclass
class Complexity:
    """Figures of one config; operations in MACs (multiply-adds), of ``image``
    (a view to scores) and ``text`` (all sentences, once per label set)."""
    title: List[str]  # the config's name, then its changes
    frames: int  # T
    size: Tuple[int, int]  # H, W
    classes: int  # K
    sentences: int  # S, 1 caption for retrieval, 0 without a text side
    context: int  # L that the text tower reads when nothing is cut
    asked: Dict[str, int]  # by the mathematics: all tokens of all layers
    # As executed here: the last layer for the token that is read, sentences
    # cut behind their end.
    run: Dict[str, int]
    parameters: int  # all
    token_parameters: int  # of those, the table of token embeddings
    trained: int  # with gradient in training

    @property
    def own_parameters(self) -> int:
        """All but the token embeddings."""
        return self.parameters - self.token_parameters


def count(call: Callable[[], object]) -> int:
    """Count the FLOP of a call's products (linear layers, convolutions,
    attention), 2 for each multiply-add. On 'meta' nothing is computed."""
    fast = torch.backends.mha.get_fastpath_enabled()
    # In eval mode nn.MultiheadAttention is one operator that is not counted.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            call()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.get_total_flops()


class _NoFill(TorchFunctionMode):
    """Leaves out the random start of parameters, which takes seconds."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, '__module__', None) == 'torch.nn.init' or func in (
                Tensor.normal_, Tensor.uniform_, Tensor.erfinv_):
            return kwargs['tensor'] if 'tensor' in kwargs else args[0]
        return func(*args, **kwargs)


def build(cfg: Config) -> nn.Module:
    """Build a config's recognizer, in train mode; UserError if it cannot be
    built, ValueError if it takes no frames."""
    with blamed_on(cfg.filename):
        init_default_scope(cfg.get('default_scope', 'mmaction'))
        model = MODELS.build(cfg.model)
    if not isinstance(model, (Recognizer2D, Recognizer3D)):
        raise ValueError(f'{cfg.filename}: {type(model).__name__} is neither '
                         'a Recognizer2D nor a Recognizer3D of MMAction2')
    return model.train()


def complexity(cfg: Config, title: List[str]) -> Complexity:
    """Count the model of a config from :func:`load_spec`, for a table with
    such a ``title``; ValueError as of :func:`build` and :func:`view_shape`."""
    with _NoFill():
        model = build(cfg)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frames, size = view_shape(cfg, model)
    text = getattr(model.cls_head, 'text_classifier', None)
    sentences = {} if text is None else _sentences(model)
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
    total = sum(sentences.values())
    return Complexity(
        title=list(title), frames=frames, size=size,
        classes=getattr(model.cls_head, 'num_classes', 0),
        sentences=total, context=context, run=run,
        asked=_both_sides(model, frames, size,
                          {context: total} if total else {}),
        parameters=sum(p.numel() for p in model.parameters()),
        token_parameters=0 if text is None else sum(
            p.numel() for p in text.text.token_embedding.parameters()),
        trained=trained)


def _sentences(model: nn.Module) -> Dict[int, int]:
    """Count the sentences encoded to each length, as a CPU does it."""
    classifier = model.cls_head.text_classifier
    if hasattr(model, 'embed_text'):
        # A caption may be as long as the context.
        return {classifier.text.context_length: 1}
    chunks, lengths, _ = plan_chunks(classifier.text, classifier.tokens,
                                     classifier.ends, False, None)
    counts: Dict[int, int] = Counter()
    for rows in chunks:
        counts[int(lengths[rows].max())] += len(rows)
    return counts


def _both_sides(model: nn.Module, frames: int, size: Tuple[int, int],
                sentences: Dict[int, int]) -> Dict[str, int]:
    """Count the MACs of a view to scores and of all sentences (how many, by
    length), of a model on the meta device."""
    head = model.cls_head
    x = torch.empty(1, *clip_shape(model, frames, size), device='meta')
    if not hasattr(head, 'text_classifier'):
        image = count(lambda: model.extract_feat(x, stage='head')) // 2
        return dict(image=image, text=0)
    image = count(lambda: head.fuse(
        head.frame_embeddings(model.extract_feat(x)[0]))) // 2
    # Similarity to each class, of M templates where probabilities are
    # averaged: autocast, which the head calls there, knows no meta device.
    classifier = head.text_classifier
    classes = getattr(head, 'num_classes', 0)
    image += classes * classifier.embed_dim * (
        len(classifier.templates) if classifier.average == 'prob' else 1)
    if getattr(head, 'condition', None) is not None:
        fused = head.fuse(head.frame_embeddings(model.extract_feat(x)[0]))
        image += count(lambda: head.condition(
            fused.new_empty(classes, getattr(classifier, 'row_size',
                                             classifier.embed_dim)),
            fused[:, 1:])) // 2

    def sentence(length: int) -> int:
        tokens = torch.zeros(1, length, dtype=torch.long, device='meta')
        return count(lambda: classifier.encode(
            classifier.text, tokens, tokens[:, 0], classifier.prompts,
            False)) // 2

    return dict(image=image, text=sum(
        num * sentence(length) for length, num in sentences.items()))


def clip_shape(model: nn.Module, frames: int, size: Tuple[int, int]) -> tuple:
    """Return the shape of a view as its model takes it."""
    return (1, 3, frames, *size) if isinstance(
        model, Recognizer3D) else (frames, 3, *size)


def view_shape(cfg: Config, model: nn.Module) -> Tuple[int, Tuple[int, int]]:
    """Find frames T and pixels (H, W) of one view.

    CLIP's towers know their size, and our head under a 2D recognizer its
    frames; for others the pipelines say it, the test's, with its many views,
    last. ValueError if nothing says it.
    """
    is_3d = isinstance(model, Recognizer3D)
    frames = None if is_3d else getattr(model.cls_head, 'num_frames', None)
    size = _pair(getattr(getattr(model.backbone, 'visual', None),
                         'image_size', None))
    for part in 'val', 'train', 'test':
        dataset = (cfg.get(f'{part}_dataloader') or {}).get('dataset') or {}
        pipeline = dataset.get('pipeline') or cfg.get(
            f'{part}_pipeline') or []
        clips = [step['clip_len'] * (1 if is_3d else step.get('num_clips', 1))
                 for step in pipeline if 'clip_len' in step]
        frames = frames or next(iter(clips), None)
        size = size or _size(pipeline)
    if frames and size:
        return frames, size
    raise ValueError(f'{cfg.filename}: neither the model nor the pipelines '
                     '(SampleFrames, CenterCrop, Resize) say how many '
                     f'{"pixels a frame" if frames else "frames a view"} has')


def _size(pipeline: List[dict]) -> Optional[Tuple[int, int]]:
    """Find the last size that is fixed; -1 in one keeps the ratio."""
    size = None
    for step in pipeline:
        if step.get('type') == 'Resize' and step.get('keep_ratio', True):
            continue
        for name in _SIZES:
            pair = _pair(step.get(name))
            # MMAction2 writes (width, height) in `scale`.
            if pair and min(pair) > 0:
                size = pair[::-1] if name == 'scale' else pair
    return size


def _pair(value: object) -> Optional[Tuple[int, int]]:
    pair = (value, value) if isinstance(value, int) else value
    if isinstance(pair, (tuple, list)) and len(pair) == 2 and all(
            isinstance(part, int) for part in pair):
        return tuple(pair)
    return None
