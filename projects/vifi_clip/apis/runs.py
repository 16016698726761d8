"""Train and test a config, as MMAction2's tools do."""
from __future__ import annotations

import copy
import gc
import os.path as osp
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional

import torch
from mmaction.registry import MODELS, RUNNERS
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import (all_reduce, get_dist_info, get_world_size,
                           init_dist, is_distributed)
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, find_latest_checkpoint

from ..checkpoints.settings import CheckpointSettingsHook, unwrapped
from ..datasets.loader_settings import processes_here
from ..engine import (AuxiliaryHook, ClassListHook, NewWordsHook,
                      PlainCheckpointHook, ResumeHook)
from ..engine.averaging import check_average
from ..errors import UserError
from .config import blamed_on, load_config, without_pretrained
from .config_lists import check_lists
from .loggers import add_loggers, check_loggers
from .model_card import validation_metrics
from .model_folder import best_checkpoint, save_model_folder

_RESERVE = 0.9  # of the free memory: a step does not always peak alike


class _Going(Hook):
    """Knows whether an iteration of a run has been done."""

    going = False

    def _after_iter(self, *args, **kwargs) -> None:
        _Going.going = True


@contextmanager
def until_it_goes(config: str, cfg_options: Optional[dict]) -> Iterator[None]:
    """Blame a config, and the settings that override it, for what goes wrong
    before the first iteration of a run; see :func:`blamed_on`."""
    _Going.going = False
    with blamed_on(config, cfg_options, lambda: _Going.going):
        yield


def train(config: str, amp: bool = False, resume: Optional[str] = None,
          validate: bool = True, auto_scale_lr: bool = False,
          auto_accumulate: Optional[int] = None, seed: Optional[int] = None,
          diff_rank_seed: bool = False, deterministic: bool = False,
          tensorboard: bool = False, wandb: bool = False,
          **options: Any) -> None:
    """Train a config, with the arguments of ``vifi-clip train``.

    ``amp`` is bfloat16 autocast, ``resume`` a checkpoint or 'auto' for the
    latest of the work directory, ``auto_accumulate`` the samples of a step
    (:func:`accumulate`), ``tensorboard`` and ``wandb`` add loggers
    (:func:`add_loggers`), ``options`` are those of :func:`load_config`.

    Raises:
        FileNotFoundError: A config, list or checkpoint is absent.
        UserError: A logger whose library is not installed.
        ValueError: A setting that does not go with the config.
    """
    cfg = load_config(config, **options)
    if cfg.model.get('tune') == 'none' and not cfg.model.get('trainable'):
        raise ValueError("TUNE=none (model.tune='none') trains nothing: test "
                         'it with tools/test.py CONFIG none')
    if not cfg.get('train_dataloader'):
        raise ValueError(f'{cfg.filename} has no train_dataloader: train '
                         'another config')
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        if 'checkpoint' in cfg.get('default_hooks', {}):
            cfg.default_hooks.checkpoint.save_best = None
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if amp and kind != 'AmpOptimWrapper':
        if kind not in ('OptimWrapper', 'AutocastOptimWrapper'):
            raise ValueError('--amp cannot be combined with optim_wrapper '
                             f'{kind!r}')
        cfg.optim_wrapper.update(type='AutocastOptimWrapper',
                                 dtype='bfloat16')
    if resume:
        path = latest_checkpoint(cfg.work_dir) if resume == 'auto' else resume
        # With nothing to resume, the config's load_from still holds.
        cfg.resume, cfg.load_from = bool(path), path or cfg.get('load_from')
    if auto_scale_lr and auto_accumulate is not None:
        raise ValueError('--auto-scale-lr scales by the micro-batch, which '
                         '--auto-accumulate may change: give only one of them')
    if auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size='
                f'...) in {cfg.filename}: the batch of its learning rate')
        cfg.auto_scale_lr.enable = True
    given = dict(seed=seed, diff_rank_seed=diff_rank_seed or None,
                 deterministic=deterministic or None)
    cfg.randomness = dict(cfg.get('randomness') or {}, **{
        k: v for k, v in given.items() if v is not None})
    add_loggers(cfg, tensorboard, wandb)
    check_loggers(cfg)
    check_lists(cfg, ('train', 'val'))
    prepare_distributed(cfg)
    if auto_accumulate is not None:
        accumulate(cfg, auto_accumulate)
    runner = build_runner(cfg)
    if resume and not cfg.resume:
        runner.logger.warning('--resume: there is no checkpoint in '
                              f'{cfg.work_dir}; training starts from the '
                              'beginning')
    runner.train()
    _leave_model(runner)


def _leave_model(runner: Runner) -> None:
    """Write the model of the best validation, or else the last, as a folder
    that works anywhere: ``WORK_DIR/model``."""
    last = latest_checkpoint(runner.work_dir)
    checkpoint = best_checkpoint(runner, last)
    model = unwrapped(runner.model)
    if not checkpoint or runner.rank or not hasattr(
            getattr(model, 'cls_head', None), 'text_classifier'):
        return
    folder = osp.join(runner.work_dir, 'model')
    try:
        save_model_folder(runner.cfg, model, checkpoint, folder,
                          validation_metrics(runner, checkpoint != last))
    except OSError as error:  # the checkpoint is there
        runner.logger.warning(f'{folder} could not be written: {error}')
        return
    runner.logger.info(f'{folder} is {checkpoint} to be used anywhere: '
                       f'vifi-clip predict VIDEO --model {folder}')


def build_runner(cfg: Config) -> Runner:
    """Build the config's runner, as MMAction2's tools do."""
    check_average(cfg)
    runner = (RUNNERS.build(cfg) if 'runner_type' in cfg else
              Runner.from_cfg(cfg))
    runner.logger.info(
        f'{cfg.filename}: the whole log, with the config, is in '
        + osp.join(runner.log_dir, f'{runner.timestamp}.log'))
    # For configs that do not use our runtime: what is saved here can be
    # loaded here, and labels mean to the model what they mean in the data.
    for hook in (PlainCheckpointHook, ClassListHook, CheckpointSettingsHook,
                 ResumeHook, AuxiliaryHook, NewWordsHook):
        if not any(isinstance(h, hook) for h in runner.hooks):
            runner.register_hook(hook())
    runner.register_hook(_Going())
    load = runner.load_or_resume

    def load_or_resume() -> None:
        with blamed_on(runner._load_from):
            load()

    runner.load_or_resume = load_or_resume
    return runner


def prepare_distributed(cfg: Config) -> None:
    """Check a config's launcher, and let several processes run on CPU.

    MMEngine's launcher calls ``torch.cuda.set_device`` whatever the backend,
    and gives DDP a device id; so the process group is made here.
    """
    launcher = cfg.get('launcher', 'none')
    if cfg.get('strategy') and launcher == 'none':
        raise ValueError(f'{cfg.strategy.type} needs several processes: start '
                         'tools/dist_train.sh, or leave STRATEGY out')
    if launcher == 'none' or torch.cuda.is_available():
        return
    if launcher != 'pytorch':
        raise ValueError(f'--launcher {launcher} needs GPUs; on CPU use '
                         'tools/dist_train.sh or tools/dist_test.sh.')
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', device_ids=None,
        broadcast_buffers=False)


def latest_checkpoint(work_dir: str) -> Optional[str]:
    """Return the checkpoint to resume from, None if there is none: what
    MMEngine's ``last_checkpoint`` names or, where the folder was moved or the
    run was killed while it wrote the name, the newest one."""
    with suppress(ValueError, OSError):  # what is there is no such file
        named = find_latest_checkpoint(work_dir)
        if named and osp.isfile(named):
            return named
    files = [str(path) for name in ('epoch_*.pth', 'iter_*.pth')
             for path in Path(work_dir).glob(name)]
    return max(files, key=osp.getmtime, default=None)


def micro_batches(total: int, processes: int, batch_size: int) -> List[int]:
    """List the micro-batches that make up the ``total`` samples of an
    optimizer step, the largest first: ``batch_size`` and its divisors."""
    step = processes * batch_size
    if total < 1 or total % step:
        below = max(total, 0) // step * step
        near = f'{below} or {below + step}' if below else str(step)
        raise ValueError(
            f'--auto-accumulate {total} is not a multiple of {step} = '
            f'{processes} processes x '
            f'train_dataloader.batch_size={batch_size}: give {near}, or '
            'another batch_size')
    return [n for n in range(batch_size, 0, -1) if batch_size % n == 0]


def accumulate(cfg: Config, total: int) -> None:
    """Set batch size and accumulation of a config, after trying them.

    processes x ``train_dataloader.batch_size`` x ``accumulative_counts``
    becomes ``total``, with the largest micro-batch that fits in memory.
    ValueError if ``total`` does not divide; UserError if not even one sample
    fits, or only a smaller batch does and the loss is over the batch.
    """
    if cfg.get('launcher', 'none') != 'none' and not is_distributed():
        # as the runner would, which comes later
        init_dist(cfg.launcher, **cfg.env_cfg.dist_cfg)
    processes = get_dist_info()[1]
    given = cfg.train_dataloader.batch_size
    sizes = micro_batches(total, processes, given)
    # memory can be looked at on a GPU, or under Linux
    if cfg.get('strategy') or (get_device() == 'cpu' and not
                               Path('/proc/meminfo').exists()):
        tried, chosen = 'whether it fits was not tested', given
    else:
        chosen = largest(sizes, MemoryTrial(cfg).fits)
        _give_back_memory()
        tried = 'tested with a step of the model'
    if chosen != given and _is_in_batch(cfg.model):
        raise UserError(
            f'a batch of {given} does not fit in memory, and with an in-batch '
            f'loss {chosen} changes the training: set '
            f'train_dataloader.batch_size={chosen} if that is what you want, '
            'or take more processes or grad_checkpointing=True')
    counts = total // (processes * chosen)
    cfg.train_dataloader.batch_size = chosen
    cfg.optim_wrapper.accumulative_counts = counts
    print_log(
        f'--auto-accumulate: {processes} processes x batch {chosen} x '
        f'accumulation {counts} = {total} ({tried}; the config has batch '
        f'{given})', 'current')


def _is_in_batch(model: Config) -> bool:
    """Whether the loss compares the videos of a batch with each other."""
    loss = (model.get('cls_head') or {}).get('loss_cls') or {}
    return getattr(MODELS.get(str(loss.get('type'))), 'in_batch', False)


def largest(sizes: List[int], fits: Callable[[int], bool]) -> int:
    """Return the first size that fits on all processes."""
    for size in sizes:
        everywhere = torch.tensor(int(fits(size)))
        all_reduce(everywhere, op='min')
        if everywhere.item():
            return size
    raise UserError(
        'not even a batch of 1 fits in memory: use grad_checkpointing=True '
        'in the backbone and the text_classifier, fewer frames, TUNE=prompts '
        'or TUNE=image, or STRATEGY=fsdp')


class MemoryTrial:
    """Steps of a throw-away model on one sample of the training data.

    A GPU's memory is tried outright. Linux kills a process that asks for too
    much of the machine's, so there the peaks of one and two samples are
    measured, and what more would take is worked out from them.
    """

    def __init__(self, cfg: Config) -> None:
        cfg, self.device = copy.deepcopy(cfg), get_device()
        init_default_scope(cfg.get('default_scope', 'mmaction'))
        # Weights of any value take the same room.
        self.model = MODELS.build(without_pretrained(cfg.model))
        self.model.to(self.device).train()
        cfg.optim_wrapper.pop('accumulative_counts', None)
        self.wrapper = build_optim_wrapper(self.model, cfg.optim_wrapper)
        loader = dict(cfg.train_dataloader, num_workers=0)
        for key in 'persistent_workers', 'prefetch_factor':
            loader.pop(key, None)
        loader = Runner.build_dataloader(loader)
        self.sample, self.collate = loader.dataset[0], loader.collate_fn
        # DDP keeps the gradients once more, in its buckets.
        self.buckets = [
            torch.zeros_like(p) for p in self.model.parameters()
            if p.requires_grad and get_world_size() > 1
        ]
        if self.device == 'cpu':
            self.free = free_memory() / processes_here()
            self.peaks, start = [], _bytes('/proc/self/status', 'VmRSS:')
            for count in 1, 2:
                self.step(count)
                most = _bytes('/proc/self/status', 'VmHWM:')
                self.peaks.append(most - start)

    def fits(self, size: int) -> bool:
        """Tell whether a step on ``size`` samples fits in memory."""
        if self.device == 'cpu':
            first, second = self.peaks
            needed = first + (size - 1) * max(second - first, 0)
            return needed <= _RESERVE * self.free
        try:
            self.step(size)
            return True
        except torch.OutOfMemoryError:
            return False
        finally:
            self.wrapper.zero_grad()
            _give_back_memory()

    def step(self, size: int) -> None:
        """Make one training step on the sample, ``size`` times over."""
        data = self.collate([copy.deepcopy(self.sample) for _ in range(size)])
        self.model.train_step(data, self.wrapper)


def _give_back_memory() -> None:
    gc.collect()
    torch.cuda.empty_cache()


def free_memory() -> int:
    """Return the bytes that this machine or its container can give."""
    free = _bytes('/proc/meminfo', 'MemAvailable:')
    try:
        limit, used = (
            int(Path(f'/sys/fs/cgroup/memory.{name}').read_text())
            for name in ('max', 'current'))
    except (OSError, ValueError):  # no cgroup v2, or 'max'
        return free
    return min(free, limit - used)


def _bytes(path: str, name: str) -> int:
    """Read a line of Linux's own statistics, which are in KiB."""
    line = next(line for line in Path(path).read_text().splitlines()
                if line.startswith(name))
    return int(line.split()[1]) * 1024
