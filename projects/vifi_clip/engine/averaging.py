"""Means of the weights over a training."""
from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import Runner

# Strategies of MMEngine under which each process has the whole model.
_WHOLE = ('SingleDeviceStrategy', 'DDPStrategy')


@HOOKS.register_module()
class EpochMeanHook(EMAHook):
    """Tests and saves the mean of the weights at the ends of epochs, as
    Open-VCLIP and FROSTER do.

    MMEngine's EMAHook counts iterations, of which a config does not know how
    many make an epoch. As there, the mean is the ``state_dict`` of a
    checkpoint, the weights that train are its ``ema_state_dict``, and a
    resumed run goes on with both. Before the mean begins, both are the same.

    Args:
        begin_epoch (int): The first epoch of the mean, from 1. Defaults to 2,
            theirs.
        kwargs: Of EMAHook.
    """

    def __init__(self, begin_epoch: int = 2, **kwargs) -> None:
        super().__init__('StochasticWeightAverage', begin_epoch=begin_epoch,
                         **kwargs)

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Follow the weights until the mean begins."""
        if not self.ema_model.steps:
            super().after_train_iter(runner, *args, **kwargs)

    def after_train_epoch(self, runner: Runner) -> None:
        """Take the weights into the mean."""
        if runner.epoch + 1 >= self.begin_epoch:
            self.ema_model.update_parameters(self.src_model)

    def _ema_started(self, runner: Runner) -> bool:
        return False  # inside an epoch


def check_average(cfg: Config) -> None:
    """Refuse (ValueError) a running mean of weights that no process has as a
    whole, or that checkpoints leave out, and a second one."""
    types = [hook.get('type') for hook in cfg.get('custom_hooks') or []]
    kinds = [HOOKS.get(kind) if isinstance(kind, str) else kind
             for kind in types]
    averages = [kind.__name__ for kind in kinds
                if isinstance(kind, type) and issubclass(kind, EMAHook)]
    if not averages:
        return
    if len(averages) > 1:
        raise ValueError(f'custom_hooks has {" and ".join(averages)}, where '
                         'one can be: leave the others, or EPOCH_MEAN, out')
    name, remedy = averages[0], ('average checkpoints afterwards: vifi-clip '
                                 'merge --mean')
    strategy = (cfg.get('strategy') or {}).get('type', _WHOLE[0])
    if strategy not in _WHOLE:
        raise ValueError(f'{name} needs the whole model, and {strategy} '
                         f'shards it: leave one of them out, or {remedy}')
    if cfg.model.get('save_trainable_only'):
        raise ValueError(f'{name} cannot be combined with '
                         'save_trainable_only: leave one of them out, or '
                         f'{remedy}')
