"""Parameters with learning rates of their own."""
from typing import Dict, List

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's, with one group for each rate and decay.

    Its own makes a group, and two lines in the log, for each parameter. Of
    ``paramwise_cfg`` it takes ``custom_keys`` (``lr_mult``, ``decay_mult``):
    the longest that a name has in it counts. Parameters of one dimension
    (biases, norms) do not decay, whatever their key.
    """

    def add_params(self, params: List[dict], module: nn.Module,
                   **kwargs) -> None:
        """Add the groups of what trains."""
        keys = self.paramwise_cfg.get('custom_keys', {})
        groups: Dict[tuple, list] = {}
        for name, param in module.named_parameters():
            if not param.requires_grad:
                continue
            key = max((key for key in keys if key in name), key=len,
                      default=None)
            rule = keys.get(key, {})
            decay = rule.get('decay_mult', 1.) if param.ndim > 1 else 0.
            groups.setdefault(
                (rule.get('lr_mult', 1.), decay), []).append(param)
        params += [dict(params=group, lr=self.base_lr * rate,
                        weight_decay=(self.base_wd or 0.) * decay)
                   for (rate, decay), group in groups.items()]
