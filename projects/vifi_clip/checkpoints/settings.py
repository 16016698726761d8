"""The settings that a checkpoint's weights were made with, as plain data.

The weights of a model tell its sizes, but not which sentences it read, how
its pixels were normalised or which activation it has. A model that is tested
with others gives worse results and no error. So these settings travel in
``checkpoint['meta']['vifi_clip']``.
"""
import hashlib
from pathlib import Path
from typing import (Any, Callable, Dict, Iterable, List, Mapping, Optional,
                    Sequence, Tuple)

import torch
from mmengine.config import ConfigDict
from open_clip.transformer import QuickGELU
from torch import nn

from ..files import read_json

KEY = 'vifi_clip'  # under checkpoint['meta']
VERSION = 1
# Setting, the config key that sets it, and whether another value makes the
# result wrong (an error) or only different (a warning).
_CHECKED = (
    ('pixel_mean', 'model.data_preprocessor.mean', True),
    ('pixel_std', 'model.data_preprocessor.std', True),
    ('to_rgb', 'model.data_preprocessor.to_rgb', True),
    ('templates', 'model.cls_head.text_classifier.templates', True),
    ('descriptions', 'model.cls_head.text_classifier.description_file', True),
    ('visual_prompts', 'model.backbone.prompts', True),
    ('text_prompts', 'model.cls_head.text_classifier.prompts', True),
    ('visual_activation', 'model.backbone.arch', True),
    ('visual_heads', 'model.backbone.arch', True),
    ('text_activation', 'model.cls_head.text_classifier.arch', True),
    ('text_heads', 'model.cls_head.text_classifier.arch', True),
    ('num_frames', 'model.cls_head.num_frames', False),
    ('fusion', 'model.cls_head.fusion', False))


def collect_settings(model: nn.Module,
                     cfg: Optional[Mapping] = None) -> Dict[str, Any]:
    """Return what a model was built with, as plain values.

    They are {} for a model without a text classifier. ``visual_prompts`` and
    ``text_prompts`` are None where there are none. ``cfg``, the model's
    config, knows the name of the architecture.
    """
    head = getattr(model, 'cls_head', None)
    backbone = getattr(model, 'backbone', None)
    classifier = getattr(head, 'text_classifier', None)
    if classifier is None:
        return {}
    settings: Dict[str, Any] = dict(
        version=VERSION,
        **pixel_settings(getattr(model, 'data_preprocessor', None)))
    if not hasattr(model, 'embed_text'):  # a retriever's captions stand alone
        settings['descriptions'] = classifier.descriptions is not None
        if not settings['descriptions']:
            settings['templates'] = [str(t) for t in classifier.templates]
    for part, owner in ('text', classifier), ('visual', backbone):
        prompts = getattr(owner, 'prompts', None)
        settings[f'{part}_prompts'] = None if prompts is None else dict(
            length=prompts.length, depth=prompts.depth)
    if settings['text_prompts']:
        settings['text_prompts']['words'] = words_behind(
            classifier.context, classifier.prompts.length,
            classifier.tokenizer.encode)
    settings.update(tower_traits('visual', getattr(backbone, 'visual', None)))
    settings.update(tower_traits('text', classifier.text))
    for owner, name in (head, 'num_frames'), (head, 'fusion'), (model, 'tune'):
        if hasattr(owner, name):
            settings[name] = getattr(owner, name)
    arch = _arch((cfg or {}).get('backbone') or {})
    if arch is not None:
        settings['arch'] = arch
    return settings


def pixel_settings(preprocessor: Optional[nn.Module]) -> Dict[str, Any]:
    """Return how pixels are normalised, as plain values; None where the
    pipeline, or nobody, does so."""
    parts = getattr(preprocessor, 'preprocessors', None)
    if parts is not None:  # of videos and texts
        preprocessor = dict(parts).get('imgs')
    pixels = dict(to_rgb=bool(getattr(preprocessor, 'to_rgb', False)))
    for name in 'mean', 'std':
        value = getattr(preprocessor, name, None)
        pixels[f'pixel_{name}'] = None if not torch.is_tensor(value) else [
            round(v, 4) for v in value.flatten().tolist()]
    return pixels


def words_behind(context: str, length: int,
                 encode: Callable[[str], Sequence[int]]) -> str:
    """Return the words of a prompt behind its ``length`` learnt tokens: 'photo
    of a' where 1 token of 'a photo of a' is learnt."""
    words = context.split()
    return next((' '.join(words[i:]) for i in range(len(words) + 1)
                 if len(encode(' '.join(words[:i]))) >= length), '')


def tower_traits(part: str, tower: Optional[nn.Module]) -> Dict[str, Any]:
    """Return a CLIP tower's properties that leave no trace in its weights."""
    modules = [] if tower is None else list(tower.modules())
    heads = {m.num_heads for m in modules
             if isinstance(m, nn.MultiheadAttention)}
    if not heads:
        return {}  # a timm tower: its config names what it is
    quick = any(isinstance(m, QuickGELU) for m in modules)
    return {f'{part}_activation': 'QuickGELU' if quick else 'GELU',
            f'{part}_heads': max(heads)}


def _arch(cfg: Mapping) -> Any:
    """The architecture, without a reference to a file of this machine."""
    arch = cfg.get('arch')
    if isinstance(arch, str) and arch.endswith('.json'):
        arch = read_json(Path(arch))
    if isinstance(arch, ConfigDict):
        arch = arch.to_dict()
    size = cfg.get('image_size')
    if size is not None and isinstance(arch, dict):
        arch = dict(arch, vision_cfg=dict(arch['vision_cfg'],
                                          image_size=size))
    return arch


def saved_settings(checkpoint: Any) -> Dict[str, Any]:
    """Return the settings in a loaded checkpoint; {} if it has none."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    settings = meta.get(KEY) if isinstance(meta, Mapping) else None
    return dict(settings) if isinstance(settings, Mapping) else {}


def compare_settings(saved: Mapping, current: Mapping
                     ) -> Tuple[List[str], List[str], Dict[str, str]]:
    """Compare a checkpoint's settings with a model's.

    Returned are names of settings that the checkpoint says nothing about;
    differences that are a matter of choice, in words; and those that make
    results wrong, with the config key that sets them.
    """
    unknown, choices, serious = [], [], {}
    for name, key, matters in _CHECKED:
        if name not in current:
            continue
        if name not in saved:
            unknown += [name] if matters else []
        elif not _equal(saved[name], current[name]):
            text = (f'{name}: {saved[name]!r} when the weights were made, '
                    f'{current[name]!r} in this config ({key})')
            if matters:
                serious[text] = key
            else:
                choices.append(text)
    return unknown, choices, serious


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return (isinstance(a, (int, float)) and isinstance(b, (int, float))
                and abs(a - b) <= 1e-3 * max(1, abs(a)))
    return a == b


def fingerprint(parameters: Iterable) -> str:
    """Return the SHA-256 of pairs of name and float32 tensor, in the order of
    names."""
    digest = hashlib.sha256()
    for name, value in sorted(parameters, key=lambda pair: pair[0]):
        digest.update(f'{name} {tuple(value.shape)}\n'.encode())
        value = value.detach().float().cpu().contiguous()
        digest.update(value.numpy().data if value.ndim else value.numpy())
    return digest.hexdigest()


def prompt_differences(model: nn.Module, state: Mapping) -> List[str]:
    """List, in words, learnt prompts that only the model or only a state dict
    has, or that differ in size."""
    own = dict(model.named_parameters())
    if not any(name.startswith('cls_head.text_classifier.') for name in own):
        return []
    differences = []
    for owner in 'backbone', 'cls_head.text_classifier':
        name = f'{owner}.prompts.tokens'
        given, built = (
            'none' if name not in params else
            'length={1}, depth={0}, width={2}'.format(*params[name].shape)
            for params in (state, own))
        if given != built:
            differences.append(
                f'learnt prompts {name} are {given} in the checkpoint and '
                f'{built} in model.{owner}.prompts')
    return differences
