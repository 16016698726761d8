"""A source file: its weights, and what else is known of them."""
import os.path as osp
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

import torch

from projects.vifi_clip.architectures import build_tokenizer
from projects.vifi_clip.checkpoints import layouts
from projects.vifi_clip.checkpoints.files import load_weights, tensors_of
from projects.vifi_clip.checkpoints.settings import (VERSION, saved_settings,
                                                     words_behind)
from projects.vifi_clip.files import read_json
from .options import SOURCES


@dataclass
class Source:
    """A source file's content."""
    neutral: layouts.Renamed  # the weights in the neutral layout
    settings: Dict[str, Any]  # see checkpoints.settings.collect_settings
    quick_gelu: bool  # the activation
    # What of arch.hidden_settings the file, or the kind of file, states.
    hidden: Dict[str, Any] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)  # what was assumed
    # A start token's embedding [width], to know the base CLIP by.
    first_token: Optional[torch.Tensor] = None


def read_source(path: str, kind: str) -> Source:
    """Read a file of a stated kind; ValueError if it is damaged, or of another
    kind."""
    loaded = _load_folder(path) if osp.isdir(path) else load_weights(path)
    state = tensors_of(loaded, path)
    layout = layouts.detect_layout(state, path)
    expected, quick_gelu = SOURCES[kind]
    if layout != expected:
        fits = [name for name in SOURCES if SOURCES[name][0] == layout]
        raise ValueError(f'{path} has not the layout of --source {kind}: its '
                         f'keys ({", ".join(list(state)[:3])} ...) are those '
                         f'of --source {" or ".join(fits)}')
    source = Source(layouts.read_layout(state, layout, path),
                    saved_settings(loaded), quick_gelu)
    activation = source.settings.get('text_activation')
    if kind in ('release', 'openai'):  # their code knows no other
        activation = activation or 'QuickGELU'
    if kind == 'release':
        for key in layouts.BUFFERS[:2]:
            buffer = state.get(key)
            if buffer is not None and buffer.ndim == 3 and buffer.numel():
                source.first_token = buffer[0, 0].float()
        if not source.settings:
            _describe_release(source, loaded.get('config'))
    elif kind == 'transformers':
        folder = path if osp.isdir(path) else osp.dirname(path)
        source.hidden.update(_read_config(Path(folder, 'config.json')))
    if activation:
        source.hidden['text_activation'] = activation
    if 'text_activation' in source.hidden:
        source.quick_gelu = source.hidden['text_activation'] == 'QuickGELU'
    else:
        source.notes.append(
            f'the file does not state the activation: '
            f'{"QuickGELU" if quick_gelu else "GELU"} as is usual for '
            f'--source {kind}; --arch says otherwise')
    return source


def _load_folder(folder: str) -> layouts.StateDict:
    """The weights in a folder that transformers saved, in one file or in
    several with an index."""
    names = ('model.safetensors', 'pytorch_model.bin')
    for file in (osp.join(folder, name) for name in names):
        if osp.isfile(file):
            return load_weights(file)
        index = Path(f'{file}.index.json')
        if index.is_file():
            try:
                parts = set(read_json(index)['weight_map'].values())
                files = [osp.join(folder, osp.basename(part))
                         for part in sorted(parts)]
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f'{index} is no index of weights: '
                                 f'{type(error).__name__}: {error}') from error
            return {key: value for part in files for key, value in
                    tensors_of(load_weights(part), part).items()}
    raise FileNotFoundError(f'{folder} is a folder without any of '
                            f'{", ".join(names)}; name the file')


def _read_config(file: Path) -> Dict[str, Any]:
    """Activation and attention heads by transformers' ``config.json`` beside
    the weights, if there is one."""
    if not file.is_file():
        return {}
    config, hidden, acts = read_json(file), {}, set()
    try:
        for part, name in ('visual', 'vision'), ('text', 'text'):
            tower = config.get(f'{name}_config') or {}
            if 'hidden_act' in tower:
                acts.add(tower['hidden_act'])
            if 'num_attention_heads' in tower:
                heads = hidden[f'{part}_heads'] = tower['num_attention_heads']
                if type(heads) is not int or heads < 1:
                    raise TypeError(f'num_attention_heads is {heads!r}, no '
                                    'whole number from 1')
    except (AttributeError, TypeError) as error:
        raise ValueError(f'{file} is no config of a CLIPModel: '
                         f'{error}') from error
    if len(acts) > 1 or not acts <= {'quick_gelu', 'gelu'}:
        raise ValueError(f'{file}: hidden_act is {sorted(acts)}; OpenCLIP '
                         'computes quick_gelu or gelu, one for both towers')
    if acts:
        hidden['text_activation'] = dict(
            quick_gelu='QuickGELU', gelu='GELU')[acts.pop()]
    return hidden


def _describe_release(source: Source, config: Any) -> None:
    """Fill in the settings of a released file, from its config and paper."""

    def node(parent: Any, name: str) -> Any:
        return parent.get(name) if isinstance(parent, dict) else None

    trainer = node(node(config, 'TRAINER'), 'ViFi_CLIP')
    words = node(trainer, 'CTX_INIT')
    if not isinstance(words, str):
        words = 'a photo of a'
        source.notes.append(
            'the file\'s config could not be read: template, pixel '
            'statistics and activation are those of the paper')
    words = words.replace('_', ' ')
    settings = source.settings
    settings.update(
        pixel_mean=[123.675, 116.28, 103.53], to_rgb=False,  # ImageNet's
        pixel_std=[58.395, 57.12, 57.375], version=VERSION,
        descriptions=False, fusion='embedding', templates=[
            '{}' if node(trainer, 'ZS_EVAL') is True else
            f'{words} {{}}.'.strip()])
    for name, kind, value in (
            ('num_frames', int, node(node(config, 'DATA'), 'NUM_FRAMES')),
            ('tune', str, node(trainer, 'USE'))):
        if isinstance(value, kind):
            settings[name] = value
    for part in 'visual', 'text':
        tokens = source.neutral.weights.get(f'prompts.{part}')
        settings[f'{part}_prompts'] = None if tokens is None else dict(
            length=tokens.shape[1], depth=tokens.shape[0])
    if settings['text_prompts'] is None:
        return
    length, behind = settings['text_prompts']['length'], ''
    if length <= 4:  # else its code does not start from the words
        behind = words_behind(words, length,
                              build_tokenizer('ViT-B-16').encode)
    settings['text_prompts']['words'] = behind
    settings.update(tune='prompts', templates=['{}.'])
    if behind:
        source.notes.append(
            f'{length} learnt tokens stand before "{behind}": set init='
            f'{words!r} in the prompts of the text_classifier')
