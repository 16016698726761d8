"""Classes encoded once per optimizer step under gradient accumulation."""
from typing import Iterator

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

# What decides when MMEngine's wrapper scales, synchronises and steps.
_RULES = ('update_params', 'should_update', 'should_sync', 'scale_loss',
          'zero_grad')


@HOOKS.register_module()
class TextAccumulationHook(Hook):
    """Tells text classifiers which micro-batch of an optimizer step comes.

    With ``accumulative_counts`` n > 1 and a text side that trains, classes
    are then encoded, and run backward, once a step and not n times, with the
    same gradients; see
    :class:`projects.vifi_clip.models.class_accumulation.ClassAccumulation`.

    It stays out of the way of what it cannot know: optimizer wrappers with
    rules of their own (OptimWrapperDict, DeepSpeed), model wrappers other
    than DDP, a static graph, parameters that FSDP shards. In-batch losses,
    which encode the texts of each micro-batch, are not concerned.
    """

    def before_train_iter(self,
                          runner: Runner,
                          batch_idx: int,
                          data_batch=None) -> None:
        """Announce the micro-batch."""
        wrapper, model = runner.optim_wrapper, runner.model
        known = _accumulates(wrapper) and _is_plain(model)
        for store in class_stores(model):
            if known:
                count = wrapper._inner_count % wrapper._accumulative_counts
                store.begin(first=count == 0, last=wrapper.should_sync())
            else:
                store.end()

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch=None,
                         outputs=None) -> None:
        """Other calls of the model encode in the plain way."""
        for store in class_stores(runner.model):
            store.end()


def class_stores(model: nn.Module) -> Iterator:
    """Yield what each text classifier of a model keeps between micro-batches.
    """
    for module in model.modules():
        store = getattr(module, 'class_accumulation', None)
        if store is not None:
            yield store


def _accumulates(wrapper) -> bool:
    return (isinstance(wrapper, OptimWrapper) and all(
        getattr(type(wrapper), name) is getattr(OptimWrapper, name)
        for name in _RULES) and wrapper._accumulative_counts > 1)


def _is_plain(model: nn.Module) -> bool:
    if is_model_wrapper(model) and (
            not isinstance(model, DistributedDataParallel)
            or model.static_graph):
        return False
    return not any(hasattr(p, 'to_local') for p in model.parameters())
