"""The two CLIP towers, built by OpenCLIP and never copied.

OpenCLIP's ``CLIP`` keeps the text modules at its top level and
``CustomTextCLIP`` under ``text``; here every architecture is a pair
(``visual``, ``text``). An ``arch`` is what :func:`get_arch_cfg` takes.
"""
from typing import Any, Optional, Tuple, Union

# OpenCLIP has no public way to build one tower without the other, and its own
# CoCa builds its towers through these two.
from open_clip.model import (CLIPTextCfg, CLIPVisionCfg, TextTransformer,
                             _build_text_tower, _build_vision_tower)
from torch import nn

from ..architectures import Arch, get_arch_cfg
from .blocks import fuse_blocks

ImageSize = Optional[Union[int, Tuple[int, int]]]


def build_vision_tower(arch: Arch, image_size: ImageSize = None) -> nn.Module:
    """The image tower, [N, 3, H, W] to [N, D], with random weights. A timm
    tower is resized after the weights are in, by the backbone."""
    cfg = get_arch_cfg(arch)
    vision = dict(cfg['vision_cfg'], output_tokens=False)
    if image_size is not None:
        vision['image_size'] = image_size
    vision = tower_cfg(CLIPVisionCfg, vision, arch, 'vision_cfg')
    return fuse_blocks(_build_vision_tower(
        cfg['embed_dim'], vision, cfg.get('quick_gelu', False)))


def tower_cfg(cls: type, cfg: dict, arch: Arch, part: str) -> Any:
    """Build OpenCLIP's settings ``cls`` of a tower; ValueError for a setting
    that it does not know."""
    try:
        return cls(**cfg)
    except TypeError as error:
        raise ValueError(f'{part} of arch {arch!r} has a setting that '
                         f'OpenCLIP does not know: {error}') from error


def build_text_tower(arch: Arch) -> TextTransformer:
    """The text tower, token ids [S, L] to [S, D], with random weights. A
    Hugging Face text encoder, which OpenCLIP builds from files of another hub,
    is refused (ValueError)."""
    cfg = get_arch_cfg(arch)
    text = dict(cfg['text_cfg'], output_tokens=False)
    if text.get('hf_model_name'):
        raise ValueError(f'arch {arch!r} has the Hugging Face text encoder '
                         f'{text["hf_model_name"]!r}: use another arch.')
    text = tower_cfg(CLIPTextCfg, text, arch, 'text_cfg')
    return fuse_blocks(_build_text_tower(
        cfg['embed_dim'], text, cfg.get('quick_gelu', False)))
