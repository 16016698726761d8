"""What tools/train.py and tools/test.py share."""
from __future__ import annotations

import copy
import os
import os.path as osp
from typing import TYPE_CHECKING, Optional

from ..datasets.loader_settings import resolve_workers
from ..errors import UserError
from . import knobs
from .strategy import check_name

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner


# Models that refuse a checkpoint which lacks a parameter.
_STRICT = ('ViFiCLIP', 'ViFiCLIPRetriever')


def load_config(config: str,
                cfg_options: Optional[dict] = None,
                work_dir: Optional[str] = None,
                launcher: str = 'none',
                trust: bool = False) -> Config:
    """Read a config for a run: its folder, launcher and data workers set.

    Args:
        config (str): Path, or the name of an entry such as 'vifi_k400'.
        cfg_options (dict, optional): Settings to override.
        work_dir (str, optional): Defaults to ``work_dirs/<name>``, with the
            knobs that are turned.
        launcher (str): As MMEngine's. Defaults to 'none'.
        trust (bool): See :func:`read_config`.

    Raises:
        FileNotFoundError: No such config.
        ValueError: A knob is misspelled or has a bad value.
    """
    cfg = read_config(config, trust)
    cfg.launcher = launcher
    chosen = resolve_workers(cfg)
    environ = os.environ
    if chosen and environ.get('RANK', environ.get('SLURM_PROCID', '0')) == '0':
        print(chosen, flush=True)
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    if work_dir:
        cfg.work_dir = work_dir
    elif not cfg.get('work_dir'):
        name = osp.splitext(osp.basename(cfg.filename))[0]
        turned = knobs.experiment(knobs.read_knobs(cfg.filename))
        cfg.work_dir = osp.join('work_dirs',
                                f'{name}-{turned}' if turned else name)
    return cfg


def read_config(config: str, trust: bool = False) -> Config:
    """A config file, its knobs checked and noted in ``cfg.knobs``.

    Args:
        config (str): Path, or the name of an entry such as 'vifi_k400'.
        trust (bool): Let checkpoint files run code while they load, in this
            process from now on. Defaults to False.

    Raises:
        FileNotFoundError: No such config.
        ValueError: A knob is misspelled or has a bad value.
    """
    from mmengine.config import Config

    from ..checkpoints.files import register_loader
    from ..resources import find_config
    config = find_config(config)
    register_loader(trust=trust)
    check_name()
    known = knobs.read_knobs(config)
    knobs.check_knobs(config, known)
    try:
        cfg = Config.fromfile(config)
    except (ValueError, OSError, KeyError, UserError):
        raise  # say what is wrong themselves
    except Exception as error:  # a config is code
        raise UserError(f'{config} cannot be read: {type(error).__name__}: '
                        f'{error}'.splitlines()[0]) from error
    check_model(cfg)
    if known:  # for the record in the work directory
        cfg.knobs = knobs.values(known)
    return cfg


def check_model(cfg: Config) -> None:
    """Refuse a config that describes no model, or no pipeline where it should.

    Raises:
        ValueError: Naming the setting.
    """
    model = cfg.get('model')
    if not isinstance(model, dict) or 'type' not in model:
        raise ValueError(f'{cfg.filename}: model must be a dict with a type, '
                         f'got {model!r}')
    for name in 'train_pipeline', 'val_pipeline', 'test_pipeline':
        if name in cfg and not isinstance(cfg[name], (list, tuple)):
            raise ValueError(f'{cfg.filename}: {name} must be a list of '
                             f'transforms, got {cfg[name]!r}')


def leave_out_pretrained(cfg: Config) -> None:
    """For a model that a checkpoint fills: do not load, or download, the
    weights that it started from.

    Only where every parameter is in the checkpoint and a missing one would be
    an error, which is so for ours unless they save what trains alone.
    """
    model = cfg.model
    if model.get('type') not in _STRICT or model.get('save_trainable_only'):
        return
    cfg.model = without_pretrained(model)


def without_pretrained(model: Config) -> Config:
    """A copy of a model's config that loads no weights."""
    model = copy.deepcopy(model)
    head = model.get('cls_head') or {}
    for part in model.get('backbone'), head.get('text_classifier'):
        if part and part.get('pretrained'):
            part['pretrained'] = None
    return model


def prepare_distributed(cfg: Config) -> None:
    """Let several processes run on CPU.

    MMEngine's launcher calls ``torch.cuda.set_device`` whatever the backend,
    and gives DDP a device id; so the process group is made here.
    """
    import torch
    if cfg.launcher == 'none' or torch.cuda.is_available():
        return
    if cfg.launcher != 'pytorch':
        raise ValueError(f'--launcher {cfg.launcher} needs GPUs; on CPU use '
                         'tools/dist_train.sh or tools/dist_test.sh.')
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False)


def build_runner(cfg: Config) -> Runner:
    """The config's runner, as MMAction2's tools build it."""
    from mmaction.registry import RUNNERS
    from mmengine.runner import Runner

    from ..checkpoints.settings_hook import CheckpointSettingsHook
    from ..engine import ClassListHook, PlainCheckpointHook
    if 'runner_type' in cfg:
        runner = RUNNERS.build(cfg)
    else:
        runner = Runner.from_cfg(cfg)
    # For configs that do not use our runtime: what is saved here can be
    # loaded here, and labels mean to the model what they mean in the data.
    for hook in PlainCheckpointHook, ClassListHook, CheckpointSettingsHook:
        if not any(isinstance(h, hook) for h in runner.hooks):
            runner.register_hook(hook())
    return runner
