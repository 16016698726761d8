"""CLIP's image tower as an MMAction2 backbone, plain and with deep prompts.

Letters: N frames of all videos and views together, L tokens of a frame,
W the tower's width, D the embedding, H x W pixels; U different frames.
"""
from typing import Optional, Tuple

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.models.vision_transformer import \
    VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn

from ..architectures import Arch, get_arch_cfg
from .blocks import DeepPrompts, check_prompt_cfg, run_blocks
from .towers import ImageSize, build_vision_tower, load_pretrained

_CPU_CHUNK = 16  # frames; 8 to 16 of 224 x 224 pixels were fastest


@MODELS.register_module()
class CLIPVisionBackbone(BaseModule):
    """The image tower of any OpenCLIP model (ViFi-CLIP section 4).

    Args:
        arch (str | dict): OpenCLIP model name, or a dict of the shape of its
            ``model_configs/*.json``.
        pretrained (str, optional): OpenCLIP tag, or a local file: OpenAI
            TorchScript, state dict (plain or Lightning-style), OpenCLIP
            ``.pt``, ``.safetensors``, transformers' CLIPModel, the paper's
            release, or a checkpoint of ours. None leaves random weights.
            Defaults to None.
        frozen (bool): Nothing in the tower trains; it stays in eval mode.
            Defaults to False.
        grad_checkpointing (bool): Trade time for memory in the backward
            pass. Defaults to False.
        image_size (int | tuple[int, int], optional): Input size in pixels
            when it differs from the architecture's; position embeddings are
            interpolated. Defaults to None.
        reuse_frames (bool): Encode frames that occur several times in a
            batch once, which is exact (see :func:`unique_frames`). Switch it
            off where every batch must have one shape. Defaults to True.

    Raises:
        ValueError: Unknown arch or setting, or a checkpoint of another
            architecture (keys and shapes that differ are named).
        FileNotFoundError: ``pretrained`` is a path that does not exist.
    """

    # Frames of a view that see each other in a subclass's tower, which gets
    # them in sequence; None: each frame is on its own.
    num_frames: Optional[int] = None
    # How many frames before and behind it a frame attends to; no weight tells.
    neighbours = 0
    # How the tokens of a view are merged into a context of all its frames.
    context: Optional[dict] = None

    def __init__(self, arch: Arch, pretrained: Optional[str] = None,
                 frozen: bool = False, grad_checkpointing: bool = False,
                 image_size: ImageSize = None, reuse_frames: bool = True,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.embed_dim = get_arch_cfg(arch)['embed_dim']
        self.pretrained = pretrained
        self.frozen, self.reuse_frames = frozen, reuse_frames
        self.grad_checkpointing = grad_checkpointing
        self.prompts: Optional[DeepPrompts] = None
        self.visual = build_vision_tower(arch, image_size)
        load_pretrained(self.visual, 'visual', arch, pretrained,
                        resize=image_size is not None)
        trunk = getattr(self.visual, 'trunk', None)  # timm's
        if trunk is not None and image_size is not None:
            if not hasattr(trunk, 'set_input_size'):
                raise ValueError(
                    f'timm tower {type(trunk).__name__} cannot change its '
                    f'input size to {image_size}; leave image_size at None.')
            trunk.set_input_size(img_size=image_size)
        if grad_checkpointing:
            self.visual.set_grad_checkpointing(True)
        if frozen:
            self.visual.requires_grad_(False)

    def init_weights(self) -> None:
        """Nothing: the weights come with the tower. MMEngine calls this when
        training starts, and timm's own method must not run again."""
        self._is_init = True

    def forward(self, x: Tensor) -> Tensor:
        """Embed normalised frames [N, 3, H, W], each on its own, to [N, D],
        not normalised.

        ValueError if they are no views of ``num_frames``."""
        if self.num_frames and x.shape[0] % self.num_frames:
            raise ValueError(f'{x.shape[0]} frames are not views of '
                             f'num_frames={self.num_frames}')
        if not self._may_regroup(x):
            return self.embed_chunk(x)
        chunk, index = _CPU_CHUNK, None
        if self.num_frames:
            chunk = self.num_frames * max(1, _CPU_CHUNK // self.num_frames)
        elif self.reuse_frames:
            x, index = unique_frames(x)
        if torch.is_grad_enabled() or x.device.type != 'cpu':
            x = self.embed_chunk(x)
        else:
            # A CPU takes a few frames at a time, which stay in its cache;
            # many views of a test need no more memory than one.
            x = torch.cat(
                [self.embed_chunk(part) for part in x.split(chunk)])
        return x if index is None else x[index]

    def _may_regroup(self, x: Tensor) -> bool:
        """Whether frames may be left out, or go through in parts: not where
        gradients of pixels, hooks at the layers (FSDP's count the calls) or a
        tracer follow the whole batch, and not where an embedding depends on
        other frames (batch norm in training) or on chance."""
        tower = self.visual
        if (x.requires_grad and torch.is_grad_enabled()
                or torch.jit.is_tracing() or torch.compiler.is_compiling()
                or torch.compiler.is_exporting()
                or any(m._forward_hooks or m._forward_pre_hooks
                       for m in tower.modules())):
            return False
        return not tower.training or (isinstance(tower, VisionTransformer)
                                      and isinstance(tower.patch_dropout,
                                                     nn.Identity))

    def embed_chunk(self, x: Tensor) -> Tensor:
        """Embed frames that run together, [N, 3, H, W] to [N, D]."""
        tower = self.visual
        if not isinstance(tower, VisionTransformer):
            return tower(x)
        x = self._run(tower._embeds(x), tower.ln_pre,
                      tower.transformer.resblocks)
        # [N, L, W], or [N, W] of the class token alone
        x = tower._pool(x)[0] if x.ndim == 3 else tower.ln_post(x)
        # [N, W]
        return x if tower.proj is None else x @ tower.proj

    @property
    def inserted(self) -> Optional[nn.Module]:
        """Tokens that the layers see behind a frame's own: an object with the
        ``at`` and ``replace`` of :class:`DeepPrompts`, or None."""
        return self.prompts

    def _run(self, x: Tensor, norm_pre: nn.Module, blocks) -> Tensor:
        """Layers with prompts at the end of [N, L, W]; returns [N, L, W], or
        [N, W] where the pooling reads the class token alone."""
        num_tokens = x.shape[1]
        if self.inserted is not None:
            # The norm treats each token alone: prompts can pass on their own.
            x = torch.cat([x, norm_pre(self.inserted.at(0, x))], dim=1)
            # [N, L + n, W]
        # Not len(x), which would fix the batch size of an exported graph.
        only = x.new_zeros(x.shape[0], dtype=torch.long) if reads_class_token(
            self.visual) else None
        x = run_blocks(
            blocks, x, self.inserted, self.grad_checkpointing, only=only)
        # Pooling must not see the prompts (it matters for average pooling).
        return x if only is not None else x[:, :num_tokens]

    def train(self, mode: bool = True) -> 'CLIPVisionBackbone':
        """A frozen tower stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.visual.eval()
        return self


@MODELS.register_module()
class VLDeepPromptBackbone(CLIPVisionBackbone):
    """The image tower with deep vision prompts (section 5, "VL prompting").

    n tokens are appended after the patch tokens and position embeddings,
    before ``ln_pre``; each of the first ``depth`` layers has its own n, which
    take the place of the previous layer's. The text half is the ``prompts``
    option of :class:`CLIPTextClassifier`.

    Args:
        prompts (dict): ``length`` (n) and ``depth``. Defaults to
            dict(length=10, depth=12), the paper's few-shot setting.
        kwargs: As :class:`CLIPVisionBackbone`.

    Raises:
        ValueError: Bad prompt setting, or a tower without a plain sequence of
            tokens (ResNet, rotary timm towers such as EVA02 and PE).
    """

    def __init__(self, arch: Arch, *args,
                 prompts: Optional[dict] = dict(length=10, depth=12),
                 **kwargs) -> None:
        super().__init__(arch, *args, **kwargs)
        tower = getattr(self.visual, 'trunk', self.visual)  # timm's own
        if isinstance(tower, VisionTransformer):
            tower = tower.transformer
            width, blocks = tower.width, tower.resblocks
        elif type(tower) is TimmVisionTransformer:
            width, blocks = tower.embed_dim, tower.blocks
        else:
            raise ValueError(
                f'arch {arch!r} has no plain sequence of tokens, which deep '
                'prompts (TUNE=prompts) and METHOD=open_vclip need: use '
                'CLIPVisionBackbone, or another arch.')
        if prompts is not None:
            cfg = check_prompt_cfg(prompts, ('length', 'depth'))
            self.prompts = DeepPrompts(**cfg, width=width,
                                       num_layers=len(blocks))

    def embed_chunk(self, x: Tensor) -> Tensor:
        """Embed frames that run together, [N, 3, H, W] to [N, D]."""
        if not isinstance(self.visual, TimmModel):
            return super().embed_chunk(x)
        trunk = self.visual.trunk
        x = trunk.patch_drop(trunk._pos_embed(trunk.patch_embed(x)))
        x = self._run(trunk.norm_pre(x), trunk.norm_pre, trunk.blocks)
        x = trunk.forward_head(trunk.norm(x))
        return self.visual.head(x)


def reads_class_token(tower: nn.Module) -> bool:
    """Whether the embedding is made of the class token alone."""
    return (isinstance(tower, VisionTransformer) and tower.attn_pool is None
            and tower.pool_type == 'tok')


@torch.no_grad()
def unique_frames(x: Tensor) -> Tuple[Tensor, Optional[Tensor]]:
    """Return of ``x`` [N, 3, H, W] the different frames [U, 3, H, W] and, for
    each of the N, the index of its equal among them; ``x`` itself and None if
    all differ. Short videos and still pictures repeat frames.

    Exact: frames are grouped by a sample of their pixels, and then compared
    in full with the first of their group.
    """
    num = len(x)
    # A prime step, so that a sample covers rows and columns.
    sample = x.flatten(1)[:, ::997]
    # [N, 3, H, W] -> [N, about 3HW / 997]
    groups, group = torch.unique(sample, dim=0, return_inverse=True)
    if len(groups) == num:
        return x, None
    index = torch.arange(num, device=x.device)
    first = torch.full((len(groups), ), num, device=x.device)
    first = first.scatter_reduce(0, group, index, 'amin')[group]
    # [N]: the first frame of each one's group
    repeats = (first != index).nonzero().flatten()
    equal = (x[repeats] == x[first[repeats]]).flatten(1).all(1)
    first[repeats] = torch.where(equal, first[repeats], repeats)
    kept, inverse = first.unique(return_inverse=True)
    return (x, None) if len(kept) == num else (x[kept], inverse)
