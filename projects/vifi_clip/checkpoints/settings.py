"""The settings that a checkpoint's weights were made with, as plain data.

The weights of a model tell its sizes, but not which sentences it read, how
its pixels were normalised or which activation it has. A model that is tested
with others gives worse results and no error. So these settings travel in
``checkpoint['meta']['vifi_clip']``.
"""
import hashlib
import io
import logging
import textwrap
from pathlib import Path
from typing import (Any, Callable, Dict, Iterable, Iterator, Mapping,
                    Optional, Sequence, Tuple)

import torch
from mmaction.registry import HOOKS
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import CheckpointLoader, Runner
from open_clip.transformer import QuickGELU
from torch import nn

from ..errors import UserError
from ..files import read_json, write_bytes
from .files import KEY, tensors_of

VERSION = 1
# Setting, the config key that sets it, and whether another value makes the
# result wrong (an error) or only different (a warning).
_CHECKED = (
    ('pixel_mean', 'model.data_preprocessor.mean', True),
    ('pixel_std', 'model.data_preprocessor.std', True),
    ('to_rgb', 'model.data_preprocessor.to_rgb', True),
    ('templates', 'model.cls_head.text_classifier.templates', True),
    ('descriptions', 'model.cls_head.text_classifier.description_file', False),
    ('visual_prompts', 'model.backbone.prompts', True),
    ('text_prompts', 'model.cls_head.text_classifier.prompts', True),
    ('neighbours', 'model.backbone.type', True),
    ('context', 'model.backbone', True),
    ('visual_activation', 'model.backbone.arch', True),
    ('visual_heads', 'model.backbone.arch', True),
    ('text_activation', 'model.cls_head.text_classifier.arch', True),
    ('text_heads', 'model.cls_head.text_classifier.arch', True),
    ('num_frames', 'model.cls_head.num_frames', False),
    ('fusion', 'model.cls_head.fusion', False))


def unwrapped(model: nn.Module) -> nn.Module:
    """The model that a DDP, say, wraps, or the model itself."""
    return model.module if is_model_wrapper(model) else model


def collect_settings(model: nn.Module,
                     cfg: Optional[Mapping] = None) -> Dict[str, Any]:
    """Return what a model was built with, as plain values: {} for one without
    a text classifier, and None for prompts that it has not. ``cfg``, the
    model's config, knows the name of the architecture."""
    head = getattr(model, 'cls_head', None)
    backbone = getattr(model, 'backbone', None)
    classifier = getattr(head, 'text_classifier', None)
    if classifier is None:
        return {}
    settings: Dict[str, Any] = dict(
        version=VERSION,
        **pixel_settings(getattr(model, 'data_preprocessor', None)))
    if not hasattr(model, 'embed_text'):  # a retriever's captions stand alone
        settings['descriptions'] = classifier.descriptions is not None
        settings['templates'] = [str(t) for t in classifier.filled_templates]
    for part, owner in ('text', classifier), ('visual', backbone):
        prompts = getattr(owner, 'prompts', None)
        settings[f'{part}_prompts'] = None if prompts is None else {
            name: getattr(prompts, name) for name in (
                'length', 'depth', 'before', 'behind')
            if hasattr(prompts, name)}
    if settings['text_prompts']:
        settings['text_prompts']['words'] = words_behind(
            classifier.context, classifier.prompts.length,
            classifier.tokenizer.encode)
    settings.update(tower_traits('visual', getattr(backbone, 'visual', None)),
                    **tower_traits('text', classifier.text))
    if getattr(backbone, 'neighbours', 0):
        settings['neighbours'] = backbone.neighbours
    if getattr(backbone, 'context', None):
        settings['context'] = dict(backbone.context)
    for owner, name in (head, 'num_frames'), (head, 'fusion'), (model, 'tune'):
        if hasattr(owner, name):
            settings[name] = getattr(owner, name)
    arch = _arch((cfg or {}).get('backbone') or {})
    if arch is not None:
        settings['arch'] = arch
    return settings


def pixel_settings(preprocessor: Optional[nn.Module]) -> Dict[str, Any]:
    """Return how pixels are normalised, as plain values; None where the
    pipeline, or nobody, does so."""
    parts = getattr(preprocessor, 'preprocessors', None)
    if parts is not None:  # of videos and texts
        preprocessor = dict(parts).get('imgs')
    pixels = dict(to_rgb=bool(getattr(preprocessor, 'to_rgb', False)))
    for name in 'mean', 'std':
        value = getattr(preprocessor, name, None)
        pixels[f'pixel_{name}'] = None if not torch.is_tensor(value) else [
            round(v, 4) for v in value.flatten().tolist()]
    return pixels


def words_behind(context: str, length: int,
                 encode: Callable[[str], Sequence[int]]) -> str:
    """Return the words of a prompt behind its ``length`` learnt tokens: 'photo
    of a' where 1 token of 'a photo of a' is learnt."""
    words = context.split()
    return next((' '.join(words[i:]) for i in range(len(words) + 1)
                 if len(encode(' '.join(words[:i]))) >= length), '')


def tower_traits(part: str, tower: Optional[nn.Module]) -> Dict[str, Any]:
    """Return a CLIP tower's properties that leave no trace in its weights."""
    modules = [] if tower is None else list(tower.modules())
    heads = {m.num_heads for m in modules
             if isinstance(m, nn.MultiheadAttention)
             or hasattr(m, 'num_heads') and hasattr(m, 'in_proj')}  # LoRA's
    if not heads:
        return {}  # a timm tower: its config names what it is
    quick = any(isinstance(m, QuickGELU) for m in modules)
    return {f'{part}_activation': 'QuickGELU' if quick else 'GELU',
            f'{part}_heads': max(heads)}


def _arch(cfg: Mapping) -> Any:
    """The architecture, without a reference to a file of this machine."""
    arch, size = cfg.get('arch'), cfg.get('image_size')
    if isinstance(arch, str) and arch.endswith('.json'):
        arch = read_json(Path(arch))
    if isinstance(arch, ConfigDict):
        arch = arch.to_dict()
    if size is not None and isinstance(arch, dict):
        vision = dict(arch['vision_cfg'], image_size=size)
        arch = dict(arch, vision_cfg=vision)
    return arch


def saved_settings(checkpoint: Any) -> Dict[str, Any]:
    """Return the settings in a loaded checkpoint; {} if it has none."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    settings = meta.get(KEY) if isinstance(meta, Mapping) else None
    return dict(settings) if isinstance(settings, Mapping) else {}


def write_checkpoint(path: str, settings: Mapping, **content: Any) -> None:
    """Write weights with the settings that travel; ``content`` is the rest
    of the file, as ``state_dict``."""
    buffer = io.BytesIO()
    torch.save({'meta': {KEY: dict(settings)}, **content}, buffer)
    write_bytes(path, buffer.getbuffer())


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return (isinstance(a, (int, float)) and isinstance(b, (int, float))
                and abs(a - b) <= 1e-3 * max(1, abs(a)))
    return a == b


def fingerprint(parameters: Iterable) -> str:
    """Return the SHA-256 of pairs of name and float32 tensor, in the order of
    names."""
    digest = hashlib.sha256()
    for name, value in sorted(parameters, key=lambda pair: pair[0]):
        digest.update(f'{name} {tuple(value.shape)}\n'.encode())
        value = value.detach().float().cpu().contiguous()
        digest.update(value.numpy().data if value.ndim else value.numpy())
    return digest.hexdigest()


def lasting_parameters(
        model: nn.Module) -> Iterator[Tuple[str, nn.Parameter]]:
    """Yield a model's parameters by name, but for those of auxiliary losses,
    which training alone has."""
    for name, param in model.named_parameters():
        if not name.startswith('auxiliary.'):
            yield name, param


@HOOKS.register_module()
class CheckpointSettingsHook(Hook):
    """Saves what weights were made with (:func:`collect_settings`), and
    checks it before a test.

    A test from a checkpoint compares, and a run that goes on from one: where
    a difference would spoil the result it stops, where it is a matter of
    choice (``fusion``, ``num_frames``) it warns. Training may start from any
    weights. A
    checkpoint that lacks what did not train carries a fingerprint of it,
    which is compared whenever it is loaded.

    Args:
        on_mismatch (str): ``'error'``, or ``'warn'`` to test with other
            settings on purpose (ValueError: neither). Defaults to 'error'.
    """

    priority = 'LOW'  # after EMA has chosen the weights to save

    def __init__(self, on_mismatch: str = 'error') -> None:
        if on_mismatch not in ('error', 'warn'):
            raise ValueError("on_mismatch must be 'error' or 'warn', got "
                             f'{on_mismatch!r}')
        self.on_mismatch = on_mismatch
        self._saved: Optional[Dict[str, Any]] = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        model = unwrapped(runner.model)
        settings = collect_settings(model, runner.cfg.get('model'))
        if not settings:
            return
        absent = _absent(model, checkpoint['state_dict'])
        if absent:
            settings['fingerprint'] = fingerprint(absent.items())
        if 'method' in runner.cfg:
            settings['method'] = runner.cfg.method
        checkpoint.setdefault('meta', {})[KEY] = settings

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check what holds for testing and training alike; UserError where
        weights of another METHOD do not fit, learnt prompts differ
        (:func:`_check_prompts`), or what is not in the file is not what its
        prompts were learnt on."""
        name, model = _name(runner), unwrapped(runner.model)
        state = tensors_of(checkpoint)
        self._saved = saved_settings(checkpoint)
        _check_method(self._saved, runner.cfg, name,
                      state.keys() == model.state_dict().keys())
        _check_prompts(model, state, name)
        expected = self._saved.get('fingerprint')
        if expected and expected != fingerprint(_absent(model, state).items()):
            _refuse(
                f'{name} holds only what was trained; it belongs to other '
                'weights than those that pretrained= loaded here. Give '
                'pretrained= the file that it was trained on, and set '
                'model.save_trainable_only=True, as in training', runner.cfg,
                self.on_mismatch)

    def before_train(self, runner: Runner) -> None:
        """Check a checkpoint that a run goes on from, as before a test."""
        if runner.iter:
            self.before_test(runner)
        self._saved = None

    def before_test(self, runner: Runner) -> None:
        """Check a checkpoint that is tested; UserError where a setting
        differs and ``on_mismatch`` is 'error'."""
        saved, self._saved = self._saved, None
        if saved is not None:
            _check_settings(saved, unwrapped(runner.model), runner.cfg,
                            _name(runner), self.on_mismatch)

    before_val = before_test  # of a checkpoint that is only validated


def check_file(path: str, model: nn.Module, cfg: Config) -> None:
    """Check a checkpoint before it is loaded, as the hook does for a test,
    for code that has no runner.

    ``cfg`` is the whole config; an ``on_mismatch`` of the hook in its
    ``custom_hooks`` holds here too. UserError if weights of another METHOD do
    not fit, or learnt prompts differ; or a setting does, and ``on_mismatch``
    is 'error'.
    """
    content = CheckpointLoader.load_checkpoint(
        path, map_location='meta', logger='silent')  # it is loaded next
    state = tensors_of(content)
    _check_method(saved_settings(content), cfg, path,
                  state.keys() == model.state_dict().keys())
    _check_prompts(model, state, path)
    on_mismatch = 'error'
    for hook in _hooks_of(cfg).values():
        on_mismatch = hook.get('on_mismatch', 'error')
    _check_settings(saved_settings(content), model, cfg, path, on_mismatch)


def _check_method(saved: Mapping, cfg: Config, name: str,
                  fits: bool = False) -> None:
    """Refuse what does not fit, where it is another METHOD's (UserError)."""
    made, here = saved.get('method'), cfg.get('method')
    if not fits and made and here and made != here:
        raise UserError(f'{name} is a model of METHOD={made}, and this config '
                        f'has METHOD={here}: set METHOD={made}')


def _check_prompts(model: nn.Module, state: Mapping, name: str) -> None:
    """Refuse learnt prompts that only the model or only a state dict has, or
    that differ in size (UserError)."""
    params, differences = dict(model.named_parameters()), []
    if not any(key.startswith('cls_head.text_classifier.') for key in params):
        return
    for owner in 'backbone', 'cls_head.text_classifier':
        key = f'{owner}.prompts.tokens'
        given, built = (
            'none' if key not in tensors else
            'length={1}, depth={0}, width={2}'.format(*tensors[key].shape)
            for tensors in (state, params))
        if given != built:
            differences.append(f'learnt prompts {key} are {given} in the file '
                               f'and {built} in model.{owner}.prompts')
    if differences:
        raise UserError(
            f'{name}: {"; ".join(differences)}. Use the config that it was '
            'trained with. To learn prompts on top of its towers, give the '
            'file as pretrained= of the backbone and the text_classifier.')


def _check_settings(saved: Mapping, model: nn.Module, cfg: Config, name: str,
                    on_mismatch: str) -> None:
    """Warn of what differs by choice; refuse what spoils the result."""
    current = collect_settings(model, cfg.get('model'))
    # Where frames are on their own nothing is said.
    alone = dict(neighbours=0, context=None)
    saved, current = (part and {**alone, **part} for part in (saved, current))
    unknown, serious = [], {}
    for key, option, matters in _CHECKED:
        if key not in current or not matters and key not in saved:
            continue
        if key not in saved:
            unknown.append(key)
        elif not _equal(saved[key], current[key]):
            then, now = (textwrap.shorten(repr(value), 300)
                         for value in (saved[key], current[key]))
            text = (f'{key}: {then} when the weights were made, {now} in '
                    f'this config ({option})')
            if matters:
                serious[text] = option
            else:
                _warn(f'{name}: {text}')
    if unknown:
        _warn(f'{name} does not say its {", ".join(unknown)}: whether this '
              'config has the same cannot be checked')
    if not serious:
        return
    if on_mismatch == 'error':
        _check_method(saved, cfg, name)
    error = (
        f'{name} was made with other settings than those here:'
        '\n  ' + '\n  '.join(serious) + '\nUse the config that it was trained '
        'with (a run leaves it in its work folder), or set --cfg-options '
        f'{"=... ".join(sorted(set(serious.values())))}=...')
    if hasattr(getattr(model, 'data_preprocessor', None), 'preprocessors'):
        error = error.replace('data_preprocessor.',  # of videos and texts
                              'data_preprocessor.preprocessors.imgs.')
    _refuse(error, cfg, on_mismatch)


def _refuse(message: str, cfg: Config, on_mismatch: str) -> None:
    if on_mismatch == 'warn':
        _warn(message)
        return
    remedy = ('dict(type=\'CheckpointSettingsHook\', on_mismatch=\'warn\') in '
              'custom_hooks')
    for index in _hooks_of(cfg):
        remedy = (f'--cfg-options custom_hooks.{index}.on_mismatch=warn (of '
                  'CheckpointSettingsHook, which compares them)')
    raise UserError(f'{message}\nIf this is intended, {remedy} makes this a '
                    'warning.')


def _hooks_of(cfg: Config) -> Dict[int, Mapping]:
    """Return the settings of the hook in a config, by its index."""
    return {i: hook for i, hook in enumerate(cfg.get('custom_hooks') or [])
            if hook.get('type') == CheckpointSettingsHook.__name__}


def _warn(message: str) -> None:
    print_log(message, 'current', logging.WARNING)


def _absent(model: nn.Module, state: Mapping) -> Dict[str, torch.Tensor]:
    """A model's lasting parameters that a state dict leaves out."""
    return {n: p for n, p in lasting_parameters(model) if n not in state}


def _name(runner: Runner) -> str:
    return str(getattr(runner, '_load_from', None) or 'The checkpoint')
