"""Command line of tools that use a model; imports nothing heavy."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, List

from .inference_options import add_inference_arguments, inference_settings
from projects.vifi_clip.apis.config import DictAction

if TYPE_CHECKING:
    from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer

CONFIG = 'vifi_zero_shot'


def add_model_arguments(parser: argparse.ArgumentParser,
                        several: bool = False) -> None:
    """Which model, and where it runs.

    Args:
        parser (ArgumentParser): Gets the options.
        several (bool): ``--config`` and ``--checkpoint`` take several, for
            tools that put models side by side. Defaults to False.
    """
    group = parser.add_argument_group('model')
    many = dict(nargs='+') if several else {}
    group.add_argument(
        '--config', default=[CONFIG] if several else CONFIG,
        help="a config file, or the name of one that comes along; "
        "'small_world' needs no download (default: vifi_zero_shot, which "
        "without a checkpoint is OpenAI's CLIP ViT-B/16)", **many)
    group.add_argument(
        '--checkpoint', default=[None] if several else None,
        help='trained weights, a file or a web address (default: those that '
        'the config names)', **many)
    group.add_argument('--device', default='auto', help='cpu, cuda:0 ... '
                       '(default: a GPU if there is one)')
    group.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
        help='override settings of the config')
    group.add_argument(
        '--trust', action='store_true', help='let checkpoint files run code '
        'while they load; only for files whose origin you trust')
    add_inference_arguments(parser)


def inferencer_from_args(args: argparse.Namespace,
                         **kwargs) -> ViFiCLIPInferencer:
    """The model that the command line names.

    Args:
        args (Namespace): Of :func:`add_model_arguments`.
        kwargs: Of :class:`ViFiCLIPInferencer`, such as ``labels``.
    """
    settings = inference_settings(args)
    quiet_logs()
    from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
    return ViFiCLIPInferencer(args.config, args.checkpoint, args.device,
                              args.trust, args.cfg_options, **kwargs,
                              **settings)


def quiet_logs() -> None:
    """MMEngine's messages to standard error, and only warnings: standard
    output is the command's, for people and for pipes."""
    import logging
    import sys

    from mmengine.logging import MMLogger
    logger = MMLogger.get_current_instance()
    logger.setLevel(logging.WARNING)
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler:
            # setStream would flush the old one, which may be closed
            handler.stream = sys.stderr
            handler.setLevel(logging.WARNING)


def inferencers_from_args(args: argparse.Namespace,
                          **kwargs) -> List[ViFiCLIPInferencer]:
    """One model for each checkpoint (``several=True``).

    Raises:
        ValueError: Several configs and another number of checkpoints.
    """
    configs, checkpoints = list(args.config), list(args.checkpoint)
    if len(configs) == 1:
        configs *= len(checkpoints)
    elif checkpoints == [None]:
        checkpoints *= len(configs)
    if len(configs) != len(checkpoints):
        raise ValueError(
            f'{len(configs)} configs and {len(checkpoints)} checkpoints: give '
            "one config, or one for each checkpoint ('none' for a config's "
            'own weights)')
    models = []
    for config, checkpoint in zip(configs, checkpoints):
        one = argparse.Namespace(**{
            **vars(args), 'config': config, 'checkpoint': checkpoint})
        models.append(inferencer_from_args(one, **kwargs))
    return models
