"""Hooks that MMEngine lacks."""
import random
from typing import Iterator

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner


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
        """Seed the main process and tell the datasets the epoch."""
        sequence = np.random.SeedSequence(
            [runner.seed, runner.epoch, get_rank()])
        state = sequence.generate_state(3)
        random.seed(int(state[0]))
        np.random.seed(int(state[1]))
        torch.manual_seed(int(state[2]))
        for dataset in _epoch_aware(runner):
            dataset.set_epoch(runner.epoch)


@HOOKS.register_module()
class BadVideoHook(Hook):
    """Reports the videos that could not be read, after each epoch."""

    def after_train_epoch(self, runner: Runner) -> None:
        """Log what training skipped."""
        self._report(runner, runner.train_dataloader, 'skipped in training')

    def after_test_epoch(self, runner: Runner, metrics=None) -> None:
        """Log what the test counted as wrong."""
        self._report(runner, runner.test_dataloader, 'counted as wrong')

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """Log what the validation counted as wrong."""
        self._report(runner, runner.val_dataloader, 'counted as wrong')

    @staticmethod
    def _report(runner: Runner, dataloader, what: str) -> None:
        bad = [
            name for dataset in _datasets(dataloader.dataset)
            for name in getattr(dataset, 'bad_videos', ())
        ]
        if bad:
            runner.logger.warning(
                f'{len(bad)} of {len(dataloader.dataset)} videos could not '
                f'be read and were {what}: ' + ', '.join(bad[:10]) +
                (' ...' if len(bad) > 10 else ''))
