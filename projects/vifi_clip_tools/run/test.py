"""``vifi-clip test``: test a checkpoint, as MMAction2's tool does."""
from __future__ import annotations

import argparse
import os.path as osp
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence

from ..cli.options import (HelpFormatter, add_common_arguments,
                           add_inference_arguments, common_options,
                           inference_settings)
from ..cli.outputs import check_target

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


@dataclass(frozen=True)
class Options:
    """What ``vifi-clip test --help`` explains."""

    config: str
    checkpoint: str
    amp: bool
    single_view: bool
    dump: Optional[str]
    predictions: Optional[str]
    metrics: Optional[str]
    bad_videos: Optional[str]
    inference: Dict[str, Any]  # of apply_inference
    common: Dict[str, Any]  # of load_config


def parse_args(argv: Optional[Sequence[str]] = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Test a recognizer', epilog=_EPILOG,
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
    parser.add_argument('--dump', help='write all scores to this .pkl file')
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
    args = parser.parse_args(argv)
    return Options(inference=inference_settings(args),
                   common=common_options(args), **vars(args))


def run(options: Options) -> None:
    """Test, for the command line."""
    test(options)


def test(options: Options) -> Dict[str, Any]:
    """Test; the metrics are printed, and returned."""
    from mmengine.dist import is_main_process

    from projects.vifi_clip.apis.config import check_lists, load_config
    from projects.vifi_clip.apis.runs import build_runner, prepare_distributed
    from projects.vifi_clip.files import write_json
    cfg = load_config(options.config, **options.common)
    _set_options(cfg, options)
    _set_outputs(cfg, options)
    check_lists(cfg, ('test', ))
    prepare_distributed(cfg)
    metrics = build_runner(cfg).test()
    if options.metrics and is_main_process():
        write_json(options.metrics, _record(cfg, options, metrics))
    return metrics


def _set_options(cfg: Config, options: Options) -> None:
    """Put the options into a config."""
    import torch

    from projects.vifi_clip.apis.config import leave_out_pretrained
    if not cfg.get('test_dataloader'):
        raise ValueError(f'{cfg.filename} has no test_dataloader')
    dataset = cfg.test_dataloader.dataset
    if options.single_view:
        if 'val_pipeline' not in cfg:
            raise ValueError('--single-view needs a val_pipeline in '
                             f'{cfg.filename}')
        dataset.pipeline = cfg.val_pipeline
    if options.bad_videos:
        dataset.on_bad_video = options.bad_videos
    if options.amp:
        cfg.test_cfg.fp16 = True  # MMEngine's loop: torch's default autocast
        torch.set_autocast_dtype('cuda', torch.bfloat16)  # as on CPU
    if options.inference:
        cfg.custom_hooks = [*cfg.get('custom_hooks', []),
                            dict(type='InferenceHook', **options.inference)]
    if options.checkpoint != 'none':
        cfg.load_from = options.checkpoint
        leave_out_pretrained(cfg)


def _set_outputs(cfg: Config, options: Options) -> None:
    """Check the output files, and let the evaluators write them."""
    for option, path, kind, suffixes in (
            ('--dump', options.dump, 'DumpResults', ('.pkl', '.pickle')),
            ('--predictions', options.predictions, 'PredictionsFile',
             ('.csv', ))):
        if not path:
            continue
        stem, suffix = osp.splitext(path)
        for part in cfg.test_cfg.get('sets') or [None]:
            name = f'{stem}_{part["name"]}{suffix}' if part else path
            check_target(option, name, suffixes)
        metrics = cfg.test_evaluator
        cfg.test_evaluator = [
            *(metrics if isinstance(metrics, list) else [metrics]),
            dict(type=kind, out_file_path=path)]
    if options.metrics:
        check_target('--metrics', options.metrics, ('.json', ))


def _record(cfg: Config, options: Options,
            metrics: Dict[str, Any]) -> Dict[str, Any]:
    """The metrics with what decides them: weights, prompt, pixels, knobs,
    lists."""
    from projects.vifi_clip.apis.config import list_origins
    text = cfg.model.get('cls_head', {}).get('text_classifier', {})
    pixels = cfg.model.get('data_preprocessor') or {}
    pixels = (pixels.get('preprocessors') or {}).get('imgs', pixels)
    return dict(
        config=osp.basename(cfg.filename),
        checkpoint=options.checkpoint,
        knobs=cfg.get('knobs', {}),
        templates=text.get('templates'),
        mean=pixels.get('mean'),
        std=pixels.get('std'),
        lists=list_origins(cfg),
        single_view=options.single_view,
        inference=options.inference,
        metrics={key: float(value) for key, value in metrics.items()})
