"""Folders that transformers saved a CLIPModel in."""
import os.path as osp
from pathlib import Path
from typing import Any, Dict, List

from ..files import read_json

_NAMES = ('model.safetensors', 'pytorch_model.bin')


def weight_files(folder: str) -> List[str]:
    """Return the files of a folder's weights: one, or several that an index
    names. FileNotFoundError if there is neither."""
    for file in (osp.join(folder, name) for name in _NAMES):
        if osp.isfile(file):
            return [file]
        index = Path(f'{file}.index.json')
        if index.is_file():
            try:
                parts = set(read_json(index)['weight_map'].values())
                return [osp.join(folder, osp.basename(part))
                        for part in sorted(parts)]
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f'{index} is not an index of weights: '
                                 f'{type(error).__name__}: {error}') from error
    raise FileNotFoundError(f'{folder} is a folder without any of '
                            f'{", ".join(_NAMES)}; name the file')


def read_config(path: str) -> Dict[str, Any]:
    """Return activation and attention heads by the ``config.json`` of a folder
    or beside a file, if there is one, by the names of
    :func:`.settings.tower_traits`."""
    folder = path if osp.isdir(path) else osp.dirname(path)
    file = Path(folder, 'config.json')
    if not file.is_file():
        return {}
    config, hidden, acts = read_json(file), {}, set()
    try:
        for part, name in ('visual', 'vision'), ('text', 'text'):
            tower = config.get(f'{name}_config') or {}
            if tower:  # a CLIPConfig's own
                acts.add(tower.get('hidden_act', 'quick_gelu'))
            if 'num_attention_heads' in tower:
                heads = hidden[f'{part}_heads'] = tower['num_attention_heads']
                if type(heads) is not int or heads < 1:
                    raise TypeError(f'num_attention_heads is {heads!r}, not a '
                                    'whole number from 1')
        wanted = {max(config.get('projection_dim', 512) // 64, 1)}
        if config.get('model_type') == 'xclip' and wanted != {
                config.get('prompt_num_attention_heads', 8),
                config['vision_config'].get('mit_num_attention_heads', 8)}:
            raise TypeError('MIT or prompts of the XCLIPModel do not have one '
                            'attention head per 64 channels')
    except (AttributeError, TypeError, KeyError) as error:
        raise ValueError(f'{file} is not a config of a CLIPModel: '
                         f'{error}') from error
    if len(acts) > 1 or not acts <= {'quick_gelu', 'gelu'}:
        raise ValueError(f'{file}: hidden_act is {sorted(map(str, acts))}; '
                         'OpenCLIP computes quick_gelu or gelu, one for both '
                         'towers')
    if acts:
        act = 'QuickGELU' if acts == {'quick_gelu'} else 'GELU'
        hidden.update(visual_activation=act, text_activation=act)
    return hidden
