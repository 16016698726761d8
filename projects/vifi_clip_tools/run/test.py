"""``tools/test.py``: test a checkpoint, as MMAction2's tool does."""
from __future__ import annotations

import argparse
import json
import os
import os.path as osp
from typing import TYPE_CHECKING, Optional, Sequence

from ..cli.options import HelpFormatter
from ..cli.options import (add_common_arguments, add_inference_arguments,
                           inference_settings)
from projects.vifi_clip.apis.config import (build_runner,
                                            leave_out_pretrained, load_config,
                                            prepare_distributed)
from ..cli.outputs import check_target
from projects.vifi_clip.apis.precheck import check_lists, list_origins
from projects.vifi_clip.apis.strategy import apply_strategy

if TYPE_CHECKING:
    from mmengine.config import Config

_EPILOG = """
examples:
  vifi-clip test vifi_k400 work_dirs/vifi_k400/epoch_30.pth --single-view
  EVAL=hmdb51 vifi-clip test vifi_zero_shot CHECKPOINT --metrics hmdb51.json
  TUNE=none vifi-clip test vifi_zero_shot none        # frozen CLIP
  # 8 GPUs
  bash "$(vifi-clip --root)/tools/dist_test.sh" vifi_k400 CHECKPOINT 8
"""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of testing."""
    parser = argparse.ArgumentParser(
        description='Test a recognizer',
        epilog=_EPILOG,
        formatter_class=HelpFormatter)
    parser.add_argument('config', help='config file, or its name')
    parser.add_argument(
        'checkpoint', help="checkpoint file, or 'none' to test the model as "
        'its config builds it (e.g. frozen CLIP)')
    add_common_arguments(parser)
    parser.add_argument(
        '--single-view', action='store_true',
        help='one view per video (the config\'s val_pipeline) instead of all '
        'temporal and spatial views')
    parser.add_argument(
        '--dump', help='write all scores to this .pkl file')
    parser.add_argument(
        '--predictions', help='write each video\'s label and prediction to '
        'this .csv file')
    parser.add_argument(
        '--metrics', help='write the metrics, and what was tested how, to '
        'this .json file')
    parser.add_argument(
        '--bad-videos', choices=['error', 'count_as_wrong'],
        help='what to do with a video that cannot be read (default: the '
        "config's setting, an error)")
    add_inference_arguments(parser)
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
        import torch
        cfg.test_cfg.fp16 = True  # MMEngine's loop: torch's default autocast
        torch.set_autocast_dtype('cuda', torch.bfloat16)  # as on CPU
    settings = inference_settings(args)
    if settings:
        cfg.custom_hooks = [
            *cfg.get('custom_hooks', []),
            dict(type='InferenceHook', **settings)
        ]
    for name, kind, suffixes in (
            ('dump', 'DumpResults', ('.pkl', '.pickle')),
            ('predictions', 'PredictionsFile', ('.csv', ))):
        path = getattr(args, name)
        if path:
            stem, suffix = osp.splitext(path)
            sets = cfg.test_cfg.get('sets') or []
            for target in [f'{stem}_{one["name"]}{suffix}' for one in sets
                           ] or [path]:
                check_target(f'--{name}', target, suffixes)
            old = cfg.test_evaluator
            cfg.test_evaluator = [
                *(old if isinstance(old, list) else [old]),
                dict(type=kind, out_file_path=path)
            ]
    if args.metrics:
        check_target('--metrics', args.metrics, ('.json', ))
    if args.checkpoint != 'none':
        cfg.load_from = args.checkpoint
        leave_out_pretrained(cfg)
    return cfg


def _write_metrics(path: str, cfg: Config, args: argparse.Namespace,
                   metrics: dict) -> None:
    """The metrics with what decides them: weights, prompt, pixels, knobs,
    lists."""
    text = cfg.model.get('cls_head', {}).get('text_classifier', {})
    pixels = cfg.model.get('data_preprocessor') or {}
    pixels = (pixels.get('preprocessors') or {}).get('imgs', pixels)
    record = dict(
        config=osp.basename(cfg.filename),
        checkpoint=args.checkpoint,
        knobs=cfg.get('knobs', {}),
        templates=text.get('templates'),
        mean=pixels.get('mean'),
        std=pixels.get('std'),
        lists=list_origins(cfg),
        single_view=args.single_view,
        inference=inference_settings(args),
        metrics={key: float(value) for key, value in metrics.items()})
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    text = json.dumps(record, indent=1) + '\n'
    AtomicLocalBackend().put(text.encode(), path)


def main(argv: Optional[Sequence[str]] = None) -> dict:
    """Parse, build, test; returns the metrics."""
    args = parse_args(argv)
    from mmengine.dist import is_main_process
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = merge_args(load_config(
        args.config, args.cfg_options, args.work_dir, args.launcher,
        args.trust), args)
    check_lists(cfg, ('test', ))
    prepare_distributed(cfg)
    apply_strategy(cfg)
    metrics = build_runner(cfg).test()
    if args.metrics and is_main_process():
        _write_metrics(args.metrics, cfg, args, metrics)
    return metrics
