"""A trained model from a config and a checkpoint; its device."""
import copy
import logging
import os
from datetime import timedelta
from typing import Mapping, Optional, Sequence, Tuple, Union

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_dist_info
from mmengine.logging import MMLogger, print_log
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from torch import distributed, nn

from ..architectures import build_tokenizer, check_prompt, get_arch_cfg
from ..checkpoints.settings import check_file
from ..datasets.class_list import read_class_list
from ..errors import first_line
from ..models.text_classifier import check_templates
from .config import (blamed_on, leave_out_pretrained, override,
                     read_config)
from .pipeline import Views, pipeline_cfg


def load_model(config: Union[str, Config],
               checkpoint: Optional[str] = None, device: str = 'auto',
               trust: bool = False, cfg_options: Optional[dict] = None,
               class_names: Optional[Sequence[str]] = None,
               templates: Optional[Sequence[str]] = None,
               views: Sequence[Views] = ()) -> Tuple[nn.Module, Config]:
    """Build a recognizer, fill it, and see that the two belong together.

    LoRA is folded into its weights.

    Args:
        config (str | Config): Path of a config, name of an entry in
            ``configs/`` ('vifi_k400'; 'small_world', whose weights ship with
            the package), or a Config.
        checkpoint (str, optional): File or web address. Defaults to None:
            the config's ``load_from``, or else the model as its config
            builds it, such as frozen CLIP.
        device (str): 'cpu', 'cuda:0', ...; 'auto' is a GPU if there is one.
            Defaults to 'auto'.
        trust (bool): Let the checkpoint run code while it loads, and the
            config of a model from the Hub. Defaults to False.
        cfg_options (dict, optional): Settings to override, with dots in
            nested keys.
        class_names (Sequence[str], optional): Label set in place of the
            config's, whose class file then need not be there.
        templates (Sequence[str], optional), views (Sequence[Views]): What the
            model will be asked for, so that too long a prompt, and views that
            its pipelines do not have, are refused before weights are loaded.

    Returns:
        tuple[nn.Module, Config]: The model in eval mode, and its config.

    Raises:
        FileNotFoundError: No such config or checkpoint.
        ValueError: A bad knob or device, or weights that do not fit.
        UserError: The checkpoint was made with other settings.
    """
    if checkpoint == '':
        raise ValueError('checkpoint is empty (an unset variable?): give a '
                         "file, or 'none'")
    device = find_device(device)
    cfg = (copy.deepcopy(config) if isinstance(config, Config) else
           read_config(os.fspath(config), trust))
    override(cfg, cfg_options)
    unsaid = checkpoint is None and not cfg.get('load_from')
    if checkpoint in (None, 'none'):
        checkpoint = cfg.get('load_from')
    checkpoint = checkpoint and os.fspath(checkpoint)
    if checkpoint:
        leave_out_pretrained(cfg)
    cfg.model.pop('lora', None)  # is folded into the weights of the file
    head = cfg.model.get('cls_head') or {}
    text = head.get('text_classifier') or {}
    if not text and class_names is not None:
        raise ValueError(
            f'The model of {cfg.filename} has a fixed set of classes; '
            'labels need a head with a text_classifier')
    if class_names is not None:
        text.update(class_names=list(class_names), class_file=None,
                    description_file=None)
    with blamed_on(cfg.filename, cfg_options):
        if text and (class_names is not None or templates is not None):
            _check_prompts(text, templates)
        for asked in views:
            pipeline_cfg(cfg, asked)
        init_default_scope(cfg.get('default_scope', 'mmaction'))
        model = MODELS.build(cfg.model)
    if unsaid and getattr(model.backbone, 'pretrained', '') is None:
        print_log(f'{cfg.filename} names no weights, so that answers are '
                  'random: give --checkpoint FILE', 'current',
                  logging.WARNING)
    if checkpoint:
        with blamed_on(checkpoint):
            check_file(checkpoint, model, cfg)
            load_checkpoint(model, checkpoint, map_location='cpu',
                            logger=MMLogger.get_current_instance())
    return model.to(device).eval(), cfg


def _check_prompts(text: Mapping, templates: Optional[Sequence[str]]) -> None:
    """Refuse a class whose prompt is longer than the context (ValueError);
    learnt prompts, which come before it, are the model's to count."""
    tokenizer = build_tokenizer(text['arch'], text.get('tokenizer'))
    context = get_arch_cfg(text['arch'])['text_cfg'].get('context_length', 77)
    names = text.get('class_names') or read_class_list(text['class_file'])
    for template in check_templates(templates or text.get('templates'), '{}'):
        for name in names:
            check_prompt(tokenizer, template.replace('{}', name), name,
                         context)


def find_device(device: str) -> str:
    """Make 'auto' definite, and refuse a device that is not here."""
    if device == 'auto':
        return get_device()
    try:
        torch.empty(0, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f'--device {device} cannot be used: {first_line(error)}; this '
            f'machine has {get_device()}') from error
    return device


def join_processes() -> Tuple[int, int]:
    """Join the processes that torchrun started, each with a GPU of its own.

    Call it before a model is loaded; alone, it does nothing. Returns the
    rank and the number of processes.
    """
    if (int(os.environ.get('WORLD_SIZE', 1)) > 1
            and not distributed.is_initialized()):
        # a week: one may have much longer videos than another
        distributed.init_process_group('gloo', timeout=timedelta(7))
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get('LOCAL_RANK', 0))
                                  % torch.cuda.device_count())
    return get_dist_info()
