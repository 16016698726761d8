"""Hooks that MMEngine lacks."""
import random
from typing import Iterator, Optional

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..errors import UserError
from .text_accumulation import class_stores


def _datasets(dataset) -> Iterator:
    """A dataset and all that it wraps (Repeat, Concat, ClassBalanced)."""
    yield dataset
    inner = getattr(dataset, 'datasets', None) or [
        getattr(dataset, 'dataset', None)
    ]
    for child in inner:
        if child is not None:
            yield from _datasets(child)


def _epoch_aware(runner: Runner) -> list:
    return [
        dataset for dataset in _datasets(runner.train_dataloader.dataset)
        if hasattr(dataset, 'set_epoch')
    ]


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Each epoch's randomness follows from (seed, epoch, rank) alone.

    MMEngine saves no random state and seeds workers alike in every epoch.
    With this hook, mixup and dropout in the main process, and augmentation
    in the workers (through ``CheckedVideoDataset.set_epoch``), come out the
    same whether a run was resumed or not, and for any number of workers.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Give datasets without a seed of their own the runner's, before
        workers copy them."""
        for dataset in _epoch_aware(runner):
            if dataset.seed is None:
                dataset.seed = runner.seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the datasets the epoch."""
        for dataset in _epoch_aware(runner):
            dataset.set_epoch(runner.epoch)

    def before_train_iter(self,
                          runner: Runner,
                          batch_idx: int,
                          data_batch=None) -> None:
        """Seed the main process, at an epoch's first iteration: starting
        workers draws a number, and persistent ones start only once."""
        if batch_idx == 0:
            sequence = np.random.SeedSequence(
                [runner.seed, runner.epoch, get_rank()])
            state = sequence.generate_state(3)
            random.seed(int(state[0]))
            np.random.seed(int(state[1]))
            torch.manual_seed(int(state[2]))


@HOOKS.register_module()
class EpochAccumulationHook(Hook):
    """Discards what does not fill an optimizer step at an epoch's end.

    So does ViFi-CLIP's released code, whose learning rates are for so many
    steps: an epoch of L micro-batches has L // ``accumulative_counts`` steps.
    MMEngine would carry the gradients over to the next epoch. They are in no
    checkpoint, so a resumed run would go another way than an unbroken one.

    The dataloader's ``drop_last=True`` does the same with the last, short
    micro-batch.
    """

    def before_train(self, runner: Runner) -> None:
        """Say how many steps an epoch has.

        Raises:
            UserError: It has none.
        """
        if not self._counts(runner):
            return
        loader, wrapper = runner.train_dataloader, runner.optim_wrapper
        batches, needed = len(loader), wrapper._accumulative_counts
        videos, processes = len(loader.dataset), get_world_size()
        size = loader.batch_size
        said = (f'{videos} videos / ({processes} processes x batch {size}) = '
                f'{batches} micro-batches in an epoch')
        if not isinstance(needed, int):
            raise UserError('optim_wrapper.accumulative_counts must be a '
                            f'whole number from 1, got {needed!r}')
        if not batches:
            raise UserError(f'{said}: set a smaller '
                            'train_dataloader.batch_size')
        if batches < needed:
            raise UserError(
                f'{said}, fewer than the {needed} of an optimizer step '
                f'(optim_wrapper.accumulative_counts={needed}), so that no '
                'step would be taken: set '
                f'optim_wrapper.accumulative_counts={batches}, or less')
        runner.logger.info(
            f'{said}, {batches // needed} optimizer steps of {needed}; '
            'what does not fill a step is left out, other videos each epoch')

    def before_train_epoch(self, runner: Runner) -> None:
        """Count micro-batches from the start of each epoch."""
        if self._counts(runner):
            # Rounded up, so that MMEngine takes no short step at the end.
            step = runner.optim_wrapper._accumulative_counts
            most = -(-len(runner.train_dataloader) // step) * step
            runner.optim_wrapper.initialize_count_status(runner.model, 0, most)

    def after_train_epoch(self, runner: Runner) -> None:
        """Discard the gradients of micro-batches that fill no step."""
        if self._counts(runner):
            runner.optim_wrapper.zero_grad()
            for store in class_stores(runner.model):
                store.drop()

    @staticmethod
    def _counts(runner: Runner) -> bool:
        """Whether epochs are trained by a wrapper that counts. (DeepSpeed's
        engine accumulates by itself, through epochs.)"""
        return isinstance(runner.train_loop, EpochBasedTrainLoop) and hasattr(
            runner.optim_wrapper, '_accumulative_counts')


@HOOKS.register_module()
class ResumedValidationHook(Hook):
    """Validates a resumed epoch that an unbroken run would have validated.

    MMEngine writes an epoch's checkpoint before it validates the epoch. A run
    that is killed in between would never learn how good that epoch was, and
    might keep a worse one as the best. Where the validation was done, it is
    done again, to the same result.
    """

    priority = 'LOWEST'  # after CheckpointHook has got ready

    def before_train(self, runner: Runner) -> None:
        """Catch up before the next epoch."""
        loop = runner.train_loop
        if (not isinstance(loop, EpochBasedTrainLoop) or loop.epoch == 0
                or runner.val_loop is None):
            return
        loop._decide_current_val_interval()
        if loop.epoch >= loop.val_begin and (
                loop.epoch % loop.val_interval == 0
                or loop.epoch == loop.max_epochs):
            runner.logger.info(f'Validating the resumed epoch {loop.epoch}')
            runner.val_loop.run()


@HOOKS.register_module()
class BadVideoHook(Hook):
    """Reports the videos that could not be read, after each epoch."""

    def after_train_epoch(self, runner: Runner) -> None:
        """Log what training skipped.

        Raises:
            RuntimeError: All processes together found more bad videos than
                a dataset's ``max_bad_ratio`` allows. Each sees the bound
                for itself, too, but reads its own share of the data only.
        """
        self._report(runner.train_dataloader.dataset, runner,
                     'skipped in training')
        for dataset in _datasets(runner.train_dataloader.dataset):
            limit = getattr(dataset, 'max_bad_ratio', None)
            if limit is not None:
                bad = _bad_videos(dataset)
                if len(bad) > limit * len(dataset):
                    raise UserError(
                        f'{len(bad)} of the {len(dataset)} videos of '
                        f'{dataset.ann_file} are bad, more than '
                        f'max_bad_ratio={limit} allows: {_listed(bad)}; '
                        'replace the files, delete their lines or raise '
                        'max_bad_ratio')

    def after_test_epoch(self, runner: Runner, metrics=None) -> None:
        """Log what the test counted as wrong."""
        self._report_loop(runner, runner.test_loop)

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Log what the validation counted as wrong."""
        self._report_loop(runner, runner.val_loop)

    def _report_loop(self, runner: Runner, loop) -> None:
        for loader in getattr(loop, 'dataloaders', [loop.dataloader]):
            self._report(loader.dataset, runner, 'counted as wrong')

    @staticmethod
    def _report(dataset, runner: Runner, what: str) -> None:
        bad = _bad_videos(dataset)
        if bad:
            runner.logger.warning(
                f'{len(bad)} of {len(dataset)} videos could not be read and '
                f'were {what}: {_listed(bad)}')


def _bad_videos(dataset) -> list:
    """File names that any process found bad; all processes must ask."""
    own = [
        name for part in _datasets(dataset)
        for name in getattr(part, 'bad_videos', ())
    ]
    return sorted(set().union(*all_gather_object(own)))


def _listed(names: list, most: int = 10) -> str:
    return ', '.join(names[:most]) + (' ...' if len(names) > most else '')


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Keeps checkpoints loadable without running code.

    Two things in MMEngine's checkpoints are refused by
    ``torch.load(weights_only=True)``: the history of logged values, whose
    pickle calls ``getattr``, and numpy's scalars. They are stored as tensors
    and plain numbers; the history is restored on loading. The config in a
    checkpoint is Python source, which resuming would run; it is for people
    to read.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """History buffers to tensors, numpy's scalars to Python's."""
        hub = checkpoint.get('message_hub', {})
        info = hub.get('runtime_info', {})
        info.update({
            name: value.item()
            for name, value in info.items() if isinstance(value, np.generic)
        })
        scalars = hub.get('log_scalars', {})
        for name, buffer in scalars.items():
            log, count = buffer.data
            scalars[name] = dict(
                log=torch.as_tensor(log),
                count=torch.as_tensor(count),
                max_length=buffer.max_length)

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
    """Stops a run whose model and data have different label sets.

    Otherwise label 3 could be one class to the data and another to the
    model, and all that one would see is a low accuracy.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Check the data of training and of validation."""
        self._check(runner, runner.train_dataloader)
        # A loop over several sets gives the model each set's own classes.
        if runner.val_loop is not None and not hasattr(
                runner.val_loop, 'dataloaders'):
            self._check(runner, runner.val_dataloader)

    def before_val(self, runner: Runner) -> None:
        """Check the data of validation."""
        self._check(runner, runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Check the data of the test."""
        self._check(runner, runner.test_dataloader)

    @staticmethod
    def _check(runner: Runner, dataloader) -> None:
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        head = getattr(model, 'cls_head', None)
        classifier = getattr(head, 'text_classifier', None)
        if classifier is None:
            return
        for dataset in _datasets(dataloader.dataset):
            names = getattr(dataset, 'class_names', None)
            if not names or names == classifier.class_names:
                continue
            ours = classifier.class_names
            first = next((i for i, pair in enumerate(zip(names, ours))
                          if pair[0] != pair[1]), min(len(names), len(ours)))
            raise UserError(
                f'The class_file of {dataset.ann_file} has {len(names)} '
                f'classes and the model\'s text_classifier {len(ours)}; the '
                f'first to differ is label {first}. Give both the same list.')


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops a training whose loss is not finite any more.

    Its weights would be saved, tested and reported: the best of NaNs is class
    0, and the accuracy looks like any bad one.

    Args:
        interval (int): Look every so many iterations, and at each epoch's
            last, before it is saved. Defaults to 50, since looking makes a
            GPU wait.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch=None,
                         outputs: Optional[dict] = None) -> None:
        """Look at the loss.

        Raises:
            UserError: It is not finite.
        """
        last = self.is_last_train_iter(runner) or self.end_of_epoch(
            runner.train_dataloader, batch_idx)
        if not (last or self.every_n_train_iters(runner, self.interval)):
            return
        loss = (outputs or {}).get('loss')
        if loss is not None and not bool(torch.isfinite(loss).all()):
            raise UserError(
                f'the loss is {float(loss.detach().mean())} in epoch '
                f'{runner.epoch + 1}, iteration {runner.iter + 1}: training '
                'has diverged. Lower the learning rate, or see whether the '
                'weights it started from are sound')
