"""A file to convert: its weights, and what it was made with."""
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

import torch
from mmengine.config import Config

from projects.vifi_clip.architectures import build_tokenizer
from projects.vifi_clip.checkpoints import layouts
from projects.vifi_clip.checkpoints.files import load_weights, tensors_of
from projects.vifi_clip.checkpoints.folders import read_config
from projects.vifi_clip.checkpoints.layout_names import (BUFFERS, POSITIONS,
                                                         TEXT_PROMPTS)
from projects.vifi_clip.checkpoints.layouts import Renamed
from projects.vifi_clip.checkpoints.settings import (VERSION, saved_settings,
                                                     words_behind)
from projects.vifi_clip.models.class_sentences import (NAMED_TEMPLATES,
                                                       check_templates)
from projects.vifi_clip.models.methods import NeighbourBackbone
from projects.vifi_clip_configs.shipped import root
from .options import SOURCES

_FUSION = 'fusion_model_state_dict'  # of ActionCLIP, beside the CLIP
_OPENAIS = ('release', 'openai', 'xclip', 'actionclip', 'efficient_prompting',
            'open_vclip', 'froster', 'tc_clip')
RELEASES = 'release', 'tc_clip'  # which lack token embeddings
# Sources to a METHOD of ours, and what to know where there are such weights.
_METHODS = dict(
    actionclip=(
        'actionclip',
        ('', 'templates and pixel statistics are those of METHOD=actionclip'),
        ('logit_scale', 'its test uses 100 instead of the trained scale'
         ),
        ('temporal.blocks', 'TEMPORAL=transf; of MMAction2\'s port, '
         'model.cls_head.temporal.eps=1e-5'),
        ('temporal.lstm', 'TEMPORAL=lstm'),
        ('temporal.token', 'TEMPORAL=transf_cls'),
        ('temporal.conv', 'TEMPORAL=conv1d, '
         'model.cls_head.temporal.reinterpret=True')),
    efficient_prompting=(
        'a5',
        ('', 'template, pixel statistics and places of the learnt tokens are '
         'those of METHOD=a5, as in their command for HMDB-51'),
        ('', 'their frames were read with blue and red exchanged'),
        ('temporal.blocks.1.', 'two temporal layers or more are METHOD=a6')),
    open_vclip=(
        'open_vclip',
        ('', 'attention, fusion, templates and pixel statistics are those of '
         'METHOD=open_vclip')),
    froster=(
        'open_vclip',
        ('', 'attention, fusion and pixel statistics are those of '
         'METHOD=open_vclip, TUNE=both'),
        ('', 'texts are those of TEMPLATE=product: give their DESCRIPTIONS')),
    tc_clip=(
        'tc_clip',
        ('', 'frames, context, words and pixel statistics are those of '
         'METHOD=tc_clip'),
        ('prompt_layer.', 'its prompts look at the video: '
         'CONTEXT_PROMPTS=on')))
# What its method's config does not say of a source.
_SETTINGS = dict(froster=dict(
    templates=NAMED_TEMPLATES['product'], descriptions=True, tune='both'))
# What both papers' releases share.
_IMAGENET = dict(
    pixel_mean=[123.675, 116.28, 103.53], to_rgb=False,
    pixel_std=[58.395, 57.12, 57.375], version=VERSION, descriptions=False,
    fusion='embedding')


@dataclass
class Source:
    """A source file's content."""
    neutral: Renamed  # the weights in the neutral layout
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
    loaded = load_weights(path)
    state = tensors_of(loaded)
    if _FUSION in loaded:
        state.update((f'fusion.{name}', value) for name, value in tensors_of(
            load_weights(f'{path}#{_FUSION}')).items())
    layout = layouts.detect_layout(state, path)
    expected, quick_gelu = SOURCES[kind]
    if layout != expected:
        fits = [name for name in SOURCES if SOURCES[name][0] == layout]
        raise ValueError(f'{path} does not have the layout of --source '
                         f'{kind}: its keys ({", ".join(list(state)[:3])} '
                         f'...) are those of --source {" or ".join(fits)}')
    source = Source(layouts.read_layout(state, layout, path),
                    saved_settings(loaded), quick_gelu)
    activation = source.settings.get('text_activation')
    if kind in _OPENAIS:  # their code knows no other
        activation = activation or 'QuickGELU'
    if kind in RELEASES:
        for key in BUFFERS[:2]:
            buffer = state.get(key)
            if buffer is not None and buffer.ndim == 3 and buffer.numel():
                source.first_token = buffer[0, 0].float()
        if kind == 'release' and not source.settings:
            _describe_release(source, loaded.get('config'))
    if kind == 'transformers':
        source.hidden.update(read_config(path))
    elif kind in _METHODS:
        _describe_method(source, kind)
    if POSITIONS in source.neutral.weights and not source.settings:
        source.settings.update(
            _IMAGENET, templates=['{}'], tune='image', text_prompts=None,
            visual_prompts=None,
            num_frames=len(source.neutral.weights[POSITIONS]))
        source.notes.append('template and pixel statistics are those of '
                            'X-CLIP\'s release')
    if activation:
        source.hidden['text_activation'] = activation
    if 'text_activation' in source.hidden:
        source.quick_gelu = source.hidden['text_activation'] == 'QuickGELU'
    else:
        source.notes.append(
            'the file does not state the activation: '
            f'{"QuickGELU" if quick_gelu else "GELU"} as is usual for '
            f'--source {kind}; --arch overrides this')
    return source


def _describe_method(source: Source, kind: str) -> None:
    """Fill in the settings of a file, which holds none, from the config of
    its method."""
    method, *notes = _METHODS[kind]
    cfg = Config.fromfile(root() / f'configs/_base_/methods/{method}.py')
    text, weights = cfg.model.cls_head.text_classifier, source.neutral.weights
    prompts = text.get('prompts') if kind == 'efficient_prompting' else None
    source.settings.update(
        pixel_mean=cfg.model.data_preprocessor.mean, to_rgb=False,
        pixel_std=cfg.model.data_preprocessor.std, version=VERSION,
        method=method, descriptions=False, fusion=cfg.model.cls_head.fusion,
        visual_prompts=None, templates=check_templates(text.templates, '{}'),
        tune=cfg.model.tune, text_prompts=prompts and dict(
            length=prompts.before + prompts.behind, depth=1, words='',
            before=prompts.before, behind=prompts.behind))
    source.settings.update(_SETTINGS.get(kind, {}))
    backbone, tokens = cfg.model.backbone, weights.get(TEXT_PROMPTS)
    if backbone.type == 'NeighbourBackbone':
        source.settings['neighbours'] = NeighbourBackbone.neighbours
    if backbone.type == 'ContextBackbone':
        source.settings.update(num_frames=cfg.recipe.num_frames, context={
            name: backbone[name] for name in ('length', 'ratio', 'step')})
    if tokens is not None:  # [1, n, width], in the place of the words
        source.settings.update(templates=['{}.'], text_prompts=dict(
            length=tokens.shape[1], depth=len(tokens), words=''))
    source.notes += [note for part, note in notes
                     if any(name.startswith(part) for name in weights)]
    if POSITIONS in weights:
        source.notes.append('temporal.max_frames='
                            f'{len(weights[POSITIONS])}')


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
    settings.update(_IMAGENET, templates=[
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
