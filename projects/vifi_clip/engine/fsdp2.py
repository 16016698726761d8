"""FSDP2 (``fully_shard``) as a strategy of MMEngine, and its runner.

MMEngine's own FSDPStrategy is FSDP1: it wraps the model, which hides
``train_step``, flattens its parameters and needs GPUs.
"""
import io
import time
from typing import Any, Callable, List, Optional, Sequence

import mmengine
import torch
from mmengine._strategy import DDPStrategy
from mmengine.device import get_device
from mmengine.dist import barrier, is_main_process
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import RUNNERS, STRATEGIES
from mmengine.runner import FlexibleRunner
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (CPUOffloadPolicy, MixedPrecisionPolicy,
                                    OffloadPolicy, fully_shard)
from torch.distributed.tensor import DTensor, distribute_tensor

from ..files import write_bytes
from ..models.class_embeddings import EmbeddingCache
from ..models.text_classifier import CLIPTextClassifier


@STRATEGIES.register_module()
class FSDP2Strategy(DDPStrategy):
    """Parameters, gradients and optimizer state sharded over processes.

    Each residual block of both towers is a unit, gathered when it runs; what
    is left (embeddings, projections, prompts, logit scale) is the root's.
    The step is the one of data-parallel training, and checkpoints are the
    plain ones of a single process, so either kind of run resumes the other.

    Args:
        param_dtype (str, optional): ``'bfloat16'`` gathers the blocks'
            weights and runs the blocks in it; gradients are still summed in
            float32. Defaults to None: as they are (with autocast as in
            data-parallel training).
        reshard_after_forward (bool): Free a block's gathered weights until
            its backward; False keeps them. Defaults to True.
        offload (bool): Keep the shards in CPU memory. Defaults to False.
        kwargs: Of MMEngine's DDPStrategy.

    Raises:
        ValueError: Another ``param_dtype``; ``save_trainable_only``;
            auxiliary losses.
    """

    def __init__(self, *, param_dtype: Optional[str] = None,
                 reshard_after_forward: bool = True, offload: bool = False,
                 **kwargs) -> None:
        if param_dtype not in (None, 'bfloat16', 'float32'):
            raise ValueError("strategy.param_dtype must be None, 'bfloat16' "
                             f"or 'float32', got {param_dtype!r}")
        super().__init__(**kwargs)
        self.param_dtype = param_dtype and getattr(torch, param_dtype)
        self.reshard_after_forward = reshard_after_forward
        self.offload = CPUOffloadPolicy() if offload else OffloadPolicy()

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        """Shard in place; the model keeps its class's methods and names."""
        if getattr(model, 'save_trainable_only', False):
            raise ValueError('save_trainable_only cannot be combined with '
                             'FSDP2, nor does it need it: leave the strategy '
                             'out')
        if getattr(model, 'auxiliary', None):
            raise ValueError('auxiliary losses (AUX) cannot be combined with '
                             'FSDP2, which would not shard their teachers: '
                             'leave the strategy out (STRATEGY=ddp)')
        for module in model.modules():
            if isinstance(module, BaseDataPreprocessor):
                module.to(get_device())  # moves its inputs, too
        model = self.convert_model(model.to(get_device()))
        # FSDP2 shards no scalar (the logit scale); one of shape [1] multiplies
        # just the same. Checkpoints keep the scalar.
        self._scalars = {name for name, param in model.named_parameters()
                         if param.ndim == 0}
        for name in self._scalars:
            module, _, last = name.rpartition('.')
            param = model.get_parameter(name)
            setattr(model.get_submodule(module), last, nn.Parameter(
                param.detach().reshape(1), param.requires_grad))
        mesh = init_device_mesh(get_device(), (self.world_size, ))
        policy = MixedPrecisionPolicy(
            param_dtype=self.param_dtype, reduce_dtype=torch.float32)
        for block in residual_blocks(model):
            fully_shard(block, mesh=mesh, mp_policy=policy,
                        reshard_after_forward=self.reshard_after_forward,
                        offload_policy=self.offload)
        fully_shard(model, mesh=mesh, offload_policy=self.offload)
        for module in model.modules():
            if isinstance(module, CLIPTextClassifier):
                module.embedding_cache = UntilModeChange()
        return model

    def model_state_dict(self) -> dict:
        """Whole tensors on CPU, by their usual names; all must ask."""
        return {name: plain(value, name in self._scalars)
                for name, value in self.model.state_dict().items()}

    def load_model_state_dict(self, state_dict: dict, **kwargs) -> None:
        """Each process takes its shard of whole tensors."""
        params = dict(self.model.named_parameters())
        shards = {name: shard(value, params.get(name.removeprefix('module.')))
                  for name, value in state_dict.items()}
        super().load_model_state_dict(shards, **kwargs)

    def optim_state_dict(self) -> dict:
        """The optimizer's state as of one process, on CPU."""
        state, params = super().optim_state_dict(), self._optimized()
        scalars = {param for name, param in self.model.named_parameters()
                   if name in self._scalars}
        # New dicts: these are the optimizer's own.
        state['state'] = {
            i: {key: plain(value, params[i] in scalars and key != 'step')
                for key, value in values.items()}
            for i, values in state['state'].items()}
        return state

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Each process takes its shard of the state of one process."""
        params = self._optimized()
        state_dict['state'] = {
            i: {key: value if key == 'step' else shard(value, params[i])
                for key, value in values.items()}
            for i, values in state_dict['state'].items()}
        super().load_optim_state_dict(state_dict)

    def _optimized(self) -> List[nn.Parameter]:
        """The optimizer's parameters, as its state numbers them."""
        groups = self.optim_wrapper.optimizer.param_groups
        return [param for group in groups for param in group['params']]

    def save_checkpoint(self, filename: str, *, save_optimizer: bool = True,
                        save_param_scheduler: bool = True,
                        extra_ckpt: Optional[dict] = None,
                        callback: Optional[Callable] = None) -> None:
        """Gather on all processes; the first one writes, atomically."""
        content = dict(extra_ckpt or {}, state_dict=self.model_state_dict())
        if save_optimizer and hasattr(self, 'optim_wrapper'):
            content['optimizer'] = self.optim_state_dict()
        if save_param_scheduler and hasattr(self, 'param_schedulers'):
            content['param_schedulers'] = self.scheduler_state_dict()
        content.setdefault('meta', {}).update(
            seed=self.seed, time=time.strftime('%Y%m%d_%H%M%S'),
            mmengine=mmengine.__version__)
        if callback is not None:
            callback(content)
        if is_main_process():
            buffer = io.BytesIO()
            torch.save(content, buffer)
            write_bytes(filename, buffer.getbuffer())
        barrier()


def residual_blocks(model: nn.Module) -> List[nn.Module]:
    """Return the layers of both towers, of OpenCLIP and of timm."""
    kinds = [ResidualAttentionBlock]
    for module in model.modules():
        if type(module).__module__.startswith('timm.') and hasattr(
                module, 'blocks'):
            kinds += [type(block) for block in module.blocks]
    return [m for m in model.modules() if isinstance(m, tuple(kinds))]


def plain(value: Any, scalar: bool) -> Any:
    """An entry of a state as one process would have it, on CPU."""
    if not torch.is_tensor(value):
        return value
    if isinstance(value, DTensor):  # with offload it is where nccl is not
        value = value.to(value.device_mesh.device_type).full_tensor()
    return value.cpu().reshape(()) if scalar else value.cpu()


def shard(value: Tensor, like: Optional[Tensor]) -> Tensor:
    """This process's shard of a tensor that is laid out as a parameter; what
    has another shape (a checkpoint that does not fit) stays whole."""
    if (not isinstance(like, DTensor) or not torch.is_tensor(value)
            or isinstance(value, DTensor)):
        return value
    if value.ndim == 0 and like.shape == (1, ):
        value = value.reshape(1)
    if value.shape != like.shape:
        return value
    mesh = like.device_mesh
    # Every process has read the same file: nothing needs to be sent.
    return distribute_tensor(
        value.to(mesh.device_type), mesh, like.placements, src_data_rank=None)


class UntilModeChange(EmbeddingCache):
    """Valid until ``model.train()``, ``model.eval()`` or new classes.

    The usual cache looks at the weights. Each process sees a shard of them;
    gathering them to look would cost what is saved, and if one process alone
    encoded anew, all would wait for ever.
    """

    suspect = EmbeddingCache.clear

    def get(self, params: Sequence[nn.Parameter]) -> Optional[Tensor]:
        return self._value

    def put(self, params: Sequence[nn.Parameter], value: Tensor) -> None:
        self._value = value


@RUNNERS.register_module()
class SpreadRunner(FlexibleRunner):
    """FlexibleRunner for models that are spread over processes.

    CheckpointHook writes the checkpoint of the best epoch once more and says
    which epoch that is. Runner takes its word; FlexibleRunner counts anew, one
    too many, and a resumed run would leave out an epoch.
    """

    def save_checkpoint(self, *args, meta: Optional[dict] = None,
                        **kwargs) -> None:
        """As FlexibleRunner's; the epoch and iteration in ``meta`` hold."""
        self._stated = dict(meta or {})
        super().save_checkpoint(*args, meta=dict(self._stated), **kwargs)

    def call_hook(self, fn_name: str, **kwargs) -> None:
        """Call the hooks; before they see a checkpoint, correct its meta."""
        if fn_name == 'before_save_checkpoint':
            kwargs['checkpoint']['meta'].update(self._stated)
        super().call_hook(fn_name, **kwargs)
