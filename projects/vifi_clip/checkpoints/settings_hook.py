"""The hook that lets a checkpoint's settings travel with it."""
import logging
from typing import Any, Dict, Mapping, Optional

import torch
from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from ..errors import UserError
from .files import tensors_of
from .settings import (KEY, collect_settings, compare_settings, fingerprint,
                       prompt_differences, saved_settings)


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
        self._saved: Optional[Dict[str, Any]] = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the settings."""
        model = _bare(runner.model)
        settings = collect_settings(model, runner.cfg.get('model'))
        if not settings:
            return
        absent = _absent(model, checkpoint['state_dict'])
        if absent:
            settings['fingerprint'] = fingerprint(absent.items())
        checkpoint.setdefault('meta', {})[KEY] = settings

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check what holds for testing and training alike; UserError where the
        file has learnt prompts and the model none, or the reverse, or they
        differ in size; or what is not in it is not what its prompts were
        learnt on."""
        name, model = _name(runner), _bare(runner.model)
        state = tensors_of(checkpoint, name)
        _check_prompts(model, state, name)
        self._saved = saved_settings(checkpoint)
        expected = self._saved.get('fingerprint')
        if expected and expected != fingerprint(_absent(model, state).items()):
            _refuse(
                f'{name} holds only what was trained; it belongs to other '
                'weights than those that pretrained= loaded here. Give '
                'pretrained= the file that it was trained on', runner.cfg,
                self.on_mismatch)

    def before_train(self, runner: Runner) -> None:
        """Training may start from anything."""
        self._saved = None

    def before_test(self, runner: Runner) -> None:
        """Check a checkpoint that is tested; UserError where a setting
        differs and ``on_mismatch`` is 'error'."""
        saved, self._saved = self._saved, None
        if saved is not None:
            _check_settings(saved, _bare(runner.model), runner.cfg,
                            _name(runner), self.on_mismatch)

    before_val = before_test  # of a checkpoint that is only validated


def check_file(path: str, model: nn.Module, cfg: Config) -> None:
    """Check a checkpoint before it is loaded, as the hook does for a test,
    for code that has no runner.

    ``cfg`` is the whole config; an ``on_mismatch`` of the hook in its
    ``custom_hooks`` holds here too.

    Raises:
        UserError: Learnt prompts differ; or a setting does, and
            ``on_mismatch`` is 'error'.
    """
    content, on_mismatch = {}, 'error'
    if not path.endswith('.safetensors'):
        # On 'meta', nothing but the file's directory is read.
        content = CheckpointLoader.load_checkpoint(path, map_location='meta')
        _check_prompts(model, tensors_of(content, path), path)
    for hook in _hooks_of(cfg).values():
        on_mismatch = hook.get('on_mismatch', 'error')
    _check_settings(saved_settings(content), model, cfg, path, on_mismatch)


def _check_prompts(model: nn.Module, state: Mapping, name: str) -> None:
    differences = prompt_differences(model, state)
    if differences:
        raise UserError(
            f'{name}: {"; ".join(differences)}. Use the config that it was '
            'trained with. To learn prompts on top of its towers, give the '
            'file as pretrained= of the backbone and the text_classifier.')


def _check_settings(saved: Mapping, model: nn.Module, cfg: Config, name: str,
                    on_mismatch: str) -> None:
    """Warn of what differs by choice; refuse what spoils the result."""
    unknown, choices, serious = compare_settings(
        saved, collect_settings(model, cfg.get('model')))
    if unknown:
        _warn(f'{name} does not say what it was made with in '
              f'{", ".join(unknown)}: whether this config has the same cannot '
              'be checked')
    for text in choices:
        _warn(f'{name}: {text}')
    if not serious:
        return
    error = (
        f'{name} was made with other settings than it would be tested with:'
        '\n  ' + '\n  '.join(serious) + '\nUse the config that it was trained '
        'with, or set --cfg-options '
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
        remedy = f'--cfg-options custom_hooks.{index}.on_mismatch=warn'
    raise UserError(f'{message}\nIf it is meant to be so, {remedy} makes this '
                    'a warning.')


def _hooks_of(cfg: Config) -> Dict[int, Mapping]:
    """Return the settings of the hook in a config, by its index."""
    return {i: hook for i, hook in enumerate(cfg.get('custom_hooks') or [])
            if hook.get('type') == CheckpointSettingsHook.__name__}


def _warn(message: str) -> None:
    print_log(message, 'current', logging.WARNING)


def _bare(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _absent(model: nn.Module, state: Mapping) -> Dict[str, torch.Tensor]:
    """A model's parameters that a state dict leaves out."""
    return {n: p for n, p in model.named_parameters() if n not in state}


def _name(runner: Runner) -> str:
    return str(getattr(runner, '_load_from', None) or 'The checkpoint')
