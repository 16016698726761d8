"""``tools/train.py``: train a config, as MMAction2's tool does."""
from __future__ import annotations

import argparse
import os
import os.path as osp
from glob import escape, glob
from typing import TYPE_CHECKING, Optional, Sequence

from projects.vifi_clip.apis.accumulate import auto_accumulate
from ..cli.options import HelpFormatter
from projects.vifi_clip.apis.config import (build_runner, load_config,
                                            prepare_distributed)
from ..cli.options import add_common_arguments
from projects.vifi_clip.apis.precheck import check_lists
from projects.vifi_clip.apis.strategy import apply_strategy

if TYPE_CHECKING:
    from mmengine.config import Config

_EPILOG = """
examples:
  vifi-clip train vifi_k400 --amp
  DATASET=ucf101 SHOTS=4 TUNE=prompt vifi-clip train vifi_few_shot --seed 1
  vifi-clip train my.py --work-dir runs/a --resume --auto-accumulate 256
  # 8 GPUs
  bash "$(vifi-clip --root)/tools/dist_train.sh" vifi_k400 8 --amp
"""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of training."""
    parser = argparse.ArgumentParser(
        description='Train a recognizer',
        epilog=_EPILOG,
        formatter_class=HelpFormatter)
    parser.add_argument('config', help='config file, or its name')
    add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from this checkpoint, or from the latest of the work '
        'directory if none is named')
    parser.add_argument(
        '--no-validate', action='store_true',
        help='do not evaluate during training')
    parser.add_argument(
        '--auto-scale-lr', action='store_true',
        help='scale the learning rate by the batch size')
    parser.add_argument(
        '--auto-accumulate', type=int, metavar='N',
        help='N samples in each optimizer step, over all processes: sets '
        'accumulative_counts, and a smaller train_dataloader.batch_size where '
        "the config's does not fit in memory (tried before training)")
    parser.add_argument('--seed', type=int, help='random seed')
    parser.add_argument(
        '--diff-rank-seed', action='store_true',
        help='another seed on every process')
    parser.add_argument(
        '--deterministic', action='store_true',
        help='deterministic CUDNN')
    return parser.parse_args(argv)


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Training's own options into a config."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        if 'checkpoint' in cfg.get('default_hooks', {}):
            cfg.default_hooks.checkpoint.save_best = None
    if args.amp:
        _use_amp(cfg)
    if args.resume:
        path = args.resume
        if path == 'auto':
            path = latest_checkpoint(cfg.work_dir)
        # With nothing to resume, the config's load_from still holds.
        cfg.resume = path is not None
        cfg.load_from = path or cfg.get('load_from')
    if args.auto_scale_lr:
        if args.auto_accumulate is not None:
            raise ValueError(
                '--auto-scale-lr scales by the micro-batch, which '
                '--auto-accumulate may change while the batch of a step '
                'stays: give one of them')
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                f'--auto-scale-lr: {cfg.filename} does not say which batch '
                'its learning rate is for; add '
                'auto_scale_lr=dict(base_batch_size=...)')
        cfg.auto_scale_lr.enable = True
    randomness = cfg.get('randomness') or {}
    if args.seed is not None:
        randomness['seed'] = args.seed
    if args.diff_rank_seed:
        randomness['diff_rank_seed'] = True
    if args.deterministic:
        randomness['deterministic'] = True
    cfg.randomness = randomness
    return cfg


def latest_checkpoint(work_dir: str) -> Optional[str]:
    """The checkpoint to resume from, None if there is none.

    Args:
        work_dir (str): Where a run was.

    Returns:
        str, optional: What MMEngine's ``last_checkpoint`` names. If that is
        not there, for the folder was moved or the run was killed while it
        wrote the name, the newest checkpoint of an epoch or iteration.
    """
    from mmengine.runner import find_latest_checkpoint
    named = find_latest_checkpoint(work_dir)
    if named and osp.isfile(named):
        return named
    files = glob(osp.join(escape(work_dir), 'epoch_*.pth'))
    files += glob(osp.join(escape(work_dir), 'iter_*.pth'))
    return max(files, key=osp.getmtime, default=None)


def _use_amp(cfg: Config) -> None:
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind == 'AmpOptimWrapper':
        return
    if kind not in ('OptimWrapper', 'AutocastOptimWrapper'):
        raise ValueError(f'--amp does not go with optim_wrapper {kind!r}')
    cfg.optim_wrapper.type = 'AutocastOptimWrapper'
    cfg.optim_wrapper.dtype = 'bfloat16'


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Parse, build, train."""
    args = parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = merge_args(load_config(
        args.config, args.cfg_options, args.work_dir, args.launcher,
        args.trust), args)
    if cfg.model.get('tune') == 'none':
        raise ValueError("TUNE=none (model.tune='none') is frozen CLIP, in "
                         'which nothing trains: test it with tools/test.py '
                         'CONFIG none')
    if not cfg.get('train_dataloader'):
        raise ValueError(f'{cfg.filename} has no train_dataloader: it only '
                         'predicts; train with another config')
    check_lists(cfg, ('train', 'val'))
    prepare_distributed(cfg)
    if args.auto_accumulate is not None:
        auto_accumulate(cfg, args.auto_accumulate)
    apply_strategy(cfg)
    runner = build_runner(cfg)
    if args.resume and not cfg.resume:
        runner.logger.warning(f'--resume: there is no checkpoint in '
                              f'{cfg.work_dir}; training starts afresh')
    runner.train()
