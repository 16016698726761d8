"""Which architecture weights belong to.

Two things leave no trace in the weights: the activation (QuickGELU or GELU)
and the number of attention heads. The caller states the first; the second is
the named model's, or one head for 64 channels where no model fits.
"""
import copy
import re
from typing import Dict, List, Optional, Tuple

import open_clip
import torch

from projects.vifi_clip.architectures import Arch, get_arch_cfg
from projects.vifi_clip.models.towers import (build_text_tower,
                                              build_vision_tower)
from projects.vifi_clip.models.pretrained import compare
from projects.vifi_clip.checkpoints.neutral import (TEXT_PROMPTS, TOKENS,
                                                    VISUAL_PROMPTS, StateDict)

_PROMPTS = {VISUAL_PROMPTS: 'vision_cfg', TEXT_PROMPTS: 'text_cfg'}
_UNKNOWN = ('The architecture cannot be told from these weights: {}. Say it '
            'with --arch, an OpenCLIP model name or a .json file like its '
            'own.')
_HEAD_WIDTH = 64
_VOCAB = 49408  # CLIP's


def _layers(weights: StateDict, prefix: str) -> int:
    found = (re.match(rf'{re.escape(prefix)}(\d+)\.', key) for key in weights)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def _text_cfg(weights: StateDict) -> dict:
    """The text tower's sizes, as OpenCLIP's ``text_cfg``."""
    positions = weights['text.positional_embedding']
    vocabulary = weights.get(TOKENS)
    width = positions.shape[1]
    return dict(
        context_length=positions.shape[0],
        vocab_size=_VOCAB if vocabulary is None else len(vocabulary),
        width=width,
        heads=max(width // _HEAD_WIDTH, 1),
        layers=_layers(weights, 'text.transformer.resblocks.'))


def _vision_cfg(weights: StateDict) -> Optional[dict]:
    """The sizes of a ViT, as OpenCLIP's ``vision_cfg``; else None."""
    positions = weights.get('visual.positional_embedding')
    if positions is None or 'visual.proj' not in weights:
        return None
    kernel = weights.get('visual.conv1.weight')
    if kernel is None or kernel.ndim != 4 or positions.ndim != 2:
        return None
    width, _, _, patch = kernel.shape
    grid = round((len(positions) - 1)**0.5)
    return dict(
        image_size=grid * patch,
        layers=_layers(weights, 'visual.transformer.resblocks.'),
        width=width,
        head_width=_HEAD_WIDTH,
        patch_size=patch)


def _same(named: dict, found: dict, keys: Tuple[str, ...],
          defaults: dict) -> bool:
    return all(
        named.get(key, defaults.get(key)) == found[key] for key in keys)


def _named_like(weights: StateDict, quick_gelu: bool) -> List[str]:
    """OpenCLIP's models with these sizes, shortest name first."""
    text, vision = _text_cfg(weights), _vision_cfg(weights)
    dim = weights['text.text_projection'].shape[-1]
    names = []
    for name in open_clip.list_models():
        cfg = open_clip.get_model_config(name)
        named = cfg['vision_cfg']
        if (cfg.get('quick_gelu', False) != quick_gelu
                or cfg['embed_dim'] != dim or 'timm_model_name' in named
                or 'hf_model_name' in cfg['text_cfg']):
            continue
        if not _same(cfg['text_cfg'], text,
                     ('context_length', 'vocab_size', 'width', 'layers'),
                     dict(context_length=77, vocab_size=_VOCAB, width=512,
                          layers=12)):
            continue
        if vision is None:
            fits = isinstance(named.get('layers'), list)
        else:
            fits = _same(named, vision,
                         ('image_size', 'layers', 'width', 'patch_size'),
                         dict(image_size=224, layers=12, width=768,
                              patch_size=16))
        if fits:
            names.append(name)
    return sorted(names, key=lambda name: (len(name), name))


def infer_arch(weights: StateDict,
               quick_gelu: bool,
               heads: Optional[Dict[str, int]] = None) -> Arch:
    """An architecture that these weights fit.

    Args:
        weights (dict[str, Tensor]): In the neutral layout.
        quick_gelu (bool): The activation, which weights do not show.
        heads (dict[str, int], optional): Attention heads of ``visual`` and
            ``text``, if the file's companion states them.

    Returns:
        str | dict: The name of an OpenCLIP model, else an architecture dict.

    Raises:
        ValueError: It cannot be told; ``--arch`` has to say.
    """
    matrices = ('text.positional_embedding', 'text.text_projection')
    if any(k not in weights or weights[k].ndim != 2 for k in matrices):
        raise ValueError(_UNKNOWN.format('the text tower is not CLIP\'s'))
    for name in _named_like(weights, quick_gelu):
        cfg = get_arch_cfg(name)
        if not misfit(weights, name) and _heads_agree(cfg, heads or {}):
            return name
    vision, heads = _vision_cfg(weights), heads or {}
    if vision is None:
        raise ValueError(
            _UNKNOWN.format('the image tower is no ViT, and no model of '
                            'OpenCLIP\'s fits'))
    arch = dict(
        embed_dim=weights['text.text_projection'].shape[1],
        vision_cfg=vision,
        text_cfg=_text_cfg(weights))
    if quick_gelu:
        arch['quick_gelu'] = True
    if 'visual' in heads:
        vision['head_width'] = vision['width'] // heads['visual']
    elif vision['width'] % _HEAD_WIDTH:
        raise ValueError(_UNKNOWN.format('the number of attention heads'))
    arch['text_cfg']['heads'] = heads.get('text', arch['text_cfg']['heads'])
    return arch


def _heads_agree(cfg: dict, heads: Dict[str, int]) -> bool:
    vision, text = cfg['vision_cfg'], cfg['text_cfg']
    named = dict(text=text.get('heads', 8))
    if isinstance(vision.get('layers', 12), int):
        named['visual'] = vision.get('width', 768) // vision.get(
            'head_width', _HEAD_WIDTH)
    return all(named.get(part, n) == n for part, n in heads.items())


def with_image_size(arch: Arch, weights: StateDict) -> Arch:
    """The architecture at the input size of the weights.

    A recognizer of ours may see pictures of another size than its
    architecture's (``image_size``); the position embeddings tell.
    """
    cfg, found = get_arch_cfg(arch), _vision_cfg(weights)
    vision = cfg['vision_cfg']
    if ('timm_model_name' in vision or found is None
            or found['patch_size'] != vision.get('patch_size', 16)
            or found['image_size'] == vision.get('image_size', 224)):
        return arch
    cfg = copy.deepcopy(cfg)
    cfg['vision_cfg']['image_size'] = found['image_size']
    return cfg


def expected_weights(arch: Arch) -> StateDict:
    """Names and shapes of an architecture's weights, without memory."""
    with torch.device('meta'):
        towers = dict(
            visual=build_vision_tower(arch), text=build_text_tower(arch))
        expected = {
            f'{part}.{key}': value
            for part, tower in towers.items()
            for key, value in tower.state_dict().items()
        }
        expected['logit_scale'] = torch.empty(())
    return expected


def check_arch(arch: Arch, shown: str) -> None:
    """Whether an architecture that a file states can be built.

    Raises:
        ValueError: It cannot.
    """
    try:
        expected_weights(arch)
    except ValueError:
        raise
    except Exception as error:  # whatever OpenCLIP stumbles over
        raise ValueError(f'arch {shown!r} cannot be built: '
                         f'{type(error).__name__}: {error}') from error


def misfit(weights: StateDict, arch: Arch, lacking: Tuple[str, ...] = ()
           ) -> str:
    """What of the weights does not fit an architecture ('' if all does).

    Args:
        weights (dict[str, Tensor]): In the neutral layout.
        arch (str | dict): OpenCLIP model name or architecture dict.
        lacking (tuple[str]): Keys that may be absent.
    """
    expected = expected_weights(arch)
    given = {
        k: v.reshape(()) if k == 'logit_scale' else v
        for k, v in weights.items()
        if not k.startswith('prompts.') and k != 'logit_bias'
    }
    for key in lacking:
        if key not in given:
            expected.pop(key, None)
    lines = [compare(expected, given)] + _prompt_misfit(weights, arch)
    return '\n'.join(line for line in lines if line)


def _prompt_misfit(weights: StateDict, arch: Arch) -> List[str]:
    cfg, lines = get_arch_cfg(arch), []
    defaults = dict(vision_cfg=(12, 768), text_cfg=(12, 512))
    for name, part in _PROMPTS.items():
        tower = cfg[part]
        layers, width = (tower.get(k, d) for k, d in zip(
            ('layers', 'width'), defaults[part]))
        if name not in weights or 'timm_model_name' in tower:
            continue
        shape = tuple(weights[name].shape)
        if len(shape) != 3 or shape[2] != width or shape[0] > layers:
            lines.append(f'  {name} {shape} (depth, length, width) for '
                         f'{layers} layers of width {width}')
    return lines
