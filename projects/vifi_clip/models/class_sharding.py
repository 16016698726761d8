"""Classes spread over processes: each encodes its part, all get the whole.

Letters: K classes, R processes, P places per process, D the embedding.
"""
from typing import Callable, Tuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmengine.dist import get_rank, get_world_size
from torch import Tensor


def check_scale(max_graph_tokens, shard_classes) -> None:
    """Refuse settings of :class:`CLIPTextClassifier` that mean nothing.

    Raises:
        ValueError: Names the setting and its value.
    """
    if max_graph_tokens is not None and (
            type(max_graph_tokens) is not int or max_graph_tokens < 1):
        raise ValueError('max_graph_tokens must be a whole number of at least '
                         f'1, or None for no bound; got {max_graph_tokens!r}')
    if shard_classes is not None and type(shard_classes) is not bool:
        raise ValueError('shard_classes must be True, False or None; got '
                         f'{shard_classes!r}')


def share_classes(costs: Tensor, rank: int,
                  world_size: int) -> Tuple[Tensor, Tensor]:
    """Deal classes out, by cost, so that all processes have like work.

    Args:
        costs (Tensor): Tokens of each class, [K] on CPU.
        rank (int): This process.
        world_size (int): R.

    Returns:
        tuple[Tensor, Tensor]: This process' classes in ascending order, at
        least one, and for each class its row among the [R * P, D] gathered
        ones, [K], with P = ceil(K / R).
    """
    order = costs.argsort(stable=True)
    places = -(-len(order) // world_size)
    row = torch.empty_like(order)
    for r in range(world_size):
        own = order[r::world_size].sort().values
        row[own] = r * places + torch.arange(len(own))
    own = order[rank::world_size].sort().values
    # A process without a class of its own encodes one whose row no class
    # takes: DDP waits for a gradient, if only of zeros, from every process.
    return own if len(own) else order[:1], row


def encode_shared(encode: Callable[[Tensor], Tensor],
                  costs: Tensor) -> Tensor:
    """Encode classes on all processes together; all must call.

    Gradients of all processes are summed at the process that encoded a
    class. DDP's mean over processes then gives each parameter the gradient
    that it has when every process encodes every class.

    Args:
        encode (Callable): Class indices [M] to embeddings [M, D].
        costs (Tensor): Tokens of each class, [K] on CPU, the same in all
            processes.

    Returns:
        Tensor: [K, D].
    """
    world_size = get_world_size()
    own, row = share_classes(costs, get_rank(), world_size)
    x = encode(own)
    places = -(-len(costs) // world_size)
    x = _AllGather.apply(F.pad(x, (0, 0, 0, places - len(x))))
    # [P, D] -> [R * P, D]
    return x.index_select(0, row.to(x.device))


class _AllGather(torch.autograd.Function):
    """Rows of all processes; backward sums over processes and cuts out."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        whole = x.new_empty(get_world_size() * len(x), *x.shape[1:])
        dist.all_gather_into_tensor(whole, x.contiguous())
        return whole

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        own = grad.new_empty(ctx.rows, *grad.shape[1:])
        dist.reduce_scatter_tensor(own, grad.contiguous())
        return own
