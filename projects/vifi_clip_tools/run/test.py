"""``vifi-clip test``: test a checkpoint, as MMAction2's tool does."""
from __future__ import annotations

import os.path as osp
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Optional

from ..cli.options import InferenceOptions, RunOptions
from ..cli.outputs import check_target
from ..cli.parsing import argument, option, part, reader
from ..cli.screen import only_for_people

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

_EPILOG = """
examples:
  vifi-clip test vifi_k400 work_dirs/vifi_k400/epoch_30.pth --single-view
  EVAL=hmdb51 vifi-clip test vifi_zero_shot CHECKPOINT --metrics hmdb51.json
  TUNE=none vifi-clip test vifi_zero_shot none        # frozen CLIP
  # 8 GPUs
  bash "$(vifi-clip --root)/tools/dist_test.sh" vifi_k400 CHECKPOINT 8
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line of ``vifi-clip test``."""

    config: str = argument(
        help='config file, or its name, or the folder of a trained model')
    checkpoint: str = argument(
        nargs='?', default='none', help="checkpoint file, or 'none' to test "
        'the model as its config builds it (e.g. frozen CLIP), with the '
        'weights of a model folder (default: none)')
    common: RunOptions = part(RunOptions)
    single_view: bool = option(
        action='store_true', help='one view per video (the config\'s '
        'val_pipeline) instead of all temporal and spatial views')
    dump: Optional[str] = option(help='write all scores to this .pkl file')
    predictions: Optional[str] = option(
        help='write each video\'s label and prediction to this .csv file')
    metrics: Optional[str] = option(
        help='write the metrics and how they were made to this .json file')
    bad_videos: Optional[str] = option(
        choices=['error', 'count_as_wrong'], help='what to do with a video '
        "that cannot be read (default: the config's setting, an error)")
    faster: InferenceOptions = part(InferenceOptions)


parse_args = reader(Options, 'Test a recognizer', _EPILOG)


def run(options: Options) -> None:
    """Test, for the command line."""
    with only_for_people():
        test(options)


def test(options: Options) -> Dict[str, Any]:
    """Test; the metrics are printed, and returned."""
    from mmengine.dist import is_main_process

    from projects.vifi_clip.apis.runs import until_it_goes
    from projects.vifi_clip.files import write_json
    with until_it_goes(options.config, options.common.cfg_options):
        runner = tester(options)
        metrics = runner.test()
    if options.metrics and is_main_process():
        write_json(options.metrics, record(runner.cfg, options, metrics))
    return metrics


def tester(options: Options) -> Runner:
    """Read the config, check all that the test needs, and build its runner.
    """
    from projects.vifi_clip.apis.config import load_config
    from projects.vifi_clip.apis.config_lists import check_lists
    from projects.vifi_clip.apis.loggers import check_loggers
    from projects.vifi_clip.apis.runs import build_runner, prepare_distributed
    cfg = load_config(options.config, **options.common.settings())
    _set_options(cfg, options)
    _set_outputs(cfg, options)
    check_loggers(cfg)
    check_lists(cfg, ('test', ))
    prepare_distributed(cfg)
    # MMEngine writes the config into the work folder under this name; that
    # of the training stays as it is, without this test's checkpoint.
    name = osp.basename(cfg.filename).removeprefix('test_')
    object.__setattr__(cfg, '_filename', f'test_{name}')
    return build_runner(cfg)


def _set_options(cfg: Config, options: Options) -> None:
    """Put the options into a config."""
    import torch

    from projects.vifi_clip.apis.config import leave_out_pretrained
    from projects.vifi_clip.checkpoints.files import check_weights_exist
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
    if options.common.amp:
        cfg.test_cfg.fp16 = True  # MMEngine's loop: torch's default autocast
        torch.set_autocast_dtype('cuda', torch.bfloat16)  # as on CPU
    inference = options.faster.settings()
    if inference:
        cfg.custom_hooks = [*cfg.get('custom_hooks', []),
                            dict(type='InferenceHook', **inference)]
    if options.checkpoint != 'none':
        check_weights_exist(options.checkpoint)
        cfg.load_from = options.checkpoint
        leave_out_pretrained(cfg)


def _set_outputs(cfg: Config, options: Options) -> None:
    """Check the output files, and let the evaluators write them."""
    for name, path, kind, suffixes in (
            ('--dump', options.dump, 'DumpResults', ('.pkl', '.pickle')),
            ('--predictions', options.predictions, 'PredictionsFile',
             ('.csv', ))):
        if not path:
            continue
        stem, suffix = osp.splitext(path)
        for test_set in cfg.test_cfg.get('sets') or [None]:
            check_target(name, f'{stem}_{test_set["name"]}{suffix}'
                         if test_set else path, suffixes)
        metrics = cfg.test_evaluator
        cfg.test_evaluator = [
            *(metrics if isinstance(metrics, list) else [metrics]),
            dict(type=kind, out_file_path=path)]
    if options.metrics:
        check_target('--metrics', options.metrics, ('.json', ))


def record(cfg: Config, options: Options,
           metrics: Dict[str, Any]) -> Dict[str, Any]:
    """The metrics with what decides them: weights, prompt, pixels, knobs,
    lists."""
    import numpy as np

    from projects.vifi_clip.apis.config_lists import list_origins
    text = cfg.model.get('cls_head', {}).get('text_classifier', {})
    pixels = cfg.model.get('data_preprocessor') or {}
    pixels = (pixels.get('preprocessors') or {}).get('imgs', pixels)
    return dict(
        config=osp.basename(cfg.filename).removeprefix('test_'),
        checkpoint=options.checkpoint,
        knobs=cfg.get('knobs', {}),
        templates=text.get('templates'),
        mean=pixels.get('mean'),
        std=pixels.get('std'),
        lists=list_origins(cfg),
        single_view=options.single_view,
        inference=options.faster.settings(),
        # a confusion matrix is a tensor
        metrics={key: np.asarray(value).tolist()
                 for key, value in metrics.items()})
