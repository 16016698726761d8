"""One conversion: read, convert, write, and account for every key."""
import json
import os
from collections import Counter
from typing import Any, Dict, List, Optional

import safetensors.torch
import torch

from projects.vifi_clip.architectures import Arch, get_arch_cfg
from projects.vifi_clip.checkpoints import layouts
from projects.vifi_clip.checkpoints.files import register_loader
from projects.vifi_clip.checkpoints.layout_names import (METHOD_PARTS, TOKENS,
                                                         XCLIP_PARTS)
from projects.vifi_clip.checkpoints.layouts import Renamed, StateDict
from projects.vifi_clip.checkpoints.settings import (KEY, VERSION,
                                                     fingerprint,
                                                     write_checkpoint)
from projects.vifi_clip.files import write_bytes, write_text
from projects.vifi_clip.models.towers import read_clip_state_dict
from .arch import (contradictions, hidden_settings, infer_arch, misfit, shown,
                   tower_cfgs, with_image_size)
from .hugging_face import check_clip, clip_files, is_xclip, xclip_config
from .options import ConvertOptions, files_beside
from .source import RELEASES, Source, read_source

_OTHERS = 'Use vifi-clip export (ONNX), or push, which keep all of it'
_ORIGIN = ('OpenAI\'s ViT-B-16 for the paper\'s files, what pretrained= named '
           'for ours')


def convert(options: ConvertOptions) -> None:
    """Convert one file, write the other and the report, and print a summary;
    nothing is written where an input does not hold what is asked for."""
    register_loader(trust=options.trust)
    source = read_source(options.src, options.source)
    base = read_clip_state_dict(options.clip) if options.clip else None
    if 'cls_head.projection.weight' in source.neutral.dropped:
        raise ValueError(f'{options.src} has cls_head.projection.weight: its '
                         'image tower is not CLIP\'s, and no other layout can '
                         'hold it')
    supplied = _supply(source, base, options)
    arch = _settle_arch(source, options)
    if base is not None and not supplied:
        source.notes.append('--clip had nothing to supply')
    xclip = options.target == 'xclip' or is_xclip(source.neutral.weights)
    if options.target == 'transformers' and not xclip:
        check_clip(arch, source.settings, options.src)
    written = _write(source.neutral.weights, base, arch, options, xclip)
    settings = dict(source.settings, version=VERSION, arch=arch,
                    **hidden_settings(arch))
    settings.pop('fingerprint', None)  # all weights are in the file now
    if any(name.startswith('prompts.') for name in written.dropped):
        settings.update(visual_prompts=None, text_prompts=None)
    report = dict(
        source=options.src, layout=options.source, target=options.target,
        arch=arch, settings=settings, notes=source.notes,
        **_account(source.neutral, written, supplied, options.clip))
    if options.dst.endswith('.safetensors'):
        write_bytes(options.dst, safetensors.torch.save(
            written.weights, {'format': 'pt', KEY: json.dumps(settings)}))
    else:
        write_checkpoint(options.dst, settings, **(
            dict(model=written.weights, epoch=0, max_accuracy=0.0)
            if options.target in ('release', 'xclip') else
            dict(state_dict=written.weights)))
    if options.target == 'transformers':
        files = {'config.json': json.dumps(xclip_config(
            arch, source.neutral.weights), indent=1)} if xclip else (
            clip_files(arch, settings))
        for file in files_beside(options.dst):
            if file.name in files:
                write_text(str(file), files[file.name])
    write_text(options.report, json.dumps(report, indent=1))
    size = os.path.getsize(options.dst) / 2**20
    print(f'{_summary(report)}\nwrote {options.dst} ({size:.1f} MiB); every '
          f'key is listed in {options.report}')


def _supply(source: Source, base: Optional[StateDict],
            options: ConvertOptions) -> List[str]:
    """Fill in from the base CLIP what such a file lacks; return the names."""
    weights, kind = source.neutral.weights, options.source
    released = kind in RELEASES and options.target != 'release'
    if base is None:
        if released or (kind == 'vifi' and TOKENS not in weights):
            raise ValueError(
                f'{options.src} has no token embeddings: give the CLIP that '
                f'it was trained from ({_ORIGIN}) as --clip FILE')
        return []
    if TOKENS not in weights and TOKENS not in base and (
            options.target != 'release'):
        raise ValueError(f'--clip {options.clip} has no token embeddings '
                         f'either, which {options.src} lacks: give a complete '
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
            f'{path} states an architecture that is elsewhere, '
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
            'the architecture is inferred from the shapes' +
            ('' if isinstance(arch, str) or heads else
             '; the number of attention heads cannot be: one per 64 channels '
             'is assumed (--arch overrides this)'))
    name = shown(arch)
    if name.endswith('.json'):
        arch = get_arch_cfg(arch)  # the file may not travel
    if options.source == 'vifi':
        arch = with_image_size(arch, weights)
    faults = misfit(weights, arch,
                    (TOKENS, ) if options.target == 'release' else ())
    if faults:
        raise ValueError(
            f'{options.src} does not fit arch {name!r}:\n{faults}\nGive the '
            'right one with --arch, or leave it out to go by the shapes')
    wrong = contradictions(source.hidden, arch)
    if options.arch and wrong:
        raise ValueError(
            f'{options.src} was made with {wrong} as in --arch {name}; its '
            'weights would fit and give wrong results')
    return arch


def _write(weights: StateDict, base: Optional[StateDict], arch: Arch,
           options: ConvertOptions, xclip: bool) -> Renamed:
    """The weights in the target's layout, if it can hold them."""
    target = options.target
    if target == 'vifi':
        return layouts.write_vifi(weights)
    _check_parts(weights, options, xclip)
    if target == 'open_clip' or target == 'transformers' and not xclip:
        _check_prompts(weights, options)
        return (layouts.write_open_clip(
            weights, bool(get_arch_cfg(arch).get('custom_text')))
            if target == 'open_clip' else layouts.write_transformers(weights))
    _check_traits(arch, target)
    if target == 'xclip':
        return layouts.write_xclip(weights)
    if target == 'transformers':
        return layouts.write_transformers(weights, xclip=True)
    tokens, other = weights.get(TOKENS), (base or {}).get(TOKENS)
    if tokens is not None and other is not None and (
            tokens.shape != other.shape or (tokens - other).abs().max() > 1e-3
    ):
        raise ValueError(
            f'{options.src} has other token embeddings than --clip '
            f'{options.clip}, from which the release\'s code takes them')
    return layouts.write_release(weights)


def _check_prompts(weights: StateDict, options: ConvertOptions) -> None:
    """Refuse learnt prompts, unless they may be left out."""
    if not options.drop_prompts and any(
            name.startswith('prompts.') for name in weights):
        raise ValueError(f'{options.src} has learnt prompts, which --target '
                         f'{options.target} cannot hold: --drop-prompts '
                         f'leaves them out. {_OTHERS}')


def _check_traits(arch: Arch, target: str) -> None:
    """Refuse what the code of X-CLIP and of the release would compute in
    another way."""
    hidden = hidden_settings(arch)
    for part, cfg in zip(('visual', 'text'), tower_cfgs(arch)):
        traits = tuple(hidden.get(f'{part}_{name}')
                       for name in ('activation', 'heads'))
        # transformers' config.json says how many heads
        heads = traits[1] if target == 'transformers' else cfg.width // 64
        if traits != ('QuickGELU', heads):
            raise ValueError(
                'the code of this layout computes QuickGELU and one attention '
                'head for 64 channels; this model\'s {} tower has {} and {} '
                'heads, and would give wrong results there'.format(
                    part, *traits))


def _check_parts(weights: StateDict, options: ConvertOptions,
                 xclip: bool) -> None:
    """Refuse parts of a method that the target cannot hold, or needs."""
    xclip = xclip and options.target in ('xclip', 'transformers')
    for part in METHOD_PARTS:
        there = any(name.startswith(part) for name in weights)
        if there != (xclip and part in XCLIP_PARTS):
            raise ValueError(f'{options.src} has ' + (
                f'{part}*, which --target {options.target} cannot hold. '
                f'{_OTHERS}'
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
