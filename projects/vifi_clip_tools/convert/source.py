"""A source file: its weights, and what else is known of them."""
import json
import os.path as osp
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

import torch

from projects.vifi_clip.checkpoints.files import load_weights
from projects.vifi_clip.checkpoints.settings import KEY, VERSION, words_behind
from projects.vifi_clip.architectures import build_tokenizer
from projects.vifi_clip.checkpoints import transformers_clip
from projects.vifi_clip.checkpoints.layouts import (detect_layout, read_layout,
                                                    tensors_of)
from projects.vifi_clip.checkpoints.neutral import (TEXT_PROMPTS, TOKENS,
                                                    VISUAL_PROMPTS, Neutral,
                                                    StateDict)
from projects.vifi_clip.checkpoints.release import BUFFERS

# --source to the layout that its files have.
LAYOUT_OF = dict(
    release='release',
    openai='clip',
    open_clip='clip',
    transformers='transformers',
    vifi='vifi')
# Which activation each source's models have where no file states it. OpenAI's
# models, and all that derive from them, have QuickGELU.
_QUICK_GELU = dict(
    release=True, openai=True, open_clip=False, transformers=True, vifi=True)
_IMAGENET = dict(
    pixel_mean=[123.675, 116.28, 103.53], pixel_std=[58.395, 57.12, 57.375])


@dataclass
class Source:
    """What was read.

    Attributes:
        path (str): The file.
        kind (str): The ``--source``.
        neutral (Neutral): The weights.
        settings (dict): What the weights were made with, as
            :func:`projects.vifi_clip.checkpoints.settings.collect_settings` has
            it; of a bare CLIP, nothing.
        quick_gelu (bool): The activation.
        stated (bool): A file states the activation; else it is the source's
            usual one.
        heads (dict[str, int]): Attention heads, where a file states them.
        notes (list[str]): What was assumed.
        first_token (Tensor, optional): A start token's embedding, to know
            the base CLIP by.
    """
    path: str
    kind: str
    neutral: Neutral
    settings: Dict[str, Any] = field(default_factory=dict)
    quick_gelu: bool = True
    stated: bool = False
    heads: Dict[str, int] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)
    first_token: Optional[torch.Tensor] = None


def read_source(path: str, kind: str) -> Source:
    """Read a file of a stated kind.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged, or of another kind.
    """
    loaded = _load_folder(path) if osp.isdir(path) else load_weights(path)
    state = tensors_of(loaded, path)
    layout = detect_layout(state, path)
    if layout != LAYOUT_OF[kind]:
        fits = [k for k, name in LAYOUT_OF.items() if name == layout]
        raise ValueError(f'{path} has not the layout of --source {kind}: its '
                         f'keys ({", ".join(list(state)[:3])} ...) are those '
                         f'of --source {" or ".join(fits)}.')
    source = Source(path, kind, read_layout(state, layout, path))
    source.settings = _settings_in(loaded)
    source.quick_gelu = _QUICK_GELU[kind]
    if kind == 'release':
        _describe_release(source, loaded, state)
    elif kind == 'transformers':
        config = transformers_clip.read_config(path)
        source.heads = config.get('heads', {})
        source.quick_gelu = config.get('quick_gelu', source.quick_gelu)
        source.stated = 'quick_gelu' in config
    activation = source.settings.get('text_activation')
    if activation:
        source.quick_gelu = activation == 'QuickGELU'
    # OpenAI's code and the release's know no other activation.
    source.stated |= bool(activation) or kind in ('release', 'openai')
    if not source.stated:
        source.notes.append(
            f'the file does not state the activation: '
            f'{"QuickGELU" if source.quick_gelu else "GELU"} as is usual for '
            f'--source {kind}; --arch says otherwise')
    return source


def _load_folder(folder: str) -> StateDict:
    """The weights in a folder that transformers saved, in one file or in
    several with an index."""
    for name in transformers_clip.FILES:
        file = osp.join(folder, name)
        if osp.isfile(file):
            return load_weights(file)
        if osp.isfile(f'{file}.index.json'):
            state = {}
            for part in _parts(f'{file}.index.json'):
                part = osp.join(folder, osp.basename(part))
                state.update(tensors_of(load_weights(part), part))
            return state
    raise FileNotFoundError(f'{folder} is a folder without any of '
                            f'{", ".join(transformers_clip.FILES)}; name the '
                            'file.')


def _parts(index: str) -> List[str]:
    """The files that an index names."""
    try:
        with open(index, encoding='utf-8') as stream:
            parts = sorted(set(json.load(stream)['weight_map'].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{index} is no index of weights: '
                         f'{type(error).__name__}: {error}') from error
    if not parts or not all(isinstance(part, str) for part in parts):
        raise ValueError(f'{index} is no index of weights: its weight_map '
                         'names no files')
    return parts


def _settings_in(loaded: Any) -> Dict[str, Any]:
    """The settings that a file of ours, or one that we wrote, carries."""
    meta = loaded.get('meta') if isinstance(loaded, dict) else None
    found = meta.get(KEY) if isinstance(meta, dict) else None
    return dict(found) if isinstance(found, dict) else {}


def _describe_release(source: Source, loaded: dict, state: StateDict) -> None:
    """Settings of a released file, from its config and its paper."""
    buffer = next((state[k] for k in BUFFERS[:2] if k in state), None)
    if (buffer is not None and buffer.ndim == 3 and buffer.numel()
            and not buffer.is_meta):
        source.first_token = buffer[0, 0].float()
    if source.settings:
        return
    config = loaded.get('config')
    trainer = _get(config, 'TRAINER', 'ViFi_CLIP')
    words = _get(trainer, 'CTX_INIT')
    if not isinstance(words, str):
        words = 'a photo of a'
        source.notes.append(
            'the file\'s config could not be read: template, pixel '
            'statistics and activation are those of the paper')
    words = words.replace('_', ' ')
    settings = dict(
        _IMAGENET, version=VERSION, to_rgb=False, descriptions=False,
        fusion='embedding', templates=[f'{words} {{}}.'.strip()])
    if _get(trainer, 'ZS_EVAL') is True:
        settings['templates'] = ['{}']
    for name, kind, value in (
            ('num_frames', int, _get(config, 'DATA', 'NUM_FRAMES')),
            ('tune', str, _get(trainer, 'USE'))):
        if isinstance(value, kind):
            settings[name] = value
    source.settings = settings
    _describe_prompts(source, words)


def _describe_prompts(source: Source, words: str) -> None:
    """Sizes of the prompts, and the words that they stand before."""
    settings, weights = source.settings, source.neutral.weights
    for name, key in (('visual_prompts', VISUAL_PROMPTS),
                      ('text_prompts', TEXT_PROMPTS)):
        tokens = weights.get(key)
        settings[name] = None if tokens is None else dict(
            length=tokens.shape[1], depth=tokens.shape[0])
    if settings['text_prompts'] is None:
        return
    length, behind = settings['text_prompts']['length'], ''
    if length <= 4:  # else its code does not start from the words
        behind = words_behind(words, length, build_tokenizer(
            'ViT-B-16').encode)
    settings['text_prompts']['words'] = behind
    settings.update(tune='prompts', templates=['{}.'])
    if behind:
        source.notes.append(
            f'{length} learnt tokens stand before "{behind}": set init='
            f'{words!r} in the prompts of the text_classifier')


def _get(node: Any, *names: str) -> Any:
    for name in names:
        node = node.get(name) if isinstance(node, dict) else None
    return node


def check_base(source: Source, base: StateDict, path: str) -> None:
    """Whether a base CLIP is the one that a released file came from.

    Raises:
        ValueError: Its start token has another embedding.
    """
    tokens = base.get(TOKENS)
    if source.first_token is None or tokens is None:
        return
    start = tokens[-2]  # the end of text is CLIP's last token
    if start.shape != source.first_token.shape or not torch.allclose(
            start, source.first_token, atol=1e-3, rtol=1e-2):
        raise ValueError(
            f'--clip {path} is not the CLIP that {source.path} was trained '
            'from: its start token has another embedding. Give the same CLIP '
            '(OpenAI\'s ViT-B-16 for the paper\'s files).')
