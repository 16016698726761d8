"""Auxiliary losses over the course of a run: their teachers, and going on."""
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from ..checkpoints.settings import unwrapped
from ..errors import UserError
from ..models.additions.auxiliary import PARTS
from .resume import waiting


@HOOKS.register_module()
class AuxiliaryHook(Hook):
    """Builds the teachers of ``auxiliary`` losses before training starts,
    lets one follow the model before each optimizer step, and saves what these
    losses need to go on, beside the model's own weights; it does nothing for
    a model without them.

    Checkpoints that hold no optimizer (the best one) are for tests, and get
    nothing. To test the moving teacher, give FILE#teacher_state_dict.
    """

    def before_train(self, runner: Runner) -> None:
        model = unwrapped(runner.model)
        if _has_losses(model):
            model.auxiliary.prepare(model)

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        model = unwrapped(runner.model)
        if _has_losses(model) and not waiting(runner):
            model.auxiliary.update(model)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        model = unwrapped(runner.model)
        if _has_losses(model) and 'optimizer' in checkpoint:
            checkpoint.update(model.auxiliary.training_state(model))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Go on from a checkpoint; UserError where a run cannot, since it had
        other losses."""
        model = unwrapped(runner.model)
        if not getattr(runner, '_resume', False):
            return
        if _has_losses(model):
            model.auxiliary.load_training_state(checkpoint, model)
        elif PARTS in checkpoint:
            raise UserError(
                f'{runner._load_from} was trained with auxiliary losses, which'
                ' this config lacks: give it those (AUX), or start a new run '
                'from its weights by load_from=FILE, without --resume')


def _has_losses(model: nn.Module) -> bool:
    return getattr(model, 'auxiliary', None) is not None
