"""Test a checkpoint, and write what was found."""
import os.path as osp
from typing import Any, Dict

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process

from projects.vifi_clip.apis.config import (check_lists, leave_out_pretrained,
                                            list_origins, load_config)
from projects.vifi_clip.apis.runs import build_runner, prepare_distributed
from projects.vifi_clip.files import write_json
from ..cli.outputs import check_target
from .test import Options


def test(options: Options) -> Dict[str, Any]:
    """Test, and return the metrics."""
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
