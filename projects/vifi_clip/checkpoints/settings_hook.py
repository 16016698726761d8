"""The hook that lets a checkpoint's settings travel with it."""
import logging
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from ..errors import UserError
from .settings import (KEY, collect_settings, compare_settings, fingerprint,
                       not_checkable, prompt_differences)


@HOOKS.register_module()
class CheckpointSettingsHook(Hook):
    """Saves what weights were made with, and checks it before a test.

    Into ``checkpoint['meta']['vifi_clip']`` go the pixel statistics, the
    templates, the prompts' sizes, the architecture with its activation and
    heads, ``tune``, ``fusion`` and ``num_frames``. A test from a checkpoint
    compares: where a difference would spoil the result it stops, where it is
    a matter of choice (``fusion``, ``num_frames``) it warns. Training may
    start from any weights and compares nothing.

    A checkpoint that lacks what did not train carries a fingerprint of it,
    which is compared whenever it is loaded.

    Args:
        on_mismatch (str): ``'error'``, or ``'warn'`` to test with other
            settings on purpose. Defaults to 'error'.

    Raises:
        ValueError: ``on_mismatch`` is neither.
    """

    priority = 'LOW'  # after EMA has chosen the weights to save

    def __init__(self, on_mismatch: str = 'error') -> None:
        if on_mismatch not in ('error', 'warn'):
            raise ValueError("on_mismatch must be 'error' or 'warn', got "
                             f'{on_mismatch!r}')
        self.on_mismatch = on_mismatch
        self._loaded: Optional[Mapping] = None
        self._known: Tuple[tuple, str] = ((), '')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the settings."""
        model = _bare(runner.model)
        settings = collect_settings(model, runner.cfg.get('model'))
        if not settings:
            return
        absent = _absent(model, checkpoint['state_dict'])
        if absent:
            settings['fingerprint'] = self._fingerprint(absent)
        checkpoint.setdefault('meta', {})[KEY] = settings

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check what holds for testing and training alike.

        Raises:
            UserError: The file is no checkpoint; or it has learnt prompts
                and the model none, or the reverse, or they differ in size;
                or what is not in it is not what its prompts were learnt on.
        """
        model = _bare(runner.model)
        state = _weights(checkpoint, _name(runner))
        self._loaded = _saved(checkpoint)
        wrong = prompt_differences(model, state)
        if wrong:
            raise UserError(
                f'{_name(runner)}: {"; ".join(wrong)}. Use the config that '
                'it was trained with. To learn prompts on top of its towers, '
                'give the file as pretrained= of the backbone and the '
                'text_classifier.')
        expected = self._loaded.get('fingerprint')
        if expected and expected != self._fingerprint(_absent(model, state)):
            self._tell(
                runner, f'{_name(runner)} holds only what was trained; it '
                'belongs to other weights than those that pretrained= loaded '
                'here. Give pretrained= the file that it was trained on')

    def before_train(self, runner: Runner) -> None:
        """Training may start from anything."""
        self._loaded = None

    def before_val(self, runner: Runner) -> None:
        """Check a checkpoint that is only validated."""
        self._check(runner)

    def before_test(self, runner: Runner) -> None:
        """Check a checkpoint that is tested.

        Raises:
            UserError: A setting differs and ``on_mismatch`` is 'error'.
        """
        self._check(runner)

    def _check(self, runner: Runner) -> None:
        saved, self._loaded = self._loaded, None
        if saved is not None:
            warnings, error = _compare(saved, _bare(runner.model), runner.cfg,
                                       _name(runner))
            for line in warnings:
                runner.logger.warning(line)
            if error:
                self._tell(runner, error)

    def _tell(self, runner: Runner, message: str) -> None:
        if self.on_mismatch == 'warn':
            runner.logger.warning(message)
            return
        raise UserError(message + _override(runner.cfg))

    def _fingerprint(self, absent: Dict[str, torch.Tensor]) -> str:
        """Computed anew only when something changed."""
        version = tuple((n, id(p), p._version) for n, p in absent.items())
        if self._known[0] != version:
            self._known = version, fingerprint(absent.items())
        return self._known[1]


def check_file(path: str, model: nn.Module, cfg: Config) -> None:
    """The hook's check of a test, for code that has no runner.

    Args:
        path (str): The checkpoint that was loaded.
        model (nn.Module): The recognizer that it was loaded into.
        cfg (Config): The whole config; an ``on_mismatch`` of the hook in its
            ``custom_hooks`` holds here too.

    Raises:
        UserError: A setting differs and ``on_mismatch`` is 'error'.
    """
    loaded = {}
    if not path.endswith('.safetensors'):
        # On 'meta', nothing but the file's directory is read.
        loaded = CheckpointLoader.load_checkpoint(path, map_location='meta')
    warnings, error = _compare(_saved(loaded), _bare(model), cfg, path)
    for line in warnings:
        print_log(line, 'current', logging.WARNING)
    if error:
        if _own_hook(cfg)[1].get('on_mismatch') != 'warn':
            raise UserError(error + _override(cfg))
        print_log(error, 'current', logging.WARNING)


def _weights(checkpoint: Mapping, name: str) -> Dict[str, torch.Tensor]:
    """A checkpoint's tensors, by their names in the model."""
    meta = checkpoint.get('meta', {})
    if not isinstance(meta, dict):
        raise UserError(f'{name}: its meta is a {type(meta).__name__}, not a '
                        'dict: it is no checkpoint of MMEngine\'s.')
    state = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state, Mapping) or not all(
            isinstance(key, str) for key in state):
        raise UserError(f'{name} holds no dict of named weights.')
    odd = [key for key, value in state.items() if not torch.is_tensor(value)]
    if odd and 'state_dict' in checkpoint:
        raise UserError(f'{name}: {odd[0]} in its state_dict is no tensor but '
                        f'a {type(state[odd[0]]).__name__}.')
    return {
        key.removeprefix('module.'): value
        for key, value in state.items() if torch.is_tensor(value)
    }


def _saved(checkpoint: Any) -> dict:
    """A checkpoint's settings; {} if it has none."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    saved = meta.get(KEY) if isinstance(meta, dict) else None
    return saved if isinstance(saved, dict) else {}


def _compare(saved: Mapping, model: nn.Module, cfg: Config,
             name: str) -> Tuple[List[str], str]:
    """Warnings and an error ('' if none)."""
    current = collect_settings(model, cfg.get('model'))
    unknown = not_checkable(saved, current)
    warnings = [
        f'{name} does not say what it was made with in '
        f'{", ".join(unknown)}: whether this config has the same cannot be '
        'checked'
    ] if unknown else []
    found = compare_settings(saved, current)
    if hasattr(getattr(model, 'data_preprocessor', None), 'preprocessors'):
        found = [m.moved('data_preprocessor.',
                         'data_preprocessor.preprocessors.imgs.')
                 for m in found]
    warnings += [f'{name}: {m}' for m in found if not m.serious]
    serious = [m for m in found if m.serious]
    if not serious:
        return warnings, ''
    keys = sorted({m.config_key for m in serious})
    return warnings, (
        f'{name} was made with other settings than it would be tested with:'
        '\n  ' + '\n  '.join(map(str, serious)) + '\nUse the config that it '
        f'was trained with, or set --cfg-options {"=... ".join(keys)}=...')


def _bare(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _absent(model: nn.Module, state: Mapping) -> Dict[str, torch.Tensor]:
    """A model's parameters that a state dict leaves out."""
    return {n: p for n, p in model.named_parameters() if n not in state}


def _name(runner: Runner) -> str:
    return str(getattr(runner, '_load_from', None) or 'The checkpoint')


def _own_hook(cfg: Config) -> Tuple[int, Mapping]:
    """Place and settings of the hook in a config; (-1, {}) if not there."""
    for i, hook in enumerate(cfg.get('custom_hooks') or []):
        if hook.get('type') == CheckpointSettingsHook.__name__:
            return i, hook
    return -1, {}


def _override(cfg: Config) -> str:
    place, _ = _own_hook(cfg)
    how = (f'--cfg-options custom_hooks.{place}.on_mismatch=warn'
           if place >= 0 else 'dict(type=\'CheckpointSettingsHook\', '
           "on_mismatch='warn') in custom_hooks")
    return f'\nIf it is meant to be so, {how} makes this a warning.'
