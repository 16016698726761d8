"""The layout of the paper's released files.

A released file holds ``image_encoder.*``, ``text_encoder.*`` and
``logit_scale`` under DistributedDataParallel's ``module.``. Of the token
embeddings it has only the sentences of its training classes, as buffers.
Prompts of the first layer are ``image_encoder.VPT`` [n, width] and
``prompt_learner.ctx``; those of a later layer N of either tower are
``transformer.resblocks.N.VPT_shallow``, for N = 1 .. depth - 1.
"""
import re
from typing import Dict

import torch

from .neutral import (TEXT_PROMPTS, TOKENS, VISUAL_PROMPTS, Neutral, StateDict,
                      Written)

BUFFERS = ('prompt_learner.complete_text_embeddings',
           'prompt_learner.token_prefix', 'prompt_learner.token_suffix')
_TOWERS = {'image_encoder.': 'visual.', 'text_encoder.': 'text.'}
# First layer's key, later layers' tower, name here.
_PROMPTS = (('image_encoder.VPT', 'image_encoder', VISUAL_PROMPTS),
            ('prompt_learner.ctx', 'text_encoder', TEXT_PROMPTS))
_LATER = re.compile(
    r'(image_encoder|text_encoder)\.transformer\.resblocks\.(\d+)'
    r'\.VPT_shallow')


def is_release(state: StateDict) -> bool:
    """Whether the keys (without ``module.``) are those of a released file."""
    return any(k.startswith('image_encoder.') for k in state) and any(
        k.startswith(('text_encoder.', 'prompt_learner.')) for k in state)


def read_release(state: StateDict) -> Neutral:
    """To the neutral layout.

    Raises:
        ValueError: Prompts that make no sense together.
    """
    neutral = Neutral()
    for first, tower, name in _PROMPTS:
        _take_prompts(neutral, state, first, tower, name)
    for key, value in state.items():
        old = next((old for old in _TOWERS if key.startswith(old)), None)
        if key in neutral.used or key in neutral.dropped:
            continue
        if key in BUFFERS:
            neutral.drop(key, 'is no weight: the class sentences of training')
        elif old is not None:
            neutral.take(key, _TOWERS[old] + key[len(old):], value)
        elif key == 'logit_scale':
            neutral.take(key, key, value)
        else:
            neutral.drop(key, 'is not known in a released file')
    return neutral


def _take_prompts(neutral: Neutral, state: StateDict, first: str, tower: str,
                  name: str) -> None:
    """One tower's prompts of all layers as [depth, n, width]."""
    layers: Dict[int, str] = {}
    for key in state:
        match = _LATER.fullmatch(key)
        if match and match[1] == tower:
            layers[int(match[2])] = key
    if first in state:
        layers[0] = first
    if not layers:
        return
    if sorted(layers) != list(range(len(layers))):
        raise ValueError(
            f'The prompts of {tower} are in layers {sorted(layers)}; they '
            f'must start with {first} (layer 0) and leave no layer out.')
    keys = [layers[i] for i in range(len(layers))]
    shapes = {key: tuple(state[key].shape) for key in keys}
    if len(set(shapes.values())) > 1 or len(shapes[first]) != 2:
        raise ValueError('Each layer must have prompts [n, width] of one '
                         f'shape: {shapes}')
    if shapes[first][0] == 0:
        for key in keys:
            neutral.drop(key, 'has no tokens')
        return
    neutral.weights[name] = torch.stack([state[key].float() for key in keys])
    neutral.used.update({key: name for key in keys})


def write_release(neutral: StateDict) -> Written:
    """The ``model`` of a released file.

    Raises:
        ValueError: The towers are none that the release's code builds.
    """
    needed = ('visual.conv1.weight', 'visual.ln_pre.weight', 'visual.proj',
              'visual.class_embedding', 'text.text_projection')
    lacking = [key for key in needed if key not in neutral]
    if lacking:
        raise ValueError('The release\'s code builds OpenAI\'s ViT models '
                         f'alone; these weights have no {lacking}.')
    written = Written()
    for name, value in neutral.items():
        old = next((old for old, ours in _TOWERS.items()
                    if name.startswith(ours)), None)
        if name == TOKENS:
            written.drop(name, 'has no place in a released file, whose code '
                         'takes those of OpenAI\'s CLIP')
        elif old is not None:
            key = old + name[len(_TOWERS[old]):]
            written.put(f'module.{key}', name, value)
        elif name == 'logit_scale':
            written.put(f'module.{name}', name, value.reshape(()))
        elif not name.startswith('prompts.'):
            written.drop(name, 'is not known in a released file')
    for first, tower, name in _PROMPTS:
        for layer, tokens in enumerate(neutral.get(name, ())):
            key = (f'{tower}.transformer.resblocks.{layer}.VPT_shallow'
                   if layer else first)
            written.put(f'module.{key}', name, tokens.clone())
    return written
