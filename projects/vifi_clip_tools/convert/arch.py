"""Tell which architecture weights belong to.

Two things leave no trace in the weights: the activation (QuickGELU or GELU)
and the number of attention heads. The caller states the first; the second is
the named model's, or one head for 64 channels where no model fits.
"""
import re
from typing import Any, Dict, Optional, Tuple

import open_clip
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg

from projects.vifi_clip.architectures import Arch, get_arch_cfg
from projects.vifi_clip.checkpoints.layout_names import METHOD_PARTS, TOKENS
from projects.vifi_clip.checkpoints.layouts import StateDict
from projects.vifi_clip.models.towers import (build_text_tower,
                                              build_vision_tower, compare,
                                              tower_cfg)

_UNKNOWN = ('the architecture cannot be inferred from these weights: {}. Give '
            'it with --arch, an OpenCLIP model name or a .json file like its '
            'own')
HEAD_WIDTH = 64


def tower_cfgs(arch: Arch) -> Tuple[CLIPVisionCfg, CLIPTextCfg]:
    """Return an architecture's settings, with OpenCLIP's defaults."""
    cfg, name = get_arch_cfg(arch), shown(arch)
    return (tower_cfg(CLIPVisionCfg, cfg['vision_cfg'], name, 'vision_cfg'),
            tower_cfg(CLIPTextCfg, cfg['text_cfg'], name, 'text_cfg'))


def shown(arch: Arch) -> str:
    """Return an architecture's name, for messages."""
    return arch if isinstance(arch, str) else '<dict>'


def hidden_settings(arch: Arch) -> Dict[str, Any]:
    """Return what of an architecture leaves no trace in its weights, by the
    names of :func:`projects.vifi_clip.checkpoints.settings.tower_traits`."""
    vision, text = tower_cfgs(arch)
    quick = get_arch_cfg(arch).get('quick_gelu', False)
    activation = 'QuickGELU' if quick else 'GELU'
    settings = dict(text_activation=activation, text_heads=text.heads)
    if not vision.timm_model_name and isinstance(vision.layers, int):
        settings.update(visual_activation=activation,
                        visual_heads=vision.width // vision.head_width)
    return settings


def contradictions(hidden: Dict[str, Any], arch: Arch) -> str:
    """List what a file states of :func:`hidden_settings` that an architecture
    has otherwise ('' if nothing)."""
    settings = hidden_settings(arch)
    return ', '.join(f'{key} {value!r} and not {settings[key]!r}'
                     for key, value in hidden.items()
                     if settings.get(key, value) != value)


def _layers(weights: StateDict, part: str) -> int:
    return count(weights, rf'{part}\.transformer\.resblocks')


def count(weights: StateDict, stack: str) -> int:
    """Return the number of layers of a stack, whose name is a pattern."""
    numbers = (re.match(rf'{stack}\.(\d+)\.', key) for key in weights)
    return 1 + max((int(match[1]) for match in numbers if match), default=-1)


def _vision_cfg(weights: StateDict) -> Optional[dict]:
    """The sizes of a ViT, as OpenCLIP's ``vision_cfg``; else None."""
    positions = weights.get('visual.positional_embedding')
    kernel = weights.get('visual.conv1.weight')
    if (positions is None or positions.ndim != 2 or kernel is None
            or kernel.ndim != 4 or 'visual.proj' not in weights):
        return None
    width, _, _, patch = kernel.shape
    grid = round((len(positions) - 1)**0.5)
    return dict(image_size=grid * patch, layers=_layers(weights, 'visual'),
                width=width, head_width=HEAD_WIDTH, patch_size=patch)


def infer_arch(weights: StateDict, quick_gelu: bool,
               hidden: Dict[str, Any]) -> Arch:
    """Find an architecture that neutral weights fit: the shortest name of an
    OpenCLIP model, else a dict. ``quick_gelu`` and ``hidden``, what is known
    of :func:`hidden_settings`, are what the weights do not show. ValueError
    where ``--arch`` has to say."""
    matrices = ('text.positional_embedding', 'text.text_projection')
    if any(k not in weights or weights[k].ndim != 2 for k in matrices):
        raise ValueError(_UNKNOWN.format('the text tower is not CLIP\'s'))
    context, width = weights['text.positional_embedding'].shape
    vision = _vision_cfg(weights)
    text = dict(
        context_length=context,
        vocab_size=len(weights[TOKENS]) if TOKENS in weights else 49408,
        width=width,
        heads=hidden.get('text_heads', max(width // HEAD_WIDTH, 1)),
        layers=_layers(weights, 'text'))
    arch = dict(embed_dim=weights['text.text_projection'].shape[1],
                vision_cfg=vision or {}, text_cfg=text)
    sizes = {key: text[key] for key in text if key != 'heads'}.items()
    for name in sorted(open_clip.list_models(), key=lambda n: (len(n), n)):
        cfg = open_clip.get_model_config(name)
        if (cfg.get('quick_gelu', False) == quick_gelu
                and 'timm_model_name' not in cfg['vision_cfg']
                and 'hf_model_name' not in cfg['text_cfg']
                and cfg['embed_dim'] == arch['embed_dim']
                and sizes <= vars(tower_cfgs(cfg)[1]).items()
                and not contradictions(hidden, name)
                and not misfit(weights, name)):
            return name
    if vision is None:
        raise ValueError(_UNKNOWN.format('the image tower is not a ViT, and '
                                         "no model of OpenCLIP's fits"))
    if 'visual_heads' in hidden:
        vision['head_width'] = vision['width'] // hidden['visual_heads']
    elif vision['width'] % HEAD_WIDTH:
        raise ValueError(_UNKNOWN.format('the number of attention heads'))
    return dict(arch, quick_gelu=True) if quick_gelu else arch


def with_image_size(arch: Arch, weights: StateDict) -> Arch:
    """Give an architecture the input size of the weights: a recognizer of
    ours may have another (``image_size``); position embeddings tell."""
    vision, sizes = tower_cfgs(arch)[0], _vision_cfg(weights)
    if (vision.timm_model_name or sizes is None
            or sizes['patch_size'] != vision.patch_size
            or sizes['image_size'] == vision.image_size):
        return arch
    cfg = get_arch_cfg(arch)
    cfg['vision_cfg']['image_size'] = sizes['image_size']
    return cfg


def expected_weights(arch: Arch) -> StateDict:
    """Return names and shapes of an architecture's weights, without memory."""
    try:
        with torch.device('meta'):
            towers = dict(
                visual=build_vision_tower(arch), text=build_text_tower(arch))
            scale = torch.empty(())
    except Exception as error:  # whatever OpenCLIP stumbles over
        raise ValueError(f'arch {shown(arch)!r} cannot be built: '
                         f'{type(error).__name__}: {error}') from error
    return dict({f'{part}.{key}': value for part, tower in towers.items()
                 for key, value in tower.state_dict().items()},
                logit_scale=scale)


def misfit(weights: StateDict, arch: Arch, may_lack: Tuple[str, ...] = ()
           ) -> str:
    """List what of neutral weights does not fit an architecture ('' if all
    does), but for prompts and parts of methods; the keys ``may_lack`` may be
    absent."""
    for cfg in tower_cfgs(arch):  # before any is built: a file may say it
        for layers in cfg.layers if isinstance(
                cfg.layers, (list, tuple)) else [cfg.layers]:
            if isinstance(layers, int) and layers > len(weights):
                return f'{layers} layers, and {len(weights)} weights'
    given = {k: v for k, v in weights.items()
             if not k.startswith(('prompts.', *METHOD_PARTS))
             and k != 'logit_bias'}
    expected = {k: v for k, v in expected_weights(arch).items()
                if k in given or k not in may_lack}
    return compare(expected, given)
