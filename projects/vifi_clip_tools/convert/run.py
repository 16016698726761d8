"""One conversion: from a source that was read to a file's content."""
from typing import Any, Dict, Optional, Tuple

from projects.vifi_clip.checkpoints.settings import KEY, VERSION, fingerprint
from projects.vifi_clip.architectures import Arch, get_arch_cfg
from .arch import check_arch, infer_arch, misfit, with_image_size
from projects.vifi_clip.checkpoints.layouts import (OURS, write_open_clip,
                                                    write_vifi)
from projects.vifi_clip.checkpoints.neutral import TOKENS, StateDict, Written
from projects.vifi_clip.checkpoints.release import write_release
from .report import Report
from .source import Source, check_base

_PROJECTION = 'cls_head.projection.weight'
TARGETS = ('vifi', 'open_clip', 'release')


def convert(source: Source,
            target: str,
            base: Optional[StateDict] = None,
            base_path: str = '',
            arch: Optional[Arch] = None,
            drop_prompts: bool = False) -> Tuple[Dict[str, Any], Report]:
    """Make the content of the target file.

    Args:
        source (Source): From :func:`read_source`.
        target (str): One of :data:`TARGETS`.
        base (dict[str, Tensor], optional): A whole CLIP's weights, from
            :func:`projects.vifi_clip.models.pretrained.read_clip_state_dict`,
            for what the source lacks.
        base_path (str): Its file, for messages.
        arch (str | dict, optional): Defaults to None: told from the weights.
        drop_prompts (bool): Leave learnt prompts out of an OpenCLIP file.

    Returns:
        tuple[dict, Report]: What to save, and the account of it.

    Raises:
        ValueError: Weights are missing or of another architecture, or the
            target cannot hold them.
    """
    if _PROJECTION in source.neutral.dropped:
        raise ValueError(f'{source.path} has {_PROJECTION}: its image tower '
                         'is not CLIP\'s, and no other layout can hold it.')
    supplied = _supply(source, base, base_path, target)
    arch = _settle_arch(source, arch, target)
    written = _write(source, target, arch, base, drop_prompts)
    settings = dict(source.settings, version=VERSION, arch=arch,
                    **_hidden(arch))
    settings.pop('fingerprint', None)  # all weights are in the file now
    if any(name.startswith('prompts.') for name in written.dropped):
        settings.update(visual_prompts=None, text_prompts=None)
    if base is not None and not supplied:
        source.notes.append('--clip had nothing to supply')
    content: Dict[str, Any] = {'meta': {KEY: settings}}
    if target == 'release':
        content.update(model=written.state, epoch=0, max_accuracy=0.0)
    else:
        content.update(state_dict=written.state)
    return content, Report.of(source, written, supplied, target, settings)


def _write(source: Source, target: str, arch: Arch, base: Optional[StateDict],
           drop_prompts: bool) -> Written:
    """The weights in the target's layout."""
    weights = source.neutral.weights
    if target == 'vifi':
        return write_vifi(weights)
    if target == 'release':
        _check_release(arch)
        _compare_tokens(weights, base)
        return write_release(weights)
    prompts = [name for name in weights if name.startswith('prompts.')]
    if prompts and not drop_prompts:
        raise ValueError(
            f'{source.path} has learnt prompts ({", ".join(prompts)}), for '
            'which OpenCLIP\'s models have no place; without them the towers '
            'give other embeddings. --drop-prompts leaves them out.')
    return write_open_clip(weights, bool(get_arch_cfg(arch).get(
        'custom_text')))


def _supply(source: Source, base: Optional[StateDict], path: str,
            target: str) -> Dict[str, str]:
    """Fill in what such a file never holds; returns names and origins."""
    weights = source.neutral.weights
    lacking = []
    if source.kind == 'release' and target != 'release':
        lacking = [TOKENS]
        if base is None:
            raise ValueError(
                f'{source.path} is a released file, which has no token '
                f'embeddings: --target {target} needs --clip FILE, the CLIP '
                'that it was trained from (OpenAI\'s ViT-B-16 for the '
                'paper\'s files).')
    if base is None:
        if source.kind == 'vifi' and TOKENS not in weights:
            raise ValueError(
                f'{source.path} holds only what was trained '
                '(save_trainable_only): give the file that pretrained= named '
                'in its training as --clip FILE.')
        return {}
    if TOKENS not in weights and TOKENS not in base and target != 'release':
        raise ValueError(
            f'--clip {path} has no token embeddings either ({TOKENS}), which '
            f'{source.path} lacks: give a whole CLIP.')
    if source.kind == 'vifi':
        lacking = [k for k in base if k not in weights]
    elif source.kind == 'release':
        check_base(source, base, path)
    supplied = {k: base[k] for k in lacking
                if k in base and k not in weights}
    if source.kind == 'vifi':
        _check_fingerprint(source, supplied, path)
    weights.update(supplied)
    return {name: path for name in supplied}


def _check_fingerprint(source: Source, supplied: StateDict,
                       path: str) -> None:
    """A file of what was trained must get the weights it was trained on."""
    expected = source.settings.get('fingerprint')
    if not supplied or not expected:
        return
    named = {}
    for name, value in supplied.items():
        old, new = next((o, n) for o, n in OURS.items() if name.startswith(n))
        if name == 'logit_scale':
            value = value.reshape(())
        named[old + name[len(new):]] = value
    if fingerprint(named.items()) != expected:
        raise ValueError(
            f'--clip {path} is not what {source.path} was trained on: the '
            'fingerprints differ. Give the file that pretrained= named in '
            'its training.')


def _settle_arch(source: Source, arch: Optional[Arch], target: str) -> Arch:
    """The stated architecture, checked, or one that fits."""
    weights = source.neutral.weights
    lacking = (TOKENS, ) if target == 'release' else ()
    stated = arch
    if arch is None and source.settings.get('arch') is not None:
        arch = source.settings['arch']
    if arch is None:
        arch = infer_arch(weights, source.quick_gelu, source.heads)
        source.notes.append(
            'the architecture is told from the shapes' +
            ('' if isinstance(arch, str) or source.heads else
             '; the number of attention heads cannot be, and is taken as one '
             'for 64 channels (--arch says otherwise)'))
    shown = arch if isinstance(arch, str) else '<dict>'
    if shown.endswith('.json'):
        arch = get_arch_cfg(arch)  # the file may not travel
    check_arch(arch, shown)
    if source.kind == 'vifi':
        arch = with_image_size(arch, weights)
    found = misfit(weights, arch, lacking)
    if found:
        raise ValueError(
            f'{source.path} does not fit arch {shown!r}:\n{found}\nSay which '
            'it is with --arch, or leave --arch out to have it told from the '
            'shapes.')
    if stated is not None:
        _check_hidden(source, shown, _hidden(arch))
    return arch


def _check_hidden(source: Source, shown: str, hidden: Dict[str, Any]) -> None:
    """A stated architecture against what a file says and weights do not."""
    known: Dict[str, Any] = {f'{k}_heads': v for k, v in source.heads.items()}
    if source.stated:
        known['text_activation'] = ('QuickGELU' if source.quick_gelu else
                                    'GELU')
    wrong = [
        f'{name} {value!r} and not {hidden[name]!r}'
        for name, value in known.items() if hidden.get(name, value) != value
    ]
    if wrong:
        raise ValueError(
            f'{source.path} was made with {", ".join(wrong)} as in --arch '
            f'{shown}. Its weights would fit and give wrong results; name '
            'the architecture with these settings.')


def _hidden(arch: Arch) -> Dict[str, Any]:
    """What of an architecture leaves no trace in its weights."""
    cfg = get_arch_cfg(arch)
    vision, text = cfg['vision_cfg'], cfg['text_cfg']
    name = 'QuickGELU' if cfg.get('quick_gelu', False) else 'GELU'
    found = dict(text_activation=name, text_heads=text.get('heads', 8))
    if 'timm_model_name' not in vision and isinstance(
            vision.get('layers', 12), int):
        found.update(
            visual_activation=name,
            visual_heads=vision.get('width', 768) //
            vision.get('head_width', 64))
    return found


def _check_release(arch: Arch) -> None:
    """What the release's code takes for granted."""
    hidden = _hidden(arch)
    cfg = get_arch_cfg(arch)
    heads = dict(
        visual=cfg['vision_cfg'].get('width', 768) // 64,
        text=cfg['text_cfg'].get('width', 512) // 64)
    wrong = [
        f'{part}: {hidden.get(f"{part}_activation")} and '
        f'{hidden.get(f"{part}_heads")} heads' for part in heads
        if hidden.get(f'{part}_activation') != 'QuickGELU'
        or hidden.get(f'{part}_heads') != heads[part]
    ]
    if wrong:
        raise ValueError(
            'The release\'s code computes QuickGELU and one attention head '
            f'for 64 channels ({heads}); this model has {"; ".join(wrong)}. '
            'It would load there and give wrong results.')


def _compare_tokens(weights: StateDict, base: Optional[StateDict]) -> None:
    """Refuse if the base CLIP cannot stand in for the token embeddings."""
    if base is None or TOKENS not in weights or TOKENS not in base:
        return
    if (weights[TOKENS].shape != base[TOKENS].shape
            or (weights[TOKENS] - base[TOKENS]).abs().max() > 1e-3):
        raise ValueError(
            'The token embeddings of these weights are not those of --clip. '
            'The release\'s code takes them from its base CLIP, so that it '
            'would read other sentences than this model.')
