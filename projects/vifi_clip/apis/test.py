"""``tools/test.py``: test a checkpoint, as MMAction2's tool does."""
import argparse
import os
import os.path as osp
from typing import Optional, Sequence

import torch
from mmengine.config import Config

from .launch import (add_common_arguments, build_runner,
                     leave_out_pretrained, load_config, prepare_distributed)


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of testing."""
    parser = argparse.ArgumentParser(description='Test a recognizer')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        'checkpoint', help="checkpoint file, or 'none' to test the model as "
        'its config builds it (e.g. frozen CLIP)')
    add_common_arguments(parser)
    parser.add_argument(
        '--single-view', action='store_true',
        help='one view per video (the config\'s val_pipeline) instead of all '
        'temporal and spatial views')
    parser.add_argument(
        '--dump', help='write predictions to this .pkl file')
    parser.add_argument(
        '--bad-videos', choices=['error', 'count_as_wrong'],
        help='what to do with a video that cannot be read (default: the '
        "config's setting, an error)")
    return parser.parse_args(argv)


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Testing's own options into a config."""
    if not cfg.get('test_dataloader'):
        raise ValueError(f'{cfg.filename} has no test_dataloader')
    dataset = cfg.test_dataloader.dataset
    if args.single_view:
        if 'val_pipeline' not in cfg:
            raise ValueError('--single-view needs a val_pipeline in '
                             f'{cfg.filename}')
        dataset.pipeline = cfg.val_pipeline
    if args.bad_videos:
        dataset.on_bad_video = args.bad_videos
    if args.amp:
        cfg.test_cfg.fp16 = True  # MMEngine's loop: torch's default autocast
        torch.set_autocast_dtype('cuda', torch.bfloat16)  # as on CPU
    if args.dump:
        if not args.dump.endswith(('.pkl', '.pickle')):
            raise ValueError(f'--dump writes a .pkl file, got {args.dump!r}')
        folder = osp.dirname(osp.abspath(args.dump))
        os.makedirs(folder, exist_ok=True)
        if osp.isdir(args.dump) or not os.access(folder, os.W_OK):
            raise ValueError(f'--dump {args.dump} cannot be written')
        dump = dict(type='DumpResults', out_file_path=args.dump)
        old = cfg.test_evaluator
        cfg.test_evaluator = [*(old if isinstance(old, list) else [old]), dump]
    if args.checkpoint != 'none':
        cfg.load_from = args.checkpoint
        leave_out_pretrained(cfg)
    return cfg


def main(argv: Optional[Sequence[str]] = None) -> dict:
    """Parse, build, test; returns the metrics."""
    args = parse_args(argv)
    cfg = merge_args(load_config(args), args)
    prepare_distributed(cfg)
    return build_runner(cfg).test()
