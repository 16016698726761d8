"""The learning rate of the paper's code."""
import math
from typing import Any, List

from mmaction.registry import PARAM_SCHEDULERS
from mmengine.optim import _ParamScheduler

from ..errors import UserError


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """A linear warm-up, then a cosine over ALL steps from the first one on.

    With t counted from the start of training, W the warm-up and T the end::

        lr(t) = lr * t / W                                           t < W
        lr(t) = lr * (r + (1 - r) * (1 + cos(pi * t / T)) / 2)       t >= W

    The cosine has gone some way when the warm-up ends, so that the rate drops
    there: to half of ``lr`` with 5 of 10 epochs. MMEngine's LinearLR and
    CosineAnnealingLR begin the cosine only then, which sums up to 1.46 times
    this rate. The formula is that of timm's ``CosineLRScheduler(t_initial=T,
    warmup_t=W, warmup_lr_init=0, lr_min=r * lr, warmup_prefix=False)``, which
    ViFi-CLIP's released code uses with t in micro-batches (Appendix B gives
    the peak alone). That code also lags by one optimizer step, since it sets
    the rate after the step; this one does not.

    With ``start_ratio`` s it begins at s * lr: lr * (s + (1 - s) * t / W).
    With ``warmup_prefix`` the cosine does begin where the warm-up ends, with
    (t - W) / (T - W) in the place of t / T, as in ActionCLIP's code.

    Args:
        optimizer (Optimizer or OptimWrapper): What is scheduled.
        warmup (float): W, from 0 to T (else ValueError, as for r); with
            ``convert_to_iter_based`` in epochs.
        end (int): T, likewise.
        eta_min_ratio (float): r, the last rate over ``lr``, from 0 to 1.
            Defaults to 0.01.
        one_minimum (bool): The last rate of all parameters is that of those
            with the smallest peak. Defaults to False: r times their own.
        by_epoch, last_step, verbose: As MMEngine's.
        warmup_prefix (bool): Defaults to False.
        start_ratio (float): s, the first rate over ``lr``, from 0 to 1.
            Defaults to 0.
    """

    def __init__(self, optimizer: Any, warmup: float, end: int,
                 eta_min_ratio: float = 0.01, by_epoch: bool = True,
                 last_step: int = -1, verbose: bool = False,
                 warmup_prefix: bool = False,
                 one_minimum: bool = False, start_ratio: float = 0.) -> None:
        if not 0 <= warmup <= end:
            raise ValueError(f'warmup={warmup} must be from 0 to end={end}')
        for name, value in dict(eta_min_ratio=eta_min_ratio,
                                start_ratio=start_ratio).items():
            if not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ValueError(f'{name} must be from 0 to 1, got {value!r}')
        self.warmup, self.eta_min_ratio = warmup, eta_min_ratio
        self.start_ratio = start_ratio
        self.start = warmup if warmup_prefix else 0  # of the cosine
        self.one_minimum = one_minimum
        super().__init__(optimizer, 'lr', end=end, last_step=last_step,
                         by_epoch=by_epoch, verbose=verbose)

    @classmethod
    def build_iter_from_epoch(cls, *args, warmup: float, end: int,
                              epoch_length: int, by_epoch: bool = True,
                              **kwargs) -> 'WarmupCosineLR':
        """Build the schedule in iterations from one in epochs; UserError if
        an epoch has no micro-batch."""
        if not epoch_length:
            raise UserError('an epoch has no full micro-batch: set a smaller '
                            'train_dataloader.batch_size')
        return cls(*args, warmup=round(warmup * epoch_length),
                   end=end * epoch_length, by_epoch=False, **kwargs)

    def _get_value(self) -> List[float]:
        """Return the rate of each parameter group at the current step."""
        t, peaks = self.last_step, self.base_values
        if t < self.warmup:
            share = self.start_ratio + (
                1 - self.start_ratio) * (t / self.warmup)
            return [share * peak for peak in peaks]
        length = self.end - self.start or 1  # W may be T
        cosine = math.cos(math.pi * (t - self.start) / length)
        lowest = [self.eta_min_ratio * (min(peaks) / peak if self.one_minimum
                                        and peak else 1) for peak in peaks]
        return [(low + (1 - low) * (1 + cosine) / 2) * peak
                for low, peak in zip(lowest, peaks)]
