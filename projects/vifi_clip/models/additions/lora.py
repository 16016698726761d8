"""LoRA (Hu et al., arXiv 2106.09685) in CLIP's towers, through peft.

Letters: N sequences, L tokens, W the tower's width, h heads.
"""
from typing import Dict, List, Optional, Sequence

import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from ...checkpoints.lora import SCALE
from ...errors import need
from ..blocks import QUICK_GELU, FusedBlock, pick

TOWERS = ('both', 'image', 'text')


class LinearAttention(nn.Module):
    """The self-attention of an ``nn.MultiheadAttention``, as two layers.

    That one reads the weights of its projections and calls no layer, so that
    what peft puts in a layer's place would be passed by. It takes over the
    parameters: ``in_proj`` is one matrix for queries, keys and values.
    """

    def __init__(self, attn: nn.MultiheadAttention) -> None:
        super().__init__()
        self.num_heads = attn.num_heads
        # 'meta': no memory, no random numbers for weights that are not kept
        self.in_proj = nn.Linear(
            attn.embed_dim, 3 * attn.embed_dim, device='meta',
            bias=attn.in_proj_bias is not None)
        self.in_proj.weight = attn.in_proj_weight
        self.in_proj.bias = attn.in_proj_bias
        self.out_proj = attn.out_proj

    def forward(self, x: Tensor, attn_mask: Optional[Tensor] = None,
                is_causal: bool = False,
                only: Optional[Tensor] = None) -> Tensor:
        """[N, L, W] to the same, or to [N, W] of the tokens at ``only`` [N];
        masks are those of :class:`FusedBlock`."""
        num, length, width = x.shape
        qkv = self.in_proj(x).view(num, length, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # [N, L, 3W] -> 3 x [N, h, L, W/h]
        if attn_mask is not None:
            attn_mask = attn_mask.to(q.dtype)
            if attn_mask.ndim == 3:
                attn_mask = attn_mask.view(num, -1, length, length)
                # [N*h, L, L] -> [N, h, L, L]
        if only is not None:
            q = pick(q.transpose(1, 2), only)[:, :, None]
            # [N, h, L, W/h] -> [N, h, 1, W/h]
            if is_causal:
                seen = torch.arange(length, device=x.device) <= only[:, None]
                attn_mask = seen[:, None, None]
                # [N, L] -> [N, 1, 1, L]
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=attn_mask,
            is_causal=is_causal and only is None)
        y = y.transpose(1, 2).flatten(2)
        # [N, h, L or 1, W/h] -> [N, L or 1, W]
        return self.out_proj(y if only is None else y[:, 0])


class LoraBlock(FusedBlock):
    """A layer whose parts are called; it takes the place of
    :class:`FusedBlock`, which reads their weights."""

    def forward(self, x: Tensor, attn_mask: Optional[Tensor] = None,
                is_causal: bool = False,
                only: Optional[Tensor] = None) -> Tensor:
        """As that one's, without other keys and values."""
        y = self.attn(self.ln_1(x), attn_mask, is_causal, only)
        x = (x if only is None else pick(x, only)) + self.ls_1(y)
        return x + self.ls_2(self.mlp(self.ln_2(x)))


class _SiLUGELU(QuickGELU):
    """QuickGELU, with one kept activation in place of two."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(QUICK_GELU * x) / QUICK_GELU


def add_lora(model: nn.Module, rank: int = 8, alpha: Optional[float] = None,
             targets: Optional[Sequence[str]] = None,
             towers: str = 'both') -> None:
    """Put LoRA beside linear layers of a recognizer's towers.

    A layer then computes W x + alpha / rank B A x, where A, random, has
    ``rank`` rows and B starts at zero. Queries, keys and values of OpenCLIP
    and timm are one matrix, whose three parts share A.

    Args:
        model (nn.Module): A recognizer, changed in place.
        rank (int): Defaults to 8.
        alpha (float, optional): Defaults to None: the rank.
        targets (Sequence[str], optional): Names of the layers, the last part
            alone: ``in_proj``, ``out_proj``, ``c_fc`` and ``c_proj`` in
            OpenCLIP's towers, ``qkv``, ``proj``, ``fc1`` and ``fc2`` in most
            of timm's. Defaults to None: all
            linear layers of the blocks.
        towers (str): 'both', 'image' or 'text'. Defaults to 'both'.

    Raises:
        UserError: peft is not installed.
        ValueError: A bad setting, a target that no tower has, or a model
            without the tower.
    """
    peft = need('peft', 'lora')
    alpha = rank if alpha is None else alpha
    targets = [targets] if isinstance(targets, str) else targets
    if type(rank) is not int or rank < 1 or not (
            isinstance(alpha, (int, float)) and 0 < alpha < float('inf')):
        raise ValueError('lora.rank (LORA_R) must be a whole number of at '
                         f'least 1 and lora.alpha above 0, got {rank!r} and '
                         f'{alpha!r}')
    chosen = _chosen(model, towers)
    layers = [_linear_layers(tower) for tower in chosen]
    known = sorted({_last(name) for names in layers for name in names})
    targets = known if targets is None else targets
    unknown = [name for name in targets if name not in known]
    if unknown or not targets:
        raise ValueError(
            f'lora.targets (LORA_TARGETS) {", ".join(unknown) or "none"}: no '
            f'such linear layers in towers={towers!r} (LORA_TOWERS), which '
            f'have {", ".join(known) or "none that LoRA can stand beside"}')
    for tower, names in zip(chosen, layers):
        names = [name for name in names if _last(name) in targets]
        if names:
            peft.inject_adapter_in_model(peft.LoraConfig(
                r=rank, lora_alpha=alpha, target_modules=names), tower)
            # With it, weights can be folded whatever config reads them.
            tower.register_buffer(SCALE, torch.tensor(alpha / rank))


def lora_parameters(model: nn.Module) -> List[nn.Parameter]:
    """Return the factors A and B of all layers, none without LoRA."""
    return [param for module in model.modules()
            if isinstance(getattr(module, 'lora_A', None), nn.ModuleDict)
            for part in (module.lora_A, module.lora_B)
            for param in part.parameters()]


def clip_towers(model: nn.Module) -> Dict[str, nn.Module]:
    """Return the towers that a recognizer has, by 'image' and 'text'."""
    classifier = getattr(model.cls_head, 'text_classifier', None)
    found = dict(image=getattr(model.backbone, 'visual', None),
                 text=getattr(classifier, 'text', None))
    return {name: tower for name, tower in found.items() if tower is not None}


def _chosen(model: nn.Module, towers: str) -> List[nn.Module]:
    if towers not in TOWERS:
        raise ValueError(f'lora.towers (LORA_TOWERS) must be one of {TOWERS}, '
                         f'got {towers!r}')
    names = TOWERS[1:] if towers == 'both' else [towers]
    found = clip_towers(model)
    for name in names:
        if name not in found:
            raise ValueError(f'the model has no {name} tower of CLIP for LoRA '
                             f'(lora.towers={towers!r}, LORA_TOWERS)')
    return [found[name] for name in names]


def _linear_layers(tower: nn.Module) -> List[str]:
    """Names of the linear layers in a tower's blocks that are called, as
    after this all of OpenCLIP's are."""
    for block in tower.modules():
        if type(block) is FusedBlock and type(
                block.attn) is nn.MultiheadAttention:
            block.__class__ = LoraBlock
            block.attn = LinearAttention(block.attn)
            if type(block.mlp.gelu) is QuickGELU:
                block.mlp.gelu.__class__ = _SiLUGELU
    modules = dict(tower.named_modules())
    return [name for name, module in modules.items()
            if isinstance(module, nn.Linear)
            and any(part.isdecimal() for part in name.split('.'))
            and _is_called(modules[name.rpartition('.')[0]], _last(name))]


def _is_called(owner: nn.Module, name: str) -> bool:
    """Whether a layer is, and not its weight read."""
    return not isinstance(owner, nn.MultiheadAttention) and (
        name != 'qkv' or getattr(owner, 'q_bias', None) is None)  # EVA02's


def _last(name: str) -> str:
    return name.rpartition('.')[2]
