"""``tools/train.py --auto-accumulate N``: the batch of an optimizer step.

processes x ``train_dataloader.batch_size`` x ``accumulative_counts`` is kept
at N, with the largest micro-batch that fits in memory.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterator, List

from ..errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config


def micro_batches(total: int, processes: int, batch_size: int) -> List[int]:
    """Micro-batches that make up a batch, the largest first.

    Args:
        total (int): Samples of an optimizer step, over all processes.
        processes (int): Number of them.
        batch_size (int): The most that a process may take at a time.

    Raises:
        ValueError: ``total`` is not a multiple of what the processes take at
            a time.
    """
    step = processes * batch_size
    if total < 1 or total % step:
        below = max(total, 0) // step * step
        above = below + step
        near = f'{below} or {above}' if below > 0 else str(above)
        if total < 1:
            raise ValueError(f'--auto-accumulate {total}: an optimizer step '
                             f'needs samples; give {step} or a multiple')
        raise ValueError(
            f'--auto-accumulate {total} is no multiple of {step} = '
            f'{processes} processes x train_dataloader.batch_size='
            f'{batch_size}: give {near}, or another batch_size')
    return [n for n in range(batch_size, 0, -1) if batch_size % n == 0]


def auto_accumulate(cfg: Config, total: int) -> None:
    """Set batch size and accumulation of a config, after trying them.

    Args:
        cfg (Config): Changed in place.
        total (int): Samples of an optimizer step.

    Raises:
        ValueError: ``total`` does not divide.
        UserError: Not even one sample fits, or only a smaller batch does and
            the loss is over the batch.
    """
    from mmengine.dist import get_dist_info, init_dist, is_distributed
    from mmengine.logging import print_log

    from .memory_trial import MemoryTrial
    if cfg.get('launcher', 'none') != 'none' and not is_distributed():
        # as the runner would, which comes later
        init_dist(cfg.launcher, **cfg.env_cfg.dist_cfg)
    processes = get_dist_info()[1]
    given = cfg.train_dataloader.batch_size
    sizes = micro_batches(total, processes, given)
    if cfg.get('strategy') or not MemoryTrial.possible():
        tried, chosen = 'whether it fits was not tried', given
    else:
        with MemoryTrial(cfg) as trial:
            chosen = largest(sizes, trial.fits)
        tried = 'tried with a step of the model'
    if chosen != given and next(contrastive(cfg.model), None):
        raise UserError(
            f'a batch of {given} does not fit in memory, {chosen} would; but '
            'each sample of an in-batch loss is compared with the rest of '
            'its micro-batch, so that a smaller one is another training. Set '
            f'train_dataloader.batch_size={chosen} if that is what you want, '
            'or take more processes or grad_checkpointing=True')
    counts = total // (processes * chosen)
    cfg.train_dataloader.batch_size = chosen
    cfg.optim_wrapper.accumulative_counts = counts
    print_log(
        f'--auto-accumulate: {processes} processes x batch {chosen} x '
        f'accumulation {counts} = {total} ({tried}; the config has batch '
        f'{given})', 'current')


def largest(sizes: List[int], fits: Callable[[int], bool]) -> int:
    """The first size that fits on all processes.

    Raises:
        UserError: None does.
    """
    import torch
    from mmengine.dist import all_reduce
    for size in sizes:
        everywhere = torch.tensor(int(fits(size)))
        if torch.distributed.is_initialized() and torch.cuda.is_available():
            everywhere = everywhere.cuda()
        all_reduce(everywhere, op='min')
        if everywhere.item():
            return size
    raise UserError(
        'not even a batch of 1 fits in memory: use grad_checkpointing=True '
        'in the backbone and the text_classifier, fewer frames, TUNE=prompts '
        'or TUNE=image, or STRATEGY=fsdp')


def contrastive(node: Any) -> Iterator[str]:
    """Names of the in-batch losses in a model's config."""
    if isinstance(node, dict):
        if node.get('type') == 'CLIPContrastiveLoss':
            yield node['type']
        for child in node.values():
            yield from contrastive(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from contrastive(child)
