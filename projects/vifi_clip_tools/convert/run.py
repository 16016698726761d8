"""One conversion: read, convert, write, and account for every key."""
import io
import json
import os
from collections import Counter
from typing import Any, Dict, List, Optional, Tuple

import safetensors.torch
import torch

from projects.vifi_clip.architectures import Arch, get_arch_cfg
from projects.vifi_clip.checkpoints.layouts import (TOKENS, Renamed, StateDict,
                                                    write_open_clip,
                                                    write_release, write_vifi)
from projects.vifi_clip.checkpoints.settings import KEY, VERSION, fingerprint
from projects.vifi_clip.files import write_bytes, write_text
from projects.vifi_clip.models.pretrained import read_clip_state_dict

from .arch import (hidden_settings, infer_arch, misfit, shown, tower_cfgs,
                   with_image_size)
from .options import ConvertOptions
from .source import Source, check_base, read_source

_PROJECTION = 'cls_head.projection.weight'
_MOST_LISTED = 6


def convert_file(options: ConvertOptions) -> None:
    """Do what the command line asks for. Nothing is written if an input does
    not hold what is needed (ValueError)."""
    source = read_source(options.src, options.source)
    base = read_clip_state_dict(options.clip) if options.clip else None
    content, report = convert(source, options.target, base, options.clip,
                              options.arch, options.drop_prompts)
    if options.dst.endswith('.safetensors'):
        data = safetensors.torch.save(content['state_dict'])
    else:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        data = buffer.getbuffer()
    write_bytes(options.dst, data)
    write_text(options.report, json.dumps(report, indent=1))
    size = os.path.getsize(options.dst) / 2**20
    print(f'{summary(report)}\nwrote {options.dst} ({size:.1f} MiB); every '
          f'key is listed in {options.report}')


def convert(source: Source,
            target: str,
            base: Optional[StateDict] = None,
            base_path: Optional[str] = None,
            arch: Optional[Arch] = None,
            drop_prompts: bool = False
            ) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Make the content of the target file.

    Args:
        source (Source): From :func:`read_source`.
        target (str): One of :data:`~.options.TARGETS`.
        base (dict[str, Tensor], optional): A whole CLIP's weights, from
            :func:`projects.vifi_clip.models.pretrained.read_clip_state_dict`,
            for what the source lacks.
        base_path (str, optional): Its file, for messages.
        arch (str | dict, optional): Defaults to None: told from the weights.
        drop_prompts (bool): Leave learnt prompts out of an OpenCLIP file.

    Returns:
        tuple[dict, dict]: What to save, and the report: ``source``,
        ``layout``, ``target``, ``arch``, ``settings`` (what travels with the
        weights), ``notes`` (what was assumed), and of the keys ``missing``
        (the target's that the source has not, to the file that supplied
        them), ``dropped`` (the source's, to the reason) and ``used`` (the
        source's, to the target's).

    Raises:
        ValueError: Weights are missing or of another architecture, or the
            target cannot hold them.
    """
    neutral = source.neutral
    if _PROJECTION in neutral.dropped:
        raise ValueError(f'{source.path} has {_PROJECTION}: its image tower '
                         'is not CLIP\'s, and no other layout can hold it')
    supplied = _supply(source, base, base_path, target)
    arch = _settle_arch(source, arch, target)
    if target == 'vifi':
        written = write_vifi(neutral.weights)
    elif target == 'release':
        _check_release(arch)
        tokens, other = neutral.weights.get(TOKENS), (base or {}).get(TOKENS)
        if tokens is not None and other is not None and (
                tokens.shape != other.shape
                or (tokens - other).abs().max() > 1e-3):
            raise ValueError(
                f'{source.path} has other token embeddings than --clip '
                f'{base_path}, from which the release\'s code takes them')
        written = write_release(neutral.weights)
    else:
        prompts = [k for k in neutral.weights if k.startswith('prompts.')]
        if prompts and not drop_prompts:
            raise ValueError(
                f'{source.path} has learnt prompts ({", ".join(prompts)}), '
                'for which OpenCLIP\'s models have no place; --drop-prompts '
                'leaves them out (the embeddings are then others)')
        written = write_open_clip(neutral.weights, bool(
            get_arch_cfg(arch).get('custom_text')))
    settings = dict(source.settings, version=VERSION, arch=arch,
                    **hidden_settings(arch))
    settings.pop('fingerprint', None)  # all weights are in the file now
    if any(name.startswith('prompts.') for name in written.dropped):
        settings.update(visual_prompts=None, text_prompts=None)
    if base is not None and not supplied:
        source.notes.append('--clip had nothing to supply')
    content: Dict[str, Any] = {'meta': {KEY: settings}}
    if target == 'release':
        content.update(model=written.weights, epoch=0, max_accuracy=0.0)
    else:
        content.update(state_dict=written.weights)
    return content, dict(
        source=source.path, layout=source.kind, target=target, arch=arch,
        settings=settings, notes=source.notes,
        **_account(neutral, written, {name: base_path for name in supplied}))


def _supply(source: Source, base: Optional[StateDict], path: Optional[str],
            target: str) -> List[str]:
    """Fill in from the base CLIP what such a file lacks; return the names."""
    weights, kind = source.neutral.weights, source.kind
    if base is None:
        if kind == 'release' and target != 'release':
            raise ValueError(
                f'{source.path} has no token embeddings, as all files of the '
                'release: give the CLIP that it was trained from as --clip '
                'FILE (OpenAI\'s ViT-B-16 for the paper\'s files)')
        if kind == 'vifi' and TOKENS not in weights:
            raise ValueError(
                f'{source.path} holds only what was trained: give the file '
                'that pretrained= named in its training as --clip FILE')
        return []
    if TOKENS not in weights and TOKENS not in base and target != 'release':
        raise ValueError(f'--clip {path} has no token embeddings either, '
                         f'which {source.path} lacks: give a whole CLIP')
    supplied: StateDict = {}
    if kind == 'vifi':
        supplied = {k: v for k, v in base.items() if k not in weights}
        expected = source.settings.get('fingerprint')
        if supplied and expected and expected != fingerprint(
                write_vifi(supplied).weights.items()):
            raise ValueError(
                f'--clip {path} is not what {source.path} was trained on (the '
                'fingerprints differ): give what pretrained= named there')
    elif kind == 'release':
        check_base(source, base, path)
        if target != 'release' and TOKENS not in weights:
            supplied = {TOKENS: base[TOKENS]}
    weights.update(supplied)
    return list(supplied)


def _settle_arch(source: Source, stated: Optional[Arch], target: str) -> Arch:
    """The stated architecture, checked, or one that fits."""
    weights = source.neutral.weights
    arch = source.settings.get('arch') if stated is None else stated
    if arch is None:
        arch = infer_arch(weights, source.quick_gelu, source.heads)
        source.notes.append(
            'the architecture is told from the shapes' +
            ('' if isinstance(arch, str) or source.heads else
             '; the number of attention heads cannot be, and is taken as one '
             'for 64 channels (--arch says otherwise)'))
    name = shown(arch)
    if name.endswith('.json'):
        arch = get_arch_cfg(arch)  # the file may not travel
    if source.kind == 'vifi':
        arch = with_image_size(arch, weights)
    faults = misfit(weights, arch, (TOKENS, ) if target == 'release' else ())
    if faults:
        raise ValueError(
            f'{source.path} does not fit arch {name!r}:\n{faults}\nSay which '
            'it is with --arch, or leave that out: shapes tell')
    if stated is None:
        return arch
    known: Dict[str, Any] = {f'{k}_heads': v for k, v in source.heads.items()}
    if source.stated:
        known['text_activation'] = ('QuickGELU' if source.quick_gelu else
                                    'GELU')
    hidden = hidden_settings(arch)
    wrong = [f'{key} {value!r} and not {hidden[key]!r}'
             for key, value in known.items()
             if hidden.get(key, value) != value]
    if wrong:
        raise ValueError(
            f'{source.path} was made with {", ".join(wrong)} as in --arch '
            f'{name}; its weights would fit and give wrong results')
    return arch


def _check_release(arch: Arch) -> None:
    """Refuse what the release's code would compute otherwise."""
    hidden = hidden_settings(arch)
    heads = {part: cfg.width // 64
             for part, cfg in zip(('visual', 'text'), tower_cfgs(arch))}
    wrong = [
        f'{part}: {hidden.get(f"{part}_activation")} and '
        f'{hidden.get(f"{part}_heads")} heads' for part in heads
        if hidden.get(f'{part}_activation') != 'QuickGELU'
        or hidden.get(f'{part}_heads') != heads[part]
    ]
    if wrong:
        raise ValueError(
            'the release\'s code computes QuickGELU and one attention head '
            f'for 64 channels ({heads}); this model has {"; ".join(wrong)}, '
            'and would give wrong results there')


def _account(read: Renamed, written: Renamed, supplied: Dict[str, str]
             ) -> Dict[str, dict]:
    """Join what reading and writing noted down of each key."""
    targets: Dict[str, List[str]] = {}
    for name, key in written.pairs:
        targets.setdefault(name, []).append(key)
    used = {key: targets[name] for key, name in read.pairs if name in targets}
    dropped = dict(read.dropped)
    dropped.update((key, written.dropped[name]) for key, name in read.pairs
                   if name not in targets)
    missing = {key: path for name, path in supplied.items()
               for key in targets.get(name, [])}
    return dict(missing=missing, dropped=dropped, used=used)


def summary(report: Dict[str, Any]) -> str:
    """Return a few lines for the terminal."""
    arch = report['arch']
    lines = [
        f'arch: {arch if isinstance(arch, str) else json.dumps(arch)}',
        f'used: {len(report["used"])} keys of the source'
    ]
    for what, lead in ('dropped', 'it '), ('missing', 'taken from '):
        keys = report[what]
        if not keys:
            lines.append(f'{what}: none')
        for reason, count in Counter(keys.values()).most_common():
            names = [k for k, v in keys.items() if v == reason]
            more = ' ...' if count > _MOST_LISTED else ''
            lines.append(f'{what}: {count} ({", ".join(names[:_MOST_LISTED])}'
                         f'{more}): {lead}{reason}')
    settings = {k: v for k, v in report['settings'].items()
                if k not in ('arch', 'version')}
    if settings:
        lines.append(f'made with: {json.dumps(settings)}')
    return '\n'.join(lines + [f'note: {note}' for note in report['notes']])
