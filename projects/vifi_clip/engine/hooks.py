"""Hooks that MMEngine lacks."""
import os.path as osp
import random
from typing import Iterator, Optional, Tuple

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..checkpoints.settings import unwrapped
from ..errors import UserError


def datasets_with(dataset, attribute: str) -> Iterator:
    """Yield what has an attribute: a dataset, or any that it wraps (Repeat,
    Concat, ClassBalanced)."""
    if hasattr(dataset, attribute):
        yield dataset
    for child in getattr(dataset, 'datasets', [
            getattr(dataset, 'dataset', None)]):
        if child is not None:
            yield from datasets_with(child, attribute)


def text_classifier_of(model: nn.Module) -> Optional[nn.Module]:
    """The text classifier of a model or a wrapped one, or None."""
    head = getattr(unwrapped(model), 'cls_head', None)
    return getattr(head, 'text_classifier', None)


def batches_done(runner: Runner) -> int:
    """How many micro-batches of this epoch were trained on before the run
    was resumed."""
    return getattr(runner.train_loop, 'batches_done', 0)


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Randomness follows from (seed, epoch, iteration, rank) alone.

    MMEngine saves no random state and seeds workers alike in every epoch.
    With this hook, mixup and dropout in the main process, and augmentation
    in the workers (through ``CheckedVideoDataset.set_epoch``), come out the
    same whether a run was resumed or not, and for any number of workers.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the datasets the epoch, and those without a seed the runner's,
        before workers copy them."""
        for dataset in datasets_with(runner.train_dataloader.dataset,
                                     'set_epoch'):
            if dataset.seed is None:
                dataset.seed = runner.seed
            dataset.set_epoch(runner.epoch)

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch=None) -> None:
        """Seed the main process, at each iteration: a run may be resumed
        there."""
        seeds = np.random.SeedSequence([
            runner.seed, runner.epoch, get_rank(), batch_idx
        ]).generate_state(3)
        random.seed(int(seeds[0]))
        np.random.seed(seeds[1])
        torch.manual_seed(int(seeds[2]))


@HOOKS.register_module()
class EpochAccumulationHook(Hook):
    """Discards what does not fill an optimizer step at an epoch's end.

    So does ViFi-CLIP's released code: an epoch of L micro-batches has
    L // ``accumulative_counts`` steps. MMEngine would carry the gradients
    over to the next epoch. They are in no checkpoint, so a resumed run would
    go another way than an unbroken one.
    """

    def before_train(self, runner: Runner) -> None:
        """Say how many steps an epoch has; refuse none (UserError)."""
        if not self._counts(runner):
            return
        loader = runner.train_dataloader
        needed = runner.optim_wrapper._accumulative_counts
        batches = len(loader)
        epoch = (f'{len(loader.dataset)} videos / ({get_world_size()} '
                 f'processes x batch {loader.batch_size}) = {batches} '
                 'micro-batches in an epoch')
        if not isinstance(needed, int):
            raise UserError('optim_wrapper.accumulative_counts must be a '
                            f'whole number from 1, got {needed!r}')
        if batches < needed:
            setting = ('a smaller train_dataloader.batch_size'
                       if not batches else 'optim_wrapper.accumulative_counts='
                       f'{batches}, or less')
            raise UserError(f'{epoch}, fewer than the accumulative_counts='
                            f'{needed} of a step: set {setting}')
        runner.logger.info(
            f'{epoch}, {batches // needed} optimizer steps of {needed}; '
            'videos left over are skipped, different ones each epoch')
        if batches // needed == 1:
            runner.logger.warning(
                f'an epoch is one optimizer step: {runner.max_epochs} epochs '
                f'are {runner.max_epochs} steps, which is little to learn '
                'from. Set a smaller train_dataloader.batch_size or '
                'optim_wrapper.accumulative_counts, or train for more epochs')
        head = getattr(unwrapped(runner.model), 'cls_head', None)
        if needed > 1 and getattr(
                getattr(head, 'loss_cls', None), 'in_batch', False):
            runner.logger.warning(
                f'{type(head.loss_cls).__name__} compares only the videos of '
                f'a micro-batch, so that accumulative_counts={needed} differs '
                f'from a batch of {needed * loader.batch_size} a process: '
                'raise train_dataloader.batch_size instead')

    def before_train_epoch(self, runner: Runner) -> None:
        """Count micro-batches from the start of each epoch, with those that
        an earlier run had."""
        if self._counts(runner):
            # Rounded up, so that MMEngine takes no short step at the end.
            step = runner.optim_wrapper._accumulative_counts
            most = -(-len(runner.train_dataloader) // step) * step
            runner.optim_wrapper.initialize_count_status(
                runner.model, batches_done(runner), most)

    def after_train_epoch(self, runner: Runner) -> None:
        """Discard the gradients of micro-batches that fill no step."""
        if self._counts(runner):
            runner.optim_wrapper.zero_grad()
            classifier = text_classifier_of(runner.model)
            if classifier is not None:
                classifier.class_accumulation.drop()

    @staticmethod
    def _counts(runner: Runner) -> bool:
        """Whether epochs are trained by a wrapper that counts."""
        return isinstance(runner.train_loop, EpochBasedTrainLoop) and hasattr(
            runner.optim_wrapper, '_accumulative_counts')


@HOOKS.register_module()
class TextAccumulationHook(Hook):
    """Tells the text classifier which micro-batch of a step comes.

    With ``accumulative_counts`` n > 1 and a text side that trains, classes
    are then encoded, and run backward, once a step and not n times, with the
    same gradients; see ``models/class_embeddings.py``.

    It leaves alone what it cannot know: optimizer wrappers with rules of their
    own (OptimWrapperDict), model wrappers other than DDP, a static graph,
    parameters that FSDP shards; and in-batch losses, whose texts differ.
    """

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        wrapper, model = runner.optim_wrapper, runner.model
        classifier = text_classifier_of(model)
        if classifier is not None:
            classifier.class_accumulation.end()
            if _follows_mmengine(wrapper, model):
                count = wrapper._inner_count % wrapper._accumulative_counts
                classifier.class_accumulation.begin(
                    first=count == 0, last=wrapper.should_sync())

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Let other calls of the model encode in the plain way."""
        classifier = text_classifier_of(runner.model)
        if classifier is not None:
            classifier.class_accumulation.end()


def _follows_mmengine(wrapper, model: nn.Module) -> bool:
    # What decides when MMEngine's wrapper scales, synchronises and steps.
    rules = ('update_params', 'should_update', 'should_sync', 'scale_loss',
             'zero_grad')
    if not isinstance(wrapper, OptimWrapper) or any(
            getattr(type(wrapper), name) is not getattr(OptimWrapper, name)
            for name in rules) or wrapper._accumulative_counts <= 1:
        return False
    ddp = isinstance(model, DistributedDataParallel)
    return not (ddp and model.static_graph
                or is_model_wrapper(model) and not ddp
                or any(hasattr(p, 'to_local') for p in model.parameters()))


@HOOKS.register_module()
class BadVideoHook(Hook):
    """Reports the videos that could not be read, after each epoch."""

    def after_train_epoch(self, runner: Runner) -> None:
        """Log what training skipped; UserError if all processes together
        found more bad videos than a dataset's ``max_bad_ratio`` allows. Each
        sees the bound for itself, too, but reads its own share only."""
        whole = runner.train_dataloader.dataset
        self._report(runner, whole, 'skipped in training')
        for dataset in datasets_with(whole, 'max_bad_ratio'):
            bad, listed = _bad_videos(dataset)
            if bad > dataset.max_bad_ratio * len(dataset):
                raise UserError(
                    f'{dataset.ann_file}: {bad} of {len(dataset)} videos are '
                    f'bad: {listed}; delete their lines or raise '
                    f'max_bad_ratio={dataset.max_bad_ratio}')

    def after_test_epoch(self, runner: Runner, metrics=None,
                         loop=None) -> None:
        """Log what the test counted as wrong."""
        loop = loop or runner.test_loop
        for loader in getattr(loop, 'dataloaders', [loop.dataloader]):
            self._report(runner, loader.dataset, 'counted as wrong')

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        self.after_test_epoch(runner, loop=runner.val_loop)

    @staticmethod
    def _report(runner: Runner, dataset, treatment: str) -> None:
        bad, listed = _bad_videos(dataset)
        if bad:
            runner.logger.warning(
                f'{bad} of {len(dataset)} videos could not be read and were '
                f'{treatment}: {listed}')


def _bad_videos(dataset) -> Tuple[int, str]:
    """Return how many videos any process found bad, and the first names; all
    processes must ask."""
    names = [name for part in datasets_with(dataset, 'bad_videos')
             for name in part.bad_videos]
    names = sorted(set().union(*all_gather_object(names)))
    return len(names), ', '.join(names[:10]) + ' ...' * (len(names) > 10)


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Keeps checkpoints loadable without running code.

    ``torch.load(weights_only=True)`` refuses the history of logged values in
    MMEngine's checkpoints, whose pickle calls ``getattr``, and numpy's
    scalars. They are stored as tensors and plain numbers; the history is
    restored on loading. The config in a checkpoint is Python source, which
    resuming would run; it is for people to read.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """History buffers to tensors, numpy's scalars to Python's."""
        hub = checkpoint.get('message_hub', {})
        info, scalars = (hub.get(part, {})
                         for part in ('runtime_info', 'log_scalars'))
        info.update({name: value.item() for name, value in info.items()
                     if isinstance(value, np.generic)})
        for name, buffer in scalars.items():
            log, count = map(torch.as_tensor, buffer.data)
            scalars[name] = dict(
                log=log, count=count, max_length=buffer.max_length)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Tensors, on whatever device, to history buffers."""
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        hub = checkpoint.get('message_hub')
        scalars = hub.get('log_scalars', {}) if isinstance(hub, dict) else {}
        for name, plain in scalars.items():
            if isinstance(plain, dict):
                scalars[name] = HistoryBuffer(plain['log'].cpu().numpy(),
                                              plain['count'].cpu().numpy(),
                                              plain['max_length'])


@HOOKS.register_module()
class ClassListHook(Hook):
    """Stops a run whose model and data have different label sets, or several
    labels a video: label 3 could be another class to each, and all that one
    sees a low accuracy."""

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        _check_classes(runner, runner.train_dataloader)
        # A loop over several sets gives the model each set's own classes.
        if runner.val_loop is not None and not hasattr(
                runner.val_loop, 'dataloaders'):
            self.before_val(runner)

    def before_val(self, runner: Runner) -> None:
        _check_classes(runner, runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        _check_classes(runner, runner.test_dataloader)


def _check_classes(runner: Runner, dataloader) -> None:
    classifier = text_classifier_of(runner.model)
    names = classifier and classifier.class_names
    for dataset in datasets_with(dataloader.dataset, 'multi_class'):
        if names and dataset.multi_class:
            raise UserError(
                f'{dataset.ann_file}: multi_class=True, but multi-label '
                'training is not supported by this model, whose scores are a '
                'softmax; give each video one label')
    for dataset in datasets_with(dataloader.dataset, 'class_names'):
        others = dataset.class_names
        if names and others and others != names:
            first = len(osp.commonprefix([list(names), list(others)]))
            raise UserError(
                f'The class_file of {dataset.ann_file} has {len(others)} '
                f'classes and the model\'s text_classifier {len(names)}; the '
                f'first to differ is label {first}. Give both the same list.')


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops a training whose loss is not finite any more (UserError): the
    best of NaNs is class 0, and the accuracy looks like any bad one.

    Args:
        interval (int): Look every so many iterations, and at each epoch's
            last, before it is saved. Defaults to 50, since looking makes a
            GPU wait.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch=None,
                         outputs: Optional[dict] = None) -> None:
        last = self.is_last_train_iter(runner) or self.end_of_epoch(
            runner.train_dataloader, batch_idx)
        if not (last or self.every_n_train_iters(runner, self.interval)):
            return
        loss = (outputs or {}).get('loss')
        if loss is not None and not torch.isfinite(loss).all():
            raise UserError(
                f'the loss is {float(loss.detach().mean())} in epoch '
                f'{runner.epoch + 1}, iteration {runner.iter + 1}; lower the '
                'learning rate, or start from other weights')
