"""Telling the layouts apart; OpenAI's, OpenCLIP's and our own."""
from typing import Callable, Dict, Optional

import torch
from open_clip.model import convert_to_custom_text_state_dict

from .neutral import TEXT_PROMPTS, VISUAL_PROMPTS, Neutral, StateDict, Written
from .release import is_release, read_release
from .transformers_clip import is_transformers, read_transformers

# What OpenAI's TorchScript archives and old state dicts hold beside weights.
_NOT_WEIGHTS = ('input_resolution', 'context_length', 'vocab_size',
                'attn_mask', 'text.attn_mask')
# Where our own recognizer keeps what the neutral layout names.
OURS = {
    'backbone.visual.': 'visual.',
    'cls_head.text_classifier.text.': 'text.',
    'cls_head.logit_scale': 'logit_scale',
    'backbone.prompts.tokens': VISUAL_PROMPTS,
    'cls_head.text_classifier.prompts.tokens': TEXT_PROMPTS,
}


def tensors_of(loaded: object, path: str) -> StateDict:
    """The weights in a loaded file, without a training loop's wrapping.

    Raises:
        ValueError: There is no dict of tensors.
    """
    for key in ('state_dict', 'model'):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not isinstance(loaded, dict):
        raise ValueError(f'{path} holds a {type(loaded).__name__}, not a '
                         'dict of weights.')
    return {
        k.removeprefix('module.'): v
        for k, v in loaded.items() if isinstance(k, str) and torch.is_tensor(v)
    }


def detect_layout(state: StateDict, path: str) -> str:
    """Which of :data:`_READERS` a state dict is for.

    Raises:
        ValueError: None of them.
    """
    if any(k.startswith(('backbone.', 'cls_head.')) for k in state):
        return 'vifi'
    if is_release(state):
        return 'release'
    if is_transformers(state):
        return 'transformers'
    if any('.visual.' in f'.{k}' for k in state):
        return 'clip'
    raise ValueError(
        f'{path} holds no CLIP image tower: no key has "visual." in it, nor '
        'does the file have the layout of ViFi-CLIP\'s release or of '
        f'transformers\' CLIPModel. It has {len(state)} tensors, e.g. '
        f'{list(state)[:3]}.')


def read_vifi(state: StateDict) -> Neutral:
    """A checkpoint of our own recognizer."""
    neutral = Neutral()
    for key, value in state.items():
        old = next((old for old in OURS if key.startswith(old)), None)
        if old is None:
            neutral.drop(key, 'belongs to neither tower')
        else:
            neutral.take(key, OURS[old] + key[len(old):], value)
    return neutral


def read_clip(state: StateDict) -> Neutral:
    """OpenAI's and OpenCLIP's layouts, under any prefix (``model.``)."""
    neutral = Neutral()
    inner = next(k for k in state if '.visual.' in f'.{k}')
    prefix = inner[:f'.{inner}'.find('.visual.')]
    names = {}
    for key in state:
        if not key.startswith(prefix):
            neutral.drop(key, f'is not part of {prefix.rstrip(".")}')
        elif key[len(prefix):] in _NOT_WEIGHTS:
            neutral.drop(key, 'is no weight (a constant of the architecture)')
        else:
            names[key[len(prefix):]] = key
    # It renames keys whatever the values are: here, the original names.
    for name, key in convert_to_custom_text_state_dict(names).items():
        neutral.take(key, name, state[key])
    return neutral


def write_vifi(neutral: StateDict) -> Written:
    """The ``state_dict`` of a checkpoint of ours."""
    written = Written()
    for name, value in neutral.items():
        ours = next((o for o, new in OURS.items() if name.startswith(new)),
                    None)
        if ours is None:
            written.drop(name, 'is not known to our recognizer')
        elif name == 'logit_scale':
            written.put(ours, name, value.reshape(()))
        else:
            written.put(ours + name[len(OURS[ours]):], name, value)
    return written


def write_open_clip(neutral: StateDict, custom_text: bool) -> Written:
    """A state dict for ``open_clip.create_model``.

    Args:
        neutral (dict[str, Tensor]): Learnt prompts are dropped.
        custom_text (bool): Whether the architecture keeps its text tower
            apart (OpenCLIP's CustomTextCLIP).
    """
    written = Written()
    for name, value in neutral.items():
        if name.startswith('prompts.'):
            written.drop(name, 'is a learnt prompt, left out on request')
        elif custom_text:
            written.put(name, name, value)
        else:
            written.put(name.removeprefix('text.'), name, value)
    return written


_READERS: Dict[str, Callable[[StateDict], Neutral]] = dict(
    vifi=read_vifi,
    release=read_release,
    transformers=read_transformers,
    clip=read_clip)
# Buffers that count, and are no weights.
_COUNTS = ('num_batches_tracked', 'relative_position_index')


def read_layout(state: StateDict, layout: str, path: str) -> Neutral:
    """To the neutral layout.

    Args:
        state (dict[str, Tensor]): From :func:`tensors_of`.
        layout (str): From :func:`detect_layout`.
        path (str): For messages.

    Raises:
        ValueError: A weight that is used is none to compute with: not
            finite, not floating, sparse, without values.
    """
    bad = {key: _fault(key, value) for key, value in state.items()}
    bad = {key: fault for key, fault in bad.items() if fault}
    # Stand-ins, so that readers tell by their names which are used.
    neutral = _READERS[layout]({
        key: torch.zeros(()).expand(value.shape) if key in bad else value
        for key, value in state.items()
    })
    wrong = [f'{key} {bad[key]}' for key in bad if key in neutral.used]
    if wrong:
        more = f'; and {len(wrong) - 3} more' if len(wrong) > 3 else ''
        raise ValueError(f'{path} holds weights that cannot be used: '
                         f'{"; ".join(wrong[:3])}{more}.')
    scale = neutral.weights.get('logit_scale')
    if scale is not None and scale.numel() != 1:
        raise ValueError(f'{path}: logit_scale has the shape '
                         f'{tuple(scale.shape)}; it must be one number.')
    return neutral


def _fault(key: str, value: torch.Tensor) -> Optional[str]:
    if value.is_meta:
        return 'has no values (device meta)'
    if value.layout != torch.strided:
        return f'is not dense ({value.layout})'
    if key.endswith(_COUNTS):
        return None
    if not value.is_floating_point():
        return f'is of {value.dtype}, not of a floating type'
    finite = value.float().isfinite()
    if not finite.all():
        return (f'has {int((~finite).sum())} of {value.numel()} values that '
                'are not finite')
    return None
