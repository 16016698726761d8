"""CLIP's image tower as an MMAction2 backbone, plain and with deep prompts.

Letters: N frames of all videos and views together, L tokens of a frame,
W the tower's width, D the embedding, H x W pixels.
"""
from typing import Iterator, Optional, Tuple, Union

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from .prompts import DeepPrompts, check_prompt_cfg, run_blocks
from .towers import (Arch, build_vision_tower, get_arch_cfg,
                     resize_timm_tower)
from .weights import load_pretrained


@MODELS.register_module()
class CLIPVisionBackbone(BaseModule):
    """The image tower of any OpenCLIP model (ViFi-CLIP section 3.1).

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

    Raises:
        ValueError: Unknown arch or setting, or a checkpoint of another
            architecture (keys and shapes that differ are named).
        FileNotFoundError: ``pretrained`` is a path that does not exist.
    """

    def __init__(self,
                 arch: Arch,
                 pretrained: Optional[str] = None,
                 frozen: bool = False,
                 grad_checkpointing: bool = False,
                 image_size: Optional[Union[int, Tuple[int, int]]] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.embed_dim = get_arch_cfg(arch)['embed_dim']
        self.frozen = frozen
        self.grad_checkpointing = grad_checkpointing
        self.visual = build_vision_tower(arch, image_size)
        load_pretrained(self.visual, 'visual', arch, pretrained)
        resize_timm_tower(self.visual, image_size)
        if grad_checkpointing:
            self.visual.set_grad_checkpointing(True)
        if frozen:
            self.visual.requires_grad_(False)

    def init_weights(self) -> None:
        """Nothing: the weights come with the tower. MMEngine calls this when
        training starts, and timm's own method must not run again."""
        self._is_init = True

    def tower_parameters(self) -> Iterator[nn.Parameter]:
        """CLIP's own parameters of this side."""
        return self.visual.parameters()

    def prompt_parameters(self) -> Iterator[nn.Parameter]:
        """Learnt prompts of this side."""
        return iter(())

    def forward(self, x: Tensor) -> Tensor:
        """Embed frames, each on its own.

        Args:
            x (Tensor): Normalised frames [N, 3, H, W].

        Returns:
            Tensor: [N, D], not normalised.
        """
        return self.visual(x)

    def train(self, mode: bool = True) -> 'CLIPVisionBackbone':
        """A frozen tower stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.visual.eval()
        return self


@MODELS.register_module()
class VLDeepPromptBackbone(CLIPVisionBackbone):
    """The image tower with deep vision prompts (section 3.3, "VL prompting").

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

    def __init__(self,
                 arch: Arch,
                 *args,
                 prompts: Optional[dict] = dict(length=10, depth=12),
                 **kwargs) -> None:
        super().__init__(arch, *args, **kwargs)
        self.prompts = None
        width, blocks = self._layers(arch)
        if prompts is not None:
            cfg = check_prompt_cfg(prompts, ('length', 'depth'))
            self.prompts = DeepPrompts(
                **cfg, width=width, num_layers=len(blocks))

    def _layers(self, arch: Arch) -> Tuple[int, nn.ModuleList]:
        """Width and layers of a supported tower."""
        tower = self.visual
        if isinstance(tower, VisionTransformer):
            transformer = tower.transformer
            return transformer.width, transformer.resblocks
        if isinstance(tower, TimmModel):
            from timm.models.vision_transformer import VisionTransformer as ViT
            if type(tower.trunk) is ViT:
                return tower.trunk.embed_dim, tower.trunk.blocks
            tower = tower.trunk
        raise ValueError(
            f'Deep prompts need a ViT with additive position embeddings; the '
            f'image tower of arch {arch!r} is {type(tower).__name__}. Use '
            'CLIPVisionBackbone, or another arch.')

    def prompt_parameters(self) -> Iterator[nn.Parameter]:
        if self.prompts is None:
            return iter(())
        return self.prompts.parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Embed frames, [N, 3, H, W] to [N, D], with this side's prompts."""
        if isinstance(self.visual, TimmModel):
            return self._forward_timm(x)
        tower = self.visual
        x = tower._embeds(x)
        # [N, 1 + L, W], ln_pre done: it treats each token alone, so that
        # prompts can pass it on their own.
        x = self._run(x, tower.ln_pre, tower.transformer.resblocks)
        x = tower._pool(x)[0]
        # [N, W]
        return x if tower.proj is None else x @ tower.proj

    def _forward_timm(self, x: Tensor) -> Tensor:
        trunk = self.visual.trunk
        x = trunk.patch_drop(trunk._pos_embed(trunk.patch_embed(x)))
        x = self._run(trunk.norm_pre(x), trunk.norm_pre, trunk.blocks)
        x = trunk.forward_head(trunk.norm(x))
        return self.visual.head(x)

    def _run(self, x: Tensor, norm_pre: nn.Module, blocks) -> Tensor:
        """Layers with prompts at the end of [N, L, W]; returns [N, L, W]."""
        num_tokens = x.shape[1]
        if self.prompts is not None:
            x = torch.cat([x, norm_pre(self.prompts.at(0, x))], dim=1)
            # [N, L + n, W]
        x = run_blocks(blocks, x, self.prompts,
                       self.grad_checkpointing)
        # Pooling must not see the prompts (it matters for average pooling).
        return x[:, :num_tokens]
