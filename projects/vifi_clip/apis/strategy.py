"""The knob STRATEGY: how a model is spread over processes."""
from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

NAMES = ('ddp', 'fsdp', 'deepspeed_zero2', 'deepspeed_zero3')


def check_name() -> None:
    """Look at the knob before MMEngine looks for the file that it names.

    Raises:
        ValueError: There is no such strategy.
    """
    name = os.environ.get('STRATEGY', 'ddp')
    if name not in NAMES:
        raise ValueError(f'STRATEGY={name}: must be one of '
                         f'{", ".join(NAMES)}')


def apply_strategy(cfg: Config) -> None:
    """Fit a config with a ``strategy`` to MMEngine's FlexibleRunner.

    DeepSpeed has precision, accumulation and gradient clipping to itself, so
    what the optimizer wrapper says of them moves to its settings.

    Args:
        cfg (Config): Changed in place; one without a strategy stays as it is.

    Raises:
        ValueError: It has no launcher, or an optimizer wrapper that cannot
            be moved.
    """
    strategy = cfg.get('strategy')
    if not strategy:
        return
    if cfg.get('launcher', 'none') == 'none':
        raise ValueError(f'{strategy.type} spreads a model over processes: '
                         'start them with tools/dist_train.sh CONFIG NUMBER, '
                         'or leave STRATEGY out')
    if strategy.type == 'DeepSpeedStrategy' and cfg.get('optim_wrapper'):
        _move_to_deepspeed(cfg, strategy)


def _move_to_deepspeed(cfg: Config, strategy: dict) -> None:
    ours = cfg.optim_wrapper
    if ours.get('type', 'OptimWrapper') not in ('OptimWrapper',
                                                'AutocastOptimWrapper'):
        raise ValueError(f'optim_wrapper {ours.type!r} does not go with '
                         'DeepSpeed; use AutocastOptimWrapper')
    clip = dict(ours.get('clip_grad') or {})
    norm = clip.pop('max_norm', None)
    if clip and clip != dict(norm_type=2):
        raise ValueError('DeepSpeed clips gradients by max_norm alone; '
                         f'optim_wrapper.clip_grad has {ours.clip_grad}')
    strategy.setdefault('gradient_accumulation_steps',
                        ours.get('accumulative_counts', 1))
    if norm is not None:
        strategy.setdefault('gradient_clipping', float(norm))
    dtype = str(ours.get('dtype', 'float32')).removeprefix('torch.')
    if ours.get('type') == 'AutocastOptimWrapper' and dtype == 'bfloat16':
        strategy.setdefault('bf16', dict(enabled=True))
        strategy.setdefault('inputs_to_half', ['inputs'])
    optimizer = dict(ours.optimizer)
    optimizer.pop('fused', None)  # ZeRO steps flat shards of its own
    cfg.optim_wrapper = dict(type='DeepSpeedOptimWrapper', optimizer=optimizer)
