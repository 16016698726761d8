"""Layouts of CLIP checkpoints: told apart, read and written.

Pure functions from names and tensors to names and tensors. In between stands
one neutral layout: float32 tensors as OpenCLIP's CustomTextCLIP names them
(``visual.*``, ``text.*``, ``logit_scale`` []), and learnt prompts
[depth, length, width] as ``prompts.visual`` and ``prompts.text``.
"""
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Callable, Dict, List, Optional, Tuple

import torch
from open_clip.model import convert_to_custom_text_state_dict

from .layout_names import (ACTIONCLIP, BUFFERS, NOT_WEIGHTS, ONE_OF_THREE,
                           POSITIONS, PROMPTING, RELEASE, RELEASE_PROMPTS,
                           TC_CLIP, TOKENS, TRANSFORMERS, TRANSPOSED, VIFI,
                           XCLIP)
from .lora import fold_lora

StateDict = Dict[str, torch.Tensor]
_BIAS = '.attn.local_global_bias_table'  # of a layer of TC-CLIP, [h, 1, 2]


@dataclass
class Renamed:
    """Tensors under new names, and what became of each old one."""
    weights: StateDict = field(default_factory=dict)  # by their new names
    # Old and new name: several tensors may become one, one become several.
    pairs: List[Tuple[str, str]] = field(default_factory=list)
    dropped: Dict[str, str] = field(default_factory=dict)  # name to reason

    def take(self, olds: List[str], new: str, value: torch.Tensor) -> None:
        """Keep a tensor that came from the old names."""
        self.weights[new] = value.contiguous()
        self.pairs += [(old, new) for old in olds]

    def take_by_prefix(self, state: StateDict, prefixes: Dict[str, str],
                       reason: str) -> 'Renamed':
        """Rename tensors by the starts of their names, and drop, with a
        reason, those that start with none."""
        for key, value in state.items():
            name = _renamed(key, prefixes)
            if name is None:
                self.dropped.setdefault(key, reason)
            else:
                self.take([key], name, value)
        return self


def _renamed(key: str, prefixes: Dict[str, str]) -> Optional[str]:
    """Exchange the start of a name; None if none of ``prefixes`` is it."""
    for old, new in prefixes.items():
        match = _pattern(old).match(key)
        if match:
            return new.format(*match.groups()) + key[match.end():]
    return None


@lru_cache(maxsize=None)
def _pattern(prefix: str) -> re.Pattern:
    return re.compile(re.escape(prefix).replace(r'\{\}', r'(\d+)'))


def detect_layout(state: StateDict, path: str) -> str:
    """Tell the layout: 'vifi', 'release', 'transformers', 'actionclip',
    'efficient_prompting', 'xclip', 'tc_clip' or 'clip'; ValueError if it is
    none of them."""
    if any(k.startswith(('backbone.', 'cls_head.')) for k in state):
        return 'vifi'
    if any(k.startswith('image_encoder.') for k in state) and any(
            k.startswith(('text_encoder.', 'prompt_learner.')) for k in state):
        return 'tc_clip' if any(k.endswith(_BIAS) for k in state) else (
            'release')
    if any(k.startswith('vision_model.embeddings.') for k in state):
        return 'transformers'
    if any(k.startswith(tuple(ACTIONCLIP)) for k in state):
        return 'actionclip'
    if 'temporalEmbedding.weight' in state:
        return 'efficient_prompting'
    if any('.visual.' in f'.{k}' for k in state):
        return 'xclip' if any(
            part in f'.{k}' for k in state
            for part in ('.mit.', '.prompts_generator.')) else 'clip'
    raise ValueError(f'{path} holds no CLIP image tower of a known layout; '
                     f'{len(state)} tensors, e.g. {list(state)[:3]}')


def read_layout(state: StateDict, layout: str, path: str) -> Renamed:
    """Convert from a layout of :func:`detect_layout` to the neutral one;
    ValueError if learnt prompts make no sense together, or the scale is no
    one number."""
    try:
        renamed = _READERS[layout]({
            key: value.float() if value.is_floating_point() else value
            for key, value in state.items()})
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    scale = renamed.weights.get('logit_scale')
    if scale is not None:
        if scale.numel() != 1:
            raise ValueError(f'{path}: logit_scale has the shape '
                             f'{tuple(scale.shape)}; it must be one number')
        renamed.weights['logit_scale'] = scale.reshape(())
    return renamed


def _read_clip(state: StateDict) -> Renamed:
    """Read OpenAI's and OpenCLIP's layouts, under any prefix (``model.``)."""
    renamed, keys = Renamed(), {}
    inner = next((k for k in state if '.visual.' in f'.{k}' and not
                  k.startswith('raw_model.')), '')  # FROSTER's teacher
    prefix = inner[:f'.{inner}'.find('.visual.')]
    for key in state:
        name = key.removeprefix(prefix)
        if not key.startswith(prefix):
            renamed.dropped[key] = f'is not part of {prefix.rstrip(".")}'
        elif name in NOT_WEIGHTS:
            renamed.dropped[key] = 'is not a weight (a constant of the model)'
        else:
            keys[name] = key
    # It renames keys whatever the values are: here, the original names.
    for name, key in convert_to_custom_text_state_dict(keys).items():
        renamed.take([key], name, state[key])
    return renamed


def _read_release(state: StateDict,
                  prefixes: Dict[str, str] = RELEASE) -> Renamed:
    renamed, rest = Renamed(), dict(state)
    for first, tower, name in RELEASE_PROMPTS:
        later = tower + r'\.transformer\.resblocks\.(\d+)\.VPT_shallow'
        layers = {int(match[1]): key for key in state
                  if (match := re.fullmatch(later, key))}
        if first in state:
            layers[0] = first
        if not layers:
            continue
        if sorted(layers) != list(range(len(layers))):
            raise ValueError(f'{tower} has prompts in layers '
                             f'{sorted(layers)}; from {first} (layer 0) on '
                             'none may be missing.')
        keys = [layers[i] for i in range(len(layers))]
        tokens = [rest.pop(key) for key in keys]  # each [length, width]
        shapes = {key: tuple(t.shape) for key, t in zip(keys, tokens)}
        if len(set(shapes.values())) > 1 or tokens[0].ndim != 2:
            raise ValueError('Each layer must have prompts [n, width] of one '
                             f'shape: {shapes}')
        if len(tokens[0]):
            renamed.take(keys, name, torch.stack(tokens))
        else:
            renamed.dropped.update({key: 'has no tokens' for key in keys})
    renamed.dropped.update({
        key: 'is not a weight: the class sentences of training'
        for key in BUFFERS if rest.pop(key, None) is not None})
    return renamed.take_by_prefix(
        rest, prefixes, 'is not known in a released file')


def _read_tc_clip(state: StateDict) -> Renamed:
    """Read the layout of TC-CLIP: the release's, with a bias of the context
    in each layer. The first has none to use it."""
    rest, joined = _join(state)
    tables = {int(key.split('.')[-3]): key for key in rest
              if key.endswith(_BIAS)}
    biases = {layer: rest.pop(tables[layer]) for layer in sorted(tables)}
    renamed = _read_release(rest, TC_CLIP)
    if biases.pop(0, None) is not None:
        renamed.dropped[tables[0]] = 'is not used in the first layer'
    if sorted(biases) != list(range(1, 1 + len(biases))):
        raise ValueError(f'layers {sorted(biases)} have a bias of the context;'
                         ' from 1 on none may lack')
    if biases:
        renamed.take([tables[layer] for layer in biases], 'context_bias',
                     torch.stack([table[:, 0] for table in biases.values()]))
    return _take_joined(renamed, joined, TC_CLIP, 'is not known in a released '
                        'file')


def _read_xclip(state: StateDict) -> Renamed:
    """Read the layout of X-CLIP's release, OpenAI's with more."""
    clip, renamed = _read_clip(state), Renamed()
    renamed.dropped = clip.dropped
    for old, name in clip.pairs:
        renamed.take([old], _renamed(name, XCLIP) or name,
                     clip.weights[name])
    return _with_positions(renamed)


def _with_positions(renamed: Renamed) -> Renamed:
    """X-CLIP's positions of frames are [1, T, D], ours [T, D]."""
    value = renamed.weights.get(POSITIONS)
    if value is not None and value.ndim == 3 and len(value) == 1:
        renamed.weights[POSITIONS] = value[0]
    return renamed


def _read_prompting(state: StateDict) -> Renamed:
    """Read the layout of Ju et al.: CLIP's scale is not theirs."""
    renamed = _read_beside(state, PROMPTING, {
        'clipmodel.logit_scale': 'is not used: the temperature is 0.07'})
    renamed.weights['logit_scale'] = torch.tensor(0.07).log().neg()
    return renamed


def _read_actionclip(state: StateDict) -> Renamed:
    """Read the layout of ActionCLIP and of MMAction2's port. Three of its
    heads hold frame positions that they do not use."""
    transf = any(k.startswith('fusion.transformer.resblocks.') for k in state)
    return _read_beside(state, ACTIONCLIP, {} if transf else {
        'fusion.frame_position_embeddings.weight': 'is not used by this head'})


def _read_beside(state: StateDict, prefixes: Dict[str, str],
                 unused: Dict[str, str]) -> Renamed:
    """Read a CLIP, and parts of a method that stand beside it."""
    rest = {k: v for k, v in state.items() if k not in unused}
    parts = {k: rest.pop(k) for k in state if k in rest
             and k.startswith(tuple(prefixes))}
    renamed = _read_clip(rest)
    renamed.dropped.update({k: unused[k] for k in unused if k in state})
    return renamed.take_by_prefix(parts, prefixes, 'is not known')


def _read_transformers(state: StateDict) -> Renamed:
    renamed, rest = Renamed(), {}
    whole, joined = _join(state)
    for key, value in whole.items():
        if key.endswith('.position_ids'):
            renamed.dropped[key] = 'is not a weight (0, 1, 2 ...)'
        else:
            rest[key] = value.T if key in TRANSPOSED else value
    renamed.take_by_prefix(rest, TRANSFORMERS, 'is not known in a CLIPModel')
    return _with_positions(_take_joined(renamed, joined, TRANSFORMERS,
                                        'is not known in a CLIPModel'))


def _join(state: StateDict) -> Tuple[StateDict, Dict[str, StateDict]]:
    """Take out of a state dict the queries, keys and values that are one
    matrix in CLIP: what is left, and those three by that one's name."""
    rest, parts = {}, {}
    for key, value in state.items():
        match = ONE_OF_THREE.fullmatch(key)
        if match:
            name = match.expand(r'\1in_proj_\2')
            parts.setdefault(name, {})[key] = value
        else:
            rest[key] = value
    return rest, parts


def _take_joined(renamed: Renamed, joined: Dict[str, StateDict],
                 prefixes: Dict[str, str], reason: str) -> Renamed:
    """Take the matrices of :func:`_join`; drop those that lack a part."""
    for old, parts in joined.items():
        name, first = _renamed(old, prefixes), len(old.rpartition('in_')[0])
        if len(parts) == 3 and name:
            keys = sorted(parts, key=lambda key: 'qkv'.index(key[first]))
            renamed.take(keys, name, torch.cat([parts[key] for key in keys]))
        else:
            renamed.dropped.update(dict.fromkeys(parts, reason))
    return renamed


_READERS: Dict[str, Callable[[StateDict], Renamed]] = dict(
    vifi=lambda state: Renamed().take_by_prefix(
        fold_lora(state), VIFI, 'belongs to neither tower'),
    clip=_read_clip, release=_read_release, xclip=_read_xclip,
    actionclip=_read_actionclip, efficient_prompting=_read_prompting,
    tc_clip=_read_tc_clip, transformers=_read_transformers)


def write_vifi(neutral: StateDict) -> Renamed:
    """Convert to the ``state_dict`` of our recognizer."""
    return Renamed().take_by_prefix(
        neutral, {new: old for old, new in VIFI.items()},
        'is not known to our recognizer')


def write_open_clip(neutral: StateDict, custom_text: bool) -> Renamed:
    """Convert to a state dict for ``open_clip.create_model``, without learnt
    prompts; ``custom_text`` says that the architecture keeps its text tower
    apart (OpenCLIP's CustomTextCLIP)."""
    return Renamed().take_by_prefix(
        neutral, {'visual.': 'visual.', 'logit_': 'logit_',
                  'text.': 'text.' if custom_text else ''},
        'is a learnt prompt, left out on request')


def write_xclip(neutral: StateDict) -> Renamed:
    """Convert to the ``model`` of a file of X-CLIP's release."""
    return Renamed().take_by_prefix(_in_batch(neutral), {
        **{new: old for old, new in XCLIP.items()},
        'visual.': 'visual.', 'logit_scale': 'logit_scale', 'text.': ''},
        'is not known in X-CLIP\'s release')


def _in_batch(neutral: StateDict) -> StateDict:
    """The inverse of :func:`_with_positions`."""
    return {key: value[None] if key == POSITIONS else value
            for key, value in neutral.items()}


def write_transformers(neutral: StateDict, xclip: bool = False) -> Renamed:
    """Convert to the state dict of transformers' CLIPModel, without learnt
    prompts, or of its XCLIPModel."""
    names = {new: old for old, new in TRANSFORMERS.items()}
    if not xclip:
        names['visual.ln_pre.'] = 'vision_model.pre_layrnorm.'
    renamed = Renamed().take_by_prefix(
        _in_batch(neutral), names, 'is left out, or not known there')
    for name, key in list(renamed.pairs):
        value = renamed.weights[key]
        if key in TRANSPOSED:
            renamed.weights[key] = value.T.contiguous()
        elif '.in_proj_' in key:
            renamed.pairs.remove((name, key))
            del renamed.weights[key]
            for part, third in zip('qkv', value.chunk(3)):
                renamed.take([name], key.replace(
                    'in_proj_', f'{part}_proj.'), third.clone())
    return renamed


def write_release(neutral: StateDict) -> Renamed:
    """Convert to the ``model`` of a file of the release; ValueError if its
    code builds no such towers."""
    needed = ('visual.conv1.weight', 'visual.ln_pre.weight', 'visual.proj',
              'visual.class_embedding', 'text.text_projection')
    lacking = [key for key in needed if key not in neutral]
    if lacking:
        raise ValueError("The release's code builds only OpenAI's ViT models; "
                         f'these weights have no {lacking}.')
    renamed, rest = Renamed(), dict(neutral)
    if rest.pop(TOKENS, None) is not None:
        renamed.dropped[TOKENS] = ('has no place in a released file, whose '
                                   'code takes those of OpenAI\'s CLIP')
    prompts = {name: rest.pop(name, ()) for *_, name in RELEASE_PROMPTS}
    renamed.take_by_prefix(
        rest, {new: f'module.{old}' for old, new in RELEASE.items()},
        'is not known in a released file')
    for first, tower, name in RELEASE_PROMPTS:
        for layer, tokens in enumerate(prompts[name]):
            key = (f'{tower}.transformer.resblocks.{layer}.VPT_shallow'
                   if layer else first)
            renamed.take([name], f'module.{key}', tokens.clone())
    return renamed
