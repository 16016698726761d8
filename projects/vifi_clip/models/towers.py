"""The two CLIP towers, built by OpenCLIP and never copied.

One adapter for both of OpenCLIP's layouts: ``CLIP`` keeps the text modules at
its top level and ``CustomTextCLIP`` under ``text``; here every architecture
is a pair (``visual``, ``text``).
"""
import copy
from pathlib import Path
from typing import Callable, Optional, Tuple, Union

import open_clip
from mmengine.config import ConfigDict
from open_clip.hf_model import HFTextEncoder
# OpenCLIP has no public way to build one tower without the other, and its own
# CoCa builds its towers through these two.
from open_clip.model import (CLIPTextCfg, CLIPVisionCfg, TextTransformer,
                             _build_text_tower, _build_vision_tower)
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from torch import nn

from ..files import read_json
from .blocks import fuse_blocks

Arch = Union[str, dict]
_REQUIRED = ('embed_dim', 'vision_cfg', 'text_cfg')


def get_arch_cfg(arch: Arch) -> dict:
    """Architecture as data.

    Args:
        arch (str | dict): An OpenCLIP model name
            (``open_clip.list_models()``), a dict of the shape of OpenCLIP's
            ``model_configs/*.json``, or the path of such a file.

    Returns:
        dict: A fresh copy with ``embed_dim``, ``vision_cfg``, ``text_cfg``.

    Raises:
        ValueError: Unknown name, or a dict without one of the three keys.
    """
    if isinstance(arch, str) and arch.endswith('.json'):
        try:
            arch = read_json(Path(arch))
        except (OSError, ValueError) as error:
            raise ValueError(f'arch file {arch!r} cannot be read: '
                             f'{error}') from error
    if isinstance(arch, str):
        cfg = open_clip.get_model_config(arch)
        if cfg is None:
            raise ValueError(
                f'Unknown arch {arch!r}. Use one of open_clip.list_models() '
                f'({_similar(arch)}) or a dict shaped like OpenCLIP\'s '
                'model_configs/*.json.')
        return copy.deepcopy(cfg)
    if not isinstance(arch, dict):
        raise ValueError(f'arch must be an OpenCLIP model name or a dict, got '
                         f'{type(arch).__name__}: {arch!r}')
    missing = [key for key in _REQUIRED if key not in arch]
    if missing:
        raise ValueError(f'arch dict lacks {missing}; it has {sorted(arch)}. '
                         f'It needs {list(_REQUIRED)}, as in OpenCLIP\'s '
                         'model_configs/*.json.')
    cfg = arch.to_dict() if isinstance(arch, ConfigDict) else arch
    return copy.deepcopy(dict(cfg))


def _similar(name: str) -> str:
    """Close names, to make a typo obvious."""
    import difflib
    names = difflib.get_close_matches(name, open_clip.list_models(), n=3)
    return 'close: ' + ', '.join(names) if names else 'none is close'


def _tower_cfg(cls: type, cfg: dict, arch: Arch, part: str):
    try:
        return cls(**cfg)
    except TypeError as error:
        raise ValueError(f'{part} of arch {arch!r} has a setting that '
                         f'OpenCLIP does not know: {error}') from error


def build_vision_tower(
        arch: Arch,
        image_size: Optional[Union[int, Tuple[int, int]]] = None) -> nn.Module:
    """The image tower, [N, 3, H, W] to [N, D], with random weights.

    Args:
        arch (str | dict): See :func:`get_arch_cfg`.
        image_size (int | tuple[int, int], optional): Input size in pixels if
            it differs from the architecture's. timm towers are resized after
            the weights are in (:func:`resize_timm_tower`). Defaults to None.
    """
    cfg = get_arch_cfg(arch)
    vision = dict(cfg['vision_cfg'], output_tokens=False)
    if image_size is not None:
        vision['image_size'] = image_size
    vision = _tower_cfg(CLIPVisionCfg, vision, arch, 'vision_cfg')
    return fuse_blocks(
        _build_vision_tower(cfg['embed_dim'], vision,
                            cfg.get('quick_gelu', False)))


def resize_timm_tower(visual: nn.Module, image_size) -> None:
    """Give a timm tower another input size, by timm's own interpolation."""
    trunk = getattr(visual, 'trunk', None)
    if trunk is None or image_size is None:
        return
    if not hasattr(trunk, 'set_input_size'):
        raise ValueError(f'timm tower {type(trunk).__name__} cannot change '
                         f'its input size to {image_size}; leave image_size '
                         'at None.')
    trunk.set_input_size(img_size=image_size)


def build_text_tower(arch: Arch) -> TextTransformer:
    """The text tower, token ids [S, L] to [S, D], with random weights.

    Raises:
        ValueError: A Hugging Face text encoder, which OpenCLIP builds from
            files of another hub.
    """
    cfg = get_arch_cfg(arch)
    text = dict(cfg['text_cfg'], output_tokens=False)
    if text.get('hf_model_name'):
        raise ValueError(
            f'arch {arch!r} has the Hugging Face text encoder '
            f'{text["hf_model_name"]!r}, which is not supported. Use an arch '
            'whose text tower is OpenCLIP\'s own TextTransformer.')
    text = _tower_cfg(CLIPTextCfg, text, arch, 'text_cfg')
    tower = _build_text_tower(cfg['embed_dim'], text,
                              cfg.get('quick_gelu', False))
    assert not isinstance(tower, HFTextEncoder)
    return fuse_blocks(tower)


def build_tokenizer(arch: Arch, tokenizer: Optional[str] = None) -> Callable:
    """The architecture's tokenizer.

    Args:
        arch (str | dict): See :func:`get_arch_cfg`.
        tokenizer (str, optional): Folder or hub name of a Hugging Face
            tokenizer, for architectures whose tokenizer is not CLIP's.
            Defaults to None: the one that the architecture names.

    Raises:
        ValueError: The Hugging Face tokenizer cannot be loaded.
    """
    text = get_arch_cfg(arch)['text_cfg']
    length = text.get('context_length', 77)
    name = tokenizer or text.get('hf_tokenizer_name')
    if not name:
        return SimpleTokenizer(context_length=length)
    kwargs = text.get('tokenizer_kwargs') or {}
    try:
        return HFTokenizer(
            name,
            context_length=length,
            tokenizer_mode=text.get('tokenizer_mode'),
            **kwargs)
    except Exception as error:  # transformers raises many kinds
        raise ValueError(
            f'Cannot load the tokenizer {name!r} of arch {arch!r}: {error}. '
            'Install transformers and give tokenizer=<folder with the '
            'tokenizer files>.') from error


def prompt_length(tokenizer: Callable, sentence: str) -> int:
    """Number of tokens of a sentence before any truncation."""
    if isinstance(tokenizer, HFTokenizer):
        return len(tokenizer.tokenizer(tokenizer.clean_fn(sentence)).input_ids)
    return len(tokenizer.encode(sentence)) + 2  # start and end of text
