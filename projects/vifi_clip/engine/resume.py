"""Going on from a checkpoint: from the very place, and with the same data."""
import os.path as osp
from itertools import chain, islice
from pathlib import Path
from typing import (Any, Callable, Dict, Iterator, Mapping, Optional,
                    SupportsFloat)

from mmaction.registry import HOOKS
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import CheckpointLoader, EpochBasedTrainLoop, Runner
from torch.utils.data import BatchSampler

from ..errors import UserError
from ..files import sha256_of
from .hooks import batches_done, datasets_with, text_classifier_of

KEY = 'vifi_clip_run'  # under checkpoint['meta']


def waiting(runner: Runner) -> int:
    """How many micro-batches' gradients wait for an optimizer step; they are
    in no checkpoint."""
    wrapper = runner.optim_wrapper
    count = getattr(wrapper, '_inner_count', 0)
    if count == getattr(wrapper, '_max_counts', 0):
        return 0  # the last step of all may be a short one
    return count % wrapper._accumulative_counts


class _Rest:
    """A sampler without its first samples, which keeps its length."""

    def __init__(self, sampler: Any, first: int) -> None:
        self.sampler, self.first = sampler, first

    def __iter__(self) -> Iterator[int]:
        return islice(iter(self.sampler), self.first, None)

    def __len__(self) -> int:
        return len(self.sampler)


@HOOKS.register_module()
class ResumeHook(Hook):
    """Lets a run go on from where its checkpoint was saved.

    MMEngine would begin an epoch again that a checkpoint was saved inside.
    Here what was trained on is left out, unread. A checkpoint is refused
    (UserError) that lacks what a run needs to go on, or was made with other
    classes; inside an epoch also with other lists or batches. Lists that were
    changed between two epochs are named in a warning.
    """

    priority = 'HIGHEST'

    def __init__(self) -> None:
        self._saved: Dict[str, Any] = {}  # what is said in the checkpoint
        self._data: Dict[str, Any] = {}  # what this run trains on
        self._done = 0  # micro-batches of this epoch
        self._sampler: Any = None  # a whole one, put aside

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember what the file says of its run."""
        self._saved = _said_in(checkpoint) if runner._resume else {}
        if self._saved is None:
            raise UserError(
                f'{_name(runner)} has no training state to resume (best_* and '
                f'converted files have only weights): {_remedy(runner)}')
        if runner._resume:
            hub = checkpoint['message_hub']
            info = hub['runtime_info']
            # MMEngine removes that file or folder when there is a better one.
            info.update({key: osp.join(runner.work_dir, osp.basename(path))
                         for key, path in info.items()
                         if key.startswith('best_ckpt')})
            # What is saved is what is resumed; anything else there would fail
            # at the next change of a value.
            hub['resumed_keys'] = dict.fromkeys(
                [*info, *hub['log_scalars']], True)

    def before_train(self, runner: Runner) -> None:
        """See where a resumed run is, and whether it can go on."""
        self._data = _data_of(runner)
        loop, saved, self._saved = runner.train_loop, self._saved, {}
        if not (loop.iter and saved):
            return
        name = _name(runner)
        _check_classes(saved['classes'], self._data['classes'], runner)
        changed = [f'{file} is not the list that {name} was trained on'
                   for file, digest in self._data['lists']
                   if saved['lists'] and [file, digest] not in saved['lists']]
        if saved['waiting']:
            raise UserError(
                f'{name} was saved after {saved["waiting"]} micro-batches of '
                'an optimizer step, whose gradients are in no checkpoint: '
                f'{_remedy(runner)}')
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        if not by_epoch or _ended(saved):
            for text in changed:
                runner.logger.warning(text)
        if not (by_epoch and saved['done']):
            return
        length = self._data['batches'][0]
        if _ended(saved):
            loop.batches_done = length  # all that is left are hooks
            return
        if saved['batches'] != self._data['batches'][:len(saved['batches'])]:
            changed.append(f'its run had {_in_words(saved)}, this one has '
                           f'{_in_words(self._data)}')
        if not isinstance(runner.train_dataloader.batch_sampler, BatchSampler):
            changed.append('the batch sampler of train_dataloader is not one '
                           "of torch's")
        if changed:
            raise UserError(
                f'{name} was saved inside an epoch, which cannot be resumed: '
                f'{"; ".join(changed)}. Restore these, or '
                f'{_remedy(runner, _ended)}')
        loop.batches_done = saved['done']
        runner.logger.info(
            f'Resuming in epoch {loop.epoch + 1}, after {saved["done"]} of '
            f'{length} micro-batches')

    def before_train_epoch(self, runner: Runner) -> None:
        """Leave out what was trained on; count from there."""
        loop, loader = runner.train_loop, runner.train_dataloader
        first = self._done = batches_done(runner)
        if first:
            self._sampler = loader.batch_sampler.sampler
            loader.batch_sampler.sampler = _Rest(
                self._sampler, first * loader.batch_size)
            loop.run_iter = lambda idx, batch: type(loop).run_iter(
                loop, first + idx, batch)

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch=None, outputs=None) -> None:
        self._done = batch_idx + 1

    def after_train_epoch(self, runner: Runner) -> None:
        """Let the next epoch be a whole one."""
        self._done = 0
        if batches_done(runner):
            runner.train_dataloader.batch_sampler.sampler = self._sampler
            del runner.train_loop.run_iter, runner.train_loop.batches_done

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Say where this is, and what was trained on."""
        said = dict(self._data, done=self._done)
        dropped = isinstance(runner.train_loop,
                             EpochBasedTrainLoop) and _ended(said)
        checkpoint['meta'][KEY] = dict(
            said, waiting=0 if dropped else waiting(runner))


@HOOKS.register_module()
class WholeStepCheckpointHook(CheckpointHook):
    """CheckpointHook that does not save inside an optimizer step, by
    iteration, but after it: gradients are in no checkpoint."""

    def __init__(self, interval: int = -1, **kwargs) -> None:
        super().__init__(interval, **kwargs)
        self._due = False
        # MMEngine would find out when it saves.
        if type(interval) is not int or self.args:
            raise UserError(
                'default_hooks.checkpoint: interval must be a whole number, '
                f'got {interval!r}' if not self.args else
                'default_hooks.checkpoint: there is no setting '
                f'{", ".join(self.args)}')

    def every_n_train_iters(self, runner: Runner, n: int,
                            start: int = 0) -> bool:
        """Whether a checkpoint is to be saved now."""
        self._due |= super().every_n_train_iters(runner, n, start)
        now = self._due and not waiting(runner)
        self._due &= not now
        return now


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
                or runner.val_loop is None or batches_done(runner)):
            return
        loop._decide_current_val_interval()
        if loop.epoch >= loop.val_begin and (
                loop.epoch % loop.val_interval == 0
                or loop.epoch == loop.max_epochs):
            runner.logger.info(f'Validating the resumed epoch {loop.epoch}')
            runner.val_loop.run()


def _data_of(runner: Runner) -> Dict[str, Any]:
    """Describe what a run trains on, as plain values."""
    loader = runner.train_dataloader
    classifier = text_classifier_of(runner.model)
    names = classifier and classifier.class_names
    files = {str(dataset.ann_file)
             for dataset in datasets_with(loader.dataset, 'ann_file')}
    return dict(
        batches=[len(loader), loader.batch_size, get_world_size(),
                 getattr(runner.optim_wrapper, '_accumulative_counts', 1)],
        classes=names and [str(name) for name in names],
        lists=[[osp.basename(file), sha256_of(file)]
               for file in sorted(files) if osp.isfile(file)])


def _said_in(checkpoint: Mapping) -> Optional[Dict[str, Any]]:
    """Read what a checkpoint says of its run; None if it is not all there, or
    of another form than a run writes."""
    try:
        meta = checkpoint['meta']
        info = checkpoint['message_hub']['runtime_info']
        said = {**_of_old(meta, info), **meta.get(KEY, {})}
        numbers = [meta['epoch'], meta['iter'], said['waiting'], said['done'],
                   said['batches'][0], *said['batches']]
        texts = [*(said['classes'] or []), *chain(*said['lists']),
                 *(info[key] for key in info if key.startswith('best_ckpt'))]
        scores = [info[key] for key in info if key.startswith('best_score')]
        fits = (all(type(n) is int and 0 <= n < 2**31 for n in numbers)
                and all(isinstance(text, str) for text in texts)
                and all(isinstance(score, SupportsFloat) for score in scores))
    except (AttributeError, LookupError, TypeError):
        return None
    return said if fits and 'optimizer' in checkpoint else None


def _of_old(meta: Mapping, info: Mapping) -> Dict[str, Any]:
    """Guess what a checkpoint without a record does not say."""
    length = info.get('max_iters', 0) // max(info.get('max_epochs', 1), 1)
    done = meta['iter'] - meta['epoch'] * length
    classes = (meta.get('dataset_meta') or {}).get('classes')
    return dict(done=done if 0 < done <= length else 0, batches=[length],
                waiting=0, classes=classes and list(classes), lists=[])


def _check_classes(old: Optional[list], new: Optional[list],
                   runner: Runner) -> None:
    """Refuse to go on with other classes (UserError)."""
    if not (old and new) or old == new:
        return
    first = len(osp.commonprefix([list(old), list(new)]))
    raise UserError(
        f'{_name(runner)} was trained on {len(old)} classes, and this config '
        f'has {len(new)}; the first to differ is label {first}: '
        f'{[*old, None][first]!r} there, {[*new, None][first]!r} here. Give '
        f'its list, or {_from_weights(runner)}')


def _ended(said: Mapping) -> bool:
    """Whether a checkpoint was saved where an epoch ended."""
    return not 0 < said['done'] < said['batches'][0]


def _in_words(said: Mapping) -> str:
    words = ('{} micro-batches an epoch', '{} samples in each',
             '{} processes', 'accumulative_counts={}')
    return ', '.join(word.format(n) for word, n in zip(words, said['batches']))


def _name(runner: Runner) -> str:
    return str(runner._load_from or 'the checkpoint')


def _from_weights(runner: Runner) -> str:
    return (f'start a new run from its weights (--cfg-options '
            f'load_from={_name(runner)}, without --resume)')


def _remedy(runner: Runner, fits: Callable = bool) -> str:
    """Name the newest checkpoint beside this that a run can go on from, whose
    record fits."""
    paths = Path(_name(runner)).parent.glob('*_*.pth')
    for path in sorted(paths, key=osp.getmtime, reverse=True):
        content = CheckpointLoader.load_checkpoint(str(path), 'meta')
        said = _said_in(content)
        if said and not said['waiting'] and fits(said):
            return f'resume from {path}, or {_from_weights(runner)}'
    return _from_weights(runner)
