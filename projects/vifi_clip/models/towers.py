"""The two CLIP towers, built by OpenCLIP and never copied, and their weights,
from a checkpoint in any common format.

OpenCLIP's ``CLIP`` keeps the text modules at its top level and
``CustomTextCLIP`` under ``text``; here every architecture is a pair
(``visual``, ``text``). An ``arch`` is what :func:`get_arch_cfg` takes.
"""
import logging
import os.path as osp
from types import SimpleNamespace
from typing import Any, Mapping, Optional, Tuple, Union

from mmengine.logging import print_log
# OpenCLIP has no public way to build one tower without the other, and its own
# CoCa builds its towers through these two.
from open_clip.model import (CLIPTextCfg, CLIPVisionCfg, TextTransformer,
                             _build_text_tower, _build_vision_tower,
                             resize_pos_embed)
from open_clip.pretrained import (download_pretrained, get_pretrained_cfg,
                                  list_pretrained_tags_by_model)
from torch import nn

from ..architectures import Arch, get_arch_cfg
from ..checkpoints.files import (ASSET, ASSETS, load_weights, split_name,
                                 tensors_of)
from ..checkpoints.folders import read_config
from ..checkpoints.layout_names import METHOD_PARTS
from ..checkpoints.layouts import StateDict, detect_layout, read_layout
from ..checkpoints.settings import saved_settings, tower_traits
from ..errors import UserError
from ..network import hub_or_cache
from .blocks import fuse_blocks

ImageSize = Optional[Union[int, Tuple[int, int]]]


def build_vision_tower(arch: Arch, image_size: ImageSize = None) -> nn.Module:
    """The image tower, [N, 3, H, W] to [N, D], with random weights. A timm
    tower is resized after the weights are in, by the backbone."""
    cfg = get_arch_cfg(arch)
    vision = dict(cfg['vision_cfg'], output_tokens=False,
                  timm_model_pretrained=False)
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


def load_pretrained(tower: nn.Module, part: str, arch: Arch,
                    pretrained: Optional[str],
                    resize: bool = False) -> Optional[float]:
    """Fill the tower ``part``, 'visual' or 'text', strictly, from a tag or
    file; return the ``logit_scale`` (natural logarithm) if that has it.

    ``resize`` lets OpenCLIP interpolate a ViT's position embeddings to another
    input size. Any other key or shape that differs is a ValueError.
    """
    if pretrained is None:
        return None
    path = resolve_pretrained(arch, pretrained)
    state = read_clip_state_dict(path, True, tower_traits(part, tower))
    added = (f'prompts.{part}', 'prompts.table.', *METHOD_PARTS)
    if any(key.startswith(added) for key in state):
        # Right where new prompts are learnt on top of its towers.
        print_log(f'{path} has more than towers, such as learnt prompts or a '
                  'temporal module, which pretrained= leaves out; to use all '
                  'of it give it as checkpoint / load_from (LOAD_FROM)',
                  'current', logging.WARNING)
    if resize:
        resize_pos_embed(state, SimpleNamespace(visual=tower))
    weights = {k.removeprefix(f'{part}.'): v for k, v in state.items()
               if k.startswith(f'{part}.')}
    report = compare(tower.state_dict(), weights)
    if report:
        raise ValueError(
            f'{path} does not fit the {part} tower of arch '
            f'{arch if isinstance(arch, str) else "<dict>"!r}:\n{report}\n'
            'Set arch to the architecture that this file was trained with.')
    tower.load_state_dict(weights)
    print_log(f'Loaded {len(weights)} tensors of the {part} tower from {path}',
              'current')
    scale = state.get('logit_scale')
    return None if scale is None else float(scale.reshape(-1)[0])


def resolve_pretrained(arch: Arch, pretrained: str) -> str:
    """Return a file for ``pretrained``: itself, or the download of a tag."""
    if not isinstance(pretrained, str):
        raise ValueError('pretrained must be an OpenCLIP tag or a file name, '
                         f'got {pretrained!r}')
    if (osp.isfile(split_name(pretrained)[0]) or pretrained.startswith(ASSET)
            or osp.isfile(osp.join(pretrained, 'config.json'))):
        return pretrained
    if osp.sep in pretrained or osp.splitext(pretrained)[1]:
        raise FileNotFoundError(f'pretrained={pretrained!r}: no such file.')
    tags = list_pretrained_tags_by_model(arch) if isinstance(arch, str) else []
    cfg = get_pretrained_cfg(arch, pretrained) if tags else {}
    if not cfg:
        bundled = (f' The bundled weights are {ASSET + pretrained!r}.' if (
            ASSETS / f'{pretrained}.pth.xz').is_file() else '')
        raise ValueError(f'pretrained={pretrained!r} is neither a file nor a '
                         f'tag of arch {arch!r} (tags: {tags or "none"}).'
                         f'{bundled}')
    gelu = get_arch_cfg(arch).get('quick_gelu', False)
    if cfg.get('quick_gelu', gelu) != gelu:
        raise ValueError(
            f'Tag {pretrained!r} was trained with quick_gelu={not gelu} but '
            f'arch {arch!r} has quick_gelu={gelu}: use arch '
            f'{arch + "-quickgelu" if not gelu else arch[:-10]!r}.')
    with hub_or_cache() as offline:
        try:
            return download_pretrained(cfg)
        except Exception as error:  # of the hub, of requests, of the network
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            reason = (f'{offline}, and they were not downloaded before'
                      if offline else reason[:120])
            raise UserError(
                f'The weights {pretrained!r} of {arch} cannot be fetched: '
                f'{reason}; set PRETRAINED=FILE. To try the steps with a toy: '
                'ARCH=small_world to train, --config small_world to predict'
            ) from error


def read_clip_state_dict(path: str, prompts: bool = False,
                         traits: Mapping[str, Any] = {}) -> StateDict:
    """Read a CLIP checkpoint of any layout of :mod:`..checkpoints.layouts`
    into float32 tensors named ``visual.*``, ``text.*`` and ``logit_scale``,
    without learnt prompts unless ``prompts``. ValueError if the file holds no
    CLIP image tower, or weights that are not finite numbers, or if what it
    states contradicts the ``traits`` of the tower that they are for."""
    loaded = load_weights(path)
    state = tensors_of(loaded)
    layout = detect_layout(state, path)
    for key, stated in _stated_traits(path, loaded, layout).items():
        if traits.get(key, stated) != stated:
            raise ValueError(
                f'{path} was made with {key} {stated!r} and not '
                f'{traits[key]!r}: its weights would fit and give wrong '
                'results. Set arch to its architecture, or give another file')
    weights = read_layout(state, layout, path).weights
    if layout == 'xclip' or any(
            key.startswith(('messages.', 'condition.')) for key in weights):
        raise ValueError(f'{path} holds an X-CLIP, whose towers exchange '
                         "messages between frames, unlike CLIP's. Give the "
                         'CLIP that it was trained from, or continue from '
                         'this one by LOAD_FROM=FILE (METHOD=xclip)')
    if not any(k.startswith('visual.') for k in weights):
        raise ValueError(f'{path} holds no CLIP image tower; {len(state)} '
                         f'tensors, e.g. {list(state)[:3]}.')
    return {k: v for k, v in weights.items()
            if prompts or not k.startswith('prompts.')}


def _stated_traits(path: str, loaded: Mapping, layout: str) -> Mapping:
    """What a file says of :func:`tower_traits`: ours in its settings, those
    of transformers in their config.json, and OpenAI's TorchScript archives by
    being such."""
    if layout == 'transformers':
        return read_config(path)
    if 'input_resolution' in loaded:
        return dict.fromkeys(('visual_activation', 'text_activation'),
                             'QuickGELU')
    return {key: value for key, value in saved_settings(loaded).items()
            if key.endswith(('_activation', '_heads'))}


def compare(expected: StateDict, given: StateDict) -> str:
    """List what is missing, left over, of another shape, or integers where
    the model has floating numbers ('' if nothing)."""
    lists = {
        'missing from the file': [k for k in expected if k not in given],
        'unknown to the model': [k for k in given if k not in expected],
        'of another shape': [
            f'{k}: file {tuple(given[k].shape)}, model {tuple(v.shape)}'
            for k, v in expected.items()
            if k in given and given[k].shape != v.shape],
        'of no floating type': [
            f'{k}: {given[k].dtype}' for k, v in expected.items()
            if k in given and v.is_floating_point()
            and not given[k].is_floating_point()]}
    return '\n'.join(f'  {len(keys)} {what}: {"; ".join(keys[:8])}' +
                     (' ...' if len(keys) > 8 else '')
                     for what, keys in lists.items() if keys)
