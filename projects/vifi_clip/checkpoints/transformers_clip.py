"""The layout of transformers' CLIPModel."""
import json
import os.path as osp
import re
from typing import Dict, Optional, Tuple

import torch

from .neutral import Neutral, StateDict

_TOWERS = {'vision_model.': 'visual.', 'text_model.': 'text.'}
_MODULES = {
    'embeddings.class_embedding': 'class_embedding',
    'embeddings.patch_embedding': 'conv1',
    'embeddings.position_embedding.weight': 'positional_embedding',
    'embeddings.token_embedding': 'token_embedding',
    'pre_layrnorm': 'ln_pre',  # so spelt there
    'post_layernorm': 'ln_post',
    'final_layer_norm': 'ln_final',
}
_LAYER = re.compile(r'encoder\.layers\.(\d+)\.(.+)\.(weight|bias)')
_IN_LAYER = {
    'layer_norm1': 'ln_1',
    'layer_norm2': 'ln_2',
    'mlp.fc1': 'mlp.c_fc',
    'mlp.fc2': 'mlp.c_proj',
    'self_attn.out_proj': 'attn.out_proj',
}
_QKV = ('self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj')
# Linear layers there, right-hand matrices in CLIP.
_TRANSPOSED = {
    'visual_projection.weight': 'visual.proj',
    'text_projection.weight': 'text.text_projection',
}
FILES = ('model.safetensors', 'pytorch_model.bin')


def is_transformers(state: StateDict) -> bool:
    """Whether the keys are those of a CLIPModel."""
    return any(k.startswith('vision_model.embeddings.') for k in state)


def read_transformers(state: StateDict) -> Neutral:
    """To the neutral layout."""
    neutral = Neutral()
    parts: Dict[str, Dict[str, str]] = {}
    for key, value in state.items():
        name, part = _name(key)
        if key in _TRANSPOSED:
            neutral.take(key, _TRANSPOSED[key], value.T.contiguous())
        elif key.endswith('.position_ids'):
            neutral.drop(key, 'is no weight (0, 1, 2 ...)')
        elif name is None:
            neutral.drop(key, 'is not known in a CLIPModel')
        elif part is None:
            neutral.take(key, name, value)
        else:
            parts.setdefault(name, {})[part] = key
    for name, keys in parts.items():
        if set(keys) != set(_QKV):
            for key in keys.values():
                neutral.drop(key, 'lacks its companions of query, key, value')
            continue
        keys = [keys[part] for part in _QKV]
        neutral.weights[name] = torch.cat([state[k].float() for k in keys])
        neutral.used.update({key: name for key in keys})
    return neutral


def _name(key: str) -> Tuple[Optional[str], Optional[str]]:
    """The neutral name, and which of query, key and value it is."""
    if key == 'logit_scale':
        return key, None
    tower = next((t for t in _TOWERS if key.startswith(t)), None)
    if tower is None:
        return None, None
    rest, prefix = key[len(tower):], _TOWERS[tower]
    match = _LAYER.fullmatch(rest)
    if match:
        block = f'{prefix}transformer.resblocks.{match[1]}.'
        if match[2] in _QKV:
            return f'{block}attn.in_proj_{match[3]}', match[2]
        module = _IN_LAYER.get(match[2])
        return module and f'{block}{module}.{match[3]}', None
    for old, new in _MODULES.items():
        if rest == old or rest.startswith(f'{old}.'):
            return prefix + new + rest[len(old):], None
    return None, None


def read_config(path: str) -> dict:
    """What transformers' ``config.json`` beside the weights says that the
    weights do not show.

    Args:
        path (str): The weights' file or their folder.

    Returns:
        dict: ``quick_gelu`` (bool) and ``heads`` (of ``visual`` and
        ``text``) where the file states them; {} where there is none.
    """
    folder = path if osp.isdir(path) else osp.dirname(osp.abspath(path))
    file = osp.join(folder, 'config.json')
    if not osp.isfile(file):
        return {}
    try:
        with open(file, encoding='utf-8') as stream:
            config = json.load(stream)
        towers = {
            part: config.get(f'{name}_config') or {}
            for part, name in dict(visual='vision', text='text').items()
        }
        acts = {c['hidden_act'] for c in towers.values() if 'hidden_act' in c}
        heads = {
            part: c['num_attention_heads']
            for part, c in towers.items() if 'num_attention_heads' in c
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f'{file} is no config of a CLIPModel: '
                         f'{error}') from error
    for number in heads.values():
        if type(number) is not int or number < 1:
            raise ValueError(f'{file}: num_attention_heads is {number!r}; it '
                             'must be a whole number from 1')
    if not acts:
        return dict(heads=heads)
    if len(acts) > 1 or not acts <= {'quick_gelu', 'gelu'}:
        raise ValueError(f'{file}: hidden_act is {sorted(acts)}; OpenCLIP '
                         'computes quick_gelu or gelu, one for both towers.')
    return dict(heads=heads, quick_gelu=acts == {'quick_gelu'})
