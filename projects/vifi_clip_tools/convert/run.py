"""One conversion: read, convert, write, and account for every key."""
import io
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

import safetensors.torch
import torch
from mmengine.config import Config

from projects.vifi_clip.architectures import (Arch, build_tokenizer,
                                              get_arch_cfg)
from projects.vifi_clip.checkpoints import layouts
from projects.vifi_clip.checkpoints.files import (load_weights,
                                                  register_loader, tensors_of)
from projects.vifi_clip.checkpoints.folders import read_config
from projects.vifi_clip.checkpoints.layouts import (METHOD_PARTS, TOKENS,
                                                    Renamed, StateDict)
from projects.vifi_clip.checkpoints.settings import (KEY, VERSION, fingerprint,
                                                     saved_settings,
                                                     words_behind)
from projects.vifi_clip.files import write_bytes, write_text
from projects.vifi_clip.models.class_sentences import check_templates
from projects.vifi_clip.models.methods import NeighbourBackbone
from projects.vifi_clip.models.towers import read_clip_state_dict
from projects.vifi_clip.resources import root
from .arch import (contradictions, hidden_settings, infer_arch, misfit, shown,
                   tower_cfgs, with_image_size, xclip_config)
from .options import SOURCES, ConvertOptions, config_file

_OF_XCLIP = dict(xclip=layouts.write_xclip,
                 transformers=layouts.write_transformers)
_FUSION = 'fusion_model_state_dict'  # of ActionCLIP, beside the CLIP
_OPENAIS = ('release', 'openai', 'xclip', 'actionclip', 'efficient_prompting',
            'open_vclip')
# Sources to a METHOD of ours, and what to know where there are such weights.
_METHODS = dict(
    actionclip=(
        'actionclip',
        ('', 'templates and pixel statistics are those of METHOD=actionclip'),
        ('logit_scale', 'its test takes 100 in the place of the trained scale'
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
         'METHOD=open_vclip')))
_ORIGIN = ('OpenAI\'s ViT-B-16 for the paper\'s files, what pretrained= named '
           'for ours')
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


def _read_source(path: str, kind: str) -> Source:
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
        raise ValueError(f'{path} has not the layout of --source {kind}: its '
                         f'keys ({", ".join(list(state)[:3])} ...) are those '
                         f'of --source {" or ".join(fits)}')
    source = Source(layouts.read_layout(state, layout, path),
                    saved_settings(loaded), quick_gelu)
    activation = source.settings.get('text_activation')
    if kind in _OPENAIS:  # their code knows no other
        activation = activation or 'QuickGELU'
    if kind == 'release':
        for key in layouts.BUFFERS[:2]:
            buffer = state.get(key)
            if buffer is not None and buffer.ndim == 3 and buffer.numel():
                source.first_token = buffer[0, 0].float()
        if not source.settings:
            _describe_release(source, loaded.get('config'))
    elif kind == 'transformers':
        source.hidden.update(read_config(path))
    elif kind in _METHODS:
        _describe_method(source, kind)
    if layouts.POSITIONS in source.neutral.weights and not source.settings:
        source.settings.update(
            _IMAGENET, templates=['{}'], tune='image', text_prompts=None,
            visual_prompts=None,
            num_frames=len(source.neutral.weights[layouts.POSITIONS]))
        source.notes.append('template and pixel statistics are those of '
                            'X-CLIP\'s release')
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


def _describe_method(source: Source, kind: str) -> None:
    """Fill in the settings of a file, which holds none, from the config of
    its method."""
    method, *notes = _METHODS[kind]
    cfg = Config.fromfile(root() / f'configs/_base_/methods/{method}.py')
    text, weights = cfg.model.cls_head.text_classifier, source.neutral.weights
    prompts = text.get('prompts')
    source.settings.update(
        pixel_mean=cfg.model.data_preprocessor.mean, to_rgb=False,
        pixel_std=cfg.model.data_preprocessor.std, version=VERSION,
        descriptions=False, fusion=cfg.model.cls_head.fusion,
        visual_prompts=None, templates=check_templates(text.templates, '{}'),
        tune=cfg.model.tune, text_prompts=prompts and dict(
            length=prompts.before + prompts.behind, depth=1, words='',
            before=prompts.before, behind=prompts.behind))
    if cfg.model.backbone.type == 'NeighbourBackbone':
        source.settings['neighbours'] = NeighbourBackbone.neighbours
    source.notes += [note for part, note in notes
                     if any(name.startswith(part) for name in weights)]
    if layouts.POSITIONS in weights:
        source.notes.append('temporal.max_frames='
                            f'{len(weights[layouts.POSITIONS])}')


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


def convert(options: ConvertOptions) -> None:
    """Convert one file, write the other and the report, and print a summary;
    nothing is written where an input does not hold what is asked for."""
    register_loader(trust=options.trust)
    source = _read_source(options.src, options.source)
    base = read_clip_state_dict(options.clip) if options.clip else None
    if 'cls_head.projection.weight' in source.neutral.dropped:
        raise ValueError(f'{options.src} has cls_head.projection.weight: its '
                         'image tower is not CLIP\'s, and no other layout can '
                         'hold it')
    supplied = _supply(source, base, options)
    arch = _settle_arch(source, options)
    if base is not None and not supplied:
        source.notes.append('--clip had nothing to supply')
    written = _write(source.neutral.weights, base, arch, options)
    settings = dict(source.settings, version=VERSION, arch=arch,
                    **hidden_settings(arch))
    settings.pop('fingerprint', None)  # all weights are in the file now
    if any(name.startswith('prompts.') for name in written.dropped):
        settings.update(visual_prompts=None, text_prompts=None)
    if options.dst.endswith('.safetensors'):
        data = safetensors.torch.save(written.weights)
    else:
        parts = (dict(model=written.weights, epoch=0, max_accuracy=0.0)
                 if options.target in ('release', 'xclip') else
                 dict(state_dict=written.weights))
        buffer = io.BytesIO()
        torch.save({'meta': {KEY: settings}, **parts}, buffer)
        data = buffer.getbuffer()
    report = dict(
        source=options.src, layout=options.source, target=options.target,
        arch=arch, settings=settings, notes=source.notes,
        **_account(source.neutral, written, supplied, options.clip))
    write_bytes(options.dst, data)
    if options.target == 'transformers':
        write_text(str(config_file(options.dst)), json.dumps(
            xclip_config(arch, source.neutral.weights), indent=1))
    write_text(options.report, json.dumps(report, indent=1))
    size = os.path.getsize(options.dst) / 2**20
    print(f'{_summary(report)}\nwrote {options.dst} ({size:.1f} MiB); every '
          f'key is listed in {options.report}')


def _supply(source: Source, base: Optional[StateDict],
            options: ConvertOptions) -> List[str]:
    """Fill in from the base CLIP what such a file lacks; return the names."""
    weights, kind = source.neutral.weights, options.source
    released = kind == 'release' and options.target != 'release'
    if base is None:
        if released or (kind == 'vifi' and TOKENS not in weights):
            raise ValueError(
                f'{options.src} has no token embeddings: give the CLIP that '
                f'it was trained from ({_ORIGIN}) as --clip FILE')
        return []
    if TOKENS not in weights and TOKENS not in base and (
            options.target != 'release'):
        raise ValueError(f'--clip {options.clip} has no token embeddings '
                         f'either, which {options.src} lacks: give a whole '
                         'CLIP')
    supplied = {k: v for k, v in base.items() if k not in weights and
                (kind == 'vifi' or (released and k == TOKENS))}
    expected = source.settings.get('fingerprint')
    first, other = source.first_token, False
    if supplied and expected and kind == 'vifi':
        renamed = layouts.write_vifi(supplied).weights
        other = expected != fingerprint(renamed.items())
    elif first is not None and TOKENS in base:
        start = base[TOKENS][-2]  # the end of text is CLIP's last token
        other = start.shape != first.shape or not torch.allclose(
            start, first, atol=1e-3, rtol=1e-2)
    if other:
        raise ValueError(f'--clip {options.clip} is not the CLIP that '
                         f'{options.src} was trained from ({_ORIGIN})')
    weights.update(supplied)
    return list(supplied)


def _stated_arch(source: Source, path: str) -> Optional[Arch]:
    """The architecture that a file states, or None. A file may come from
    anybody: ValueError if it names another, here or on a hub."""
    arch = source.settings.get('arch')
    vision = arch.get('vision_cfg') if isinstance(arch, dict) else None
    timm = vision.get('timm_model_name') if isinstance(vision, dict) else None
    if ':' in str(timm) or isinstance(arch, str) and arch.endswith('.json'):
        raise ValueError(
            f'{path} states an architecture that lies elsewhere, '
            f'{timm or arch!r:.100}: if you know it, give it with --arch')
    return arch


def _settle_arch(source: Source, options: ConvertOptions) -> Arch:
    """The stated architecture, checked, or one that fits."""
    weights = source.neutral.weights
    arch = options.arch or _stated_arch(source, options.src)
    if arch is None:
        arch = infer_arch(weights, source.quick_gelu, source.hidden)
        heads = {'visual_heads', 'text_heads'} & source.hidden.keys()
        source.notes.append(
            'the architecture is told from the shapes' +
            ('' if isinstance(arch, str) or heads else
             '; the number of attention heads cannot be, and is taken as one '
             'for 64 channels (--arch says otherwise)'))
    name = shown(arch)
    if name.endswith('.json'):
        arch = get_arch_cfg(arch)  # the file may not travel
    if options.source == 'vifi':
        arch = with_image_size(arch, weights)
    faults = misfit(weights, arch,
                    (TOKENS, ) if options.target == 'release' else ())
    if faults:
        raise ValueError(
            f'{options.src} does not fit arch {name!r}:\n{faults}\nSay which '
            'it is with --arch, or leave that out: shapes tell')
    wrong = contradictions(source.hidden, arch)
    if options.arch and wrong:
        raise ValueError(
            f'{options.src} was made with {wrong} as in --arch {name}; its '
            'weights would fit and give wrong results')
    return arch


def _write(weights: StateDict, base: Optional[StateDict], arch: Arch,
           options: ConvertOptions) -> Renamed:
    """The weights in the target's layout, if it can hold them."""
    if options.target == 'vifi':
        return layouts.write_vifi(weights)
    _check_parts(weights, options)
    if options.target == 'open_clip':
        prompts = [name for name in weights if name.startswith('prompts.')]
        if prompts and not options.drop_prompts:
            raise ValueError(f'{options.src} has learnt prompts, which '
                             'OpenCLIP\'s models cannot hold: --drop-prompts '
                             'leaves them out')
        return layouts.write_open_clip(
            weights, bool(get_arch_cfg(arch).get('custom_text')))
    hidden = hidden_settings(arch)
    for part, cfg in zip(('visual', 'text'), tower_cfgs(arch)):
        traits = tuple(hidden.get(f'{part}_{name}')
                       for name in ('activation', 'heads'))
        # transformers' config.json says how many heads
        heads = (traits[1] if options.target == 'transformers' else
                 cfg.width // 64)
        if traits != ('QuickGELU', heads):
            raise ValueError(
                'the code of this layout computes QuickGELU and one attention '
                'head for 64 channels; this model\'s {} tower has {} and {} '
                'heads, and would give wrong results there'.format(
                    part, *traits))
    if options.target in _OF_XCLIP:
        return _OF_XCLIP[options.target](weights)
    tokens, other = weights.get(TOKENS), (base or {}).get(TOKENS)
    if tokens is not None and other is not None and (
            tokens.shape != other.shape or (tokens - other).abs().max() > 1e-3
    ):
        raise ValueError(
            f'{options.src} has other token embeddings than --clip '
            f'{options.clip}, from which the release\'s code takes them')
    return layouts.write_release(weights)


def _check_parts(weights: StateDict, options: ConvertOptions) -> None:
    """Refuse parts of a method that the target cannot hold, or needs."""
    for part in METHOD_PARTS:
        there = any(name.startswith(part) for name in weights)
        if there != (options.target in _OF_XCLIP):
            raise ValueError(f'{options.src} has ' + (
                f'{part}*, which --target {options.target} cannot hold'
                if there else f'no {part}*: --target {options.target} is for '
                'an X-CLIP'))


def _account(read: Renamed, written: Renamed, supplied: List[str],
             clip: Optional[str]) -> Dict[str, dict]:
    """Tell what became of each key: ``missing``, the target's that the source
    has not, to the file that supplied them; ``dropped``, the source's to the
    reason; ``used``, the source's to the target's."""
    targets: Dict[str, List[str]] = {}
    for name, key in written.pairs:
        targets.setdefault(name, []).append(key)
    used = {key: targets[name] for key, name in read.pairs if name in targets}
    dropped = dict(read.dropped)
    dropped.update((key, written.dropped[name]) for key, name in read.pairs
                   if name not in targets)
    missing = {key: clip for name in supplied for key in targets.get(name, [])}
    return dict(missing=missing, dropped=dropped, used=used)


def _summary(report: Dict[str, Any]) -> str:
    arch, settings = report['arch'], dict(report['settings'])
    lines = [f'arch: {arch if isinstance(arch, str) else json.dumps(arch)}',
             f'used: {len(report["used"])} keys of the source']
    for what, lead in ('dropped', 'it '), ('missing', 'taken from '):
        keys = report[what]
        lines += [] if keys else [f'{what}: none']
        for reason, count in Counter(keys.values()).most_common():
            names = [k for k, v in keys.items() if v == reason]
            more = ' ...' if count > 6 else ''
            lines.append(f'{what}: {count} ({", ".join(names[:6])}{more}): '
                         f'{lead}{reason}')
    del settings['arch'], settings['version']
    lines.append(f'made with: {json.dumps(settings)}')
    return '\n'.join(lines + [f'note: {note}' for note in report['notes']])
