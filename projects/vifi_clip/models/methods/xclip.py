"""X-CLIP (arXiv 2208.02816): frames exchange messages in the image tower, and
a video's patches change the class embeddings.

Its temporal module, MIT, is a :class:`TemporalTransformer`. Letters: N views,
T frames of a view, L tokens of a frame, P of them patches, W the tower's
width, D embedding, K classes, h heads.
"""
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from open_clip.transformer import QuickGELU
from timm.layers import DropPath
from torch import Tensor, nn

from ..blocks import attend, run_blocks
from ..image_backbone import CLIPVisionBackbone, reads_class_token


class Message(nn.Module):
    """What one layer's frames tell each other."""

    def __init__(self, width: int, num_heads: int, num_frames: int,
                 drop_path: float) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.fc = nn.Linear(width, width)
        self.ln = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Class tokens [N*T, W] to a token for each frame, [N*T, W]."""
        x = self.fc(x).unflatten(0, (-1, self.num_frames))
        # [N*T, W] -> [N, T, W]
        y = self.drop_path(attend(self.attn, self.ln(x)))
        return (x + y).flatten(0, 1)


class Messages(nn.ModuleList):
    """In the place of deep prompts: each layer's message in that of the last
    one's, behind a frame's own tokens."""
    length = 1  # tokens of a layer
    depth = property(len)

    def replace(self, layer: int, x: Tensor) -> Tensor:
        """Put this layer's message behind the tokens [N*T, L, W]."""
        message = self[layer](x[:, 0]).to(x.dtype)[:, None]
        return torch.cat([x[:, :-1] if layer else x, message], dim=1)


@MODELS.register_module()
class XCLIPBackbone(CLIPVisionBackbone):
    """CLIP's image tower whose frames exchange messages.

    Of a view's frames it returns [N*T, 1 + P, D]: of each the embedding, and
    its patches for :class:`VideoPrompts`.

    Args:
        arch (str | dict): With a ViT of OpenCLIP that reads its class token.
        pretrained (str, optional): A CLIP, for the tower.
        num_frames (int): T. None, in a config: the head's.
        drop_path (float): Chance to leave out a branch of the last layer;
            before, it grows from 0. Defaults to 0.
        kwargs: As :class:`CLIPVisionBackbone`.

    Raises:
        ValueError: A tower without such layers; learnt prompts beside the
            messages.
    """

    def __init__(self, arch, pretrained: Optional[str] = None, *,
                 num_frames: int, drop_path: float = 0.,
                 prompts: Optional[dict] = None, **kwargs) -> None:
        if prompts is not None:
            raise ValueError('the messages of X-CLIP take the place of deep '
                             'prompts: leave out backbone.prompts '
                             "(TUNE=prompts is ViFi-CLIP's)")
        super().__init__(arch, pretrained, **kwargs)
        tower = self.visual
        if not reads_class_token(tower) or tower.proj is None:
            raise ValueError(f'arch {arch!r} takes no messages between frames,'
                             ' as a ViT that reads its class token does')
        blocks = tower.transformer.resblocks
        width, self.num_frames = tower.transformer.width, num_frames
        rates = np.linspace(0, drop_path, len(blocks)).tolist()
        self.messages = Messages(
            Message(width, block.attn.num_heads, num_frames, rate)
            for block, rate in zip(blocks, rates))
        for block, rate in zip(blocks, rates if drop_path else ()):
            if not isinstance(block.ls_1, nn.Identity):
                raise ValueError('drop_path takes the place of the scale in '
                                 'the layers of this arch (ls_init_value)')
            block.ls_1, block.ls_2 = DropPath(rate), DropPath(rate)
        self.prompts_visual_ln = nn.LayerNorm(width)
        self.prompts_visual_proj = nn.Parameter(
            torch.randn(width, self.embed_dim))
        if self.frozen:
            self.requires_grad_(False)

    inserted = property(lambda self: self.messages)

    def embed_chunk(self, x: Tensor) -> Tensor:
        """Embed frames of whole views, [N*T, 3, H, W], to [N*T, 1 + P, D]."""
        tower = self.visual
        x = run_blocks(tower.transformer.resblocks, tower._embeds(x),
                       self.messages, self.grad_checkpointing)[:, :-1]
        # [N*T, L, W], without the last message
        video = tower.ln_post(x[:, :1]) @ tower.proj
        patches = self.prompts_visual_ln(x[:, 1:]) @ self.prompts_visual_proj
        return torch.cat([video, patches], dim=1)


class _CrossAttention(nn.Module):
    """Attention of classes [N, K, D] to patches [N, P, D]."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj = (
            nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.proj = nn.Linear(dim, dim)

    def forward(self, classes: Tensor, patches: Tensor) -> Tensor:
        """Return [N, K, D]."""
        q, k, v = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer, x in ((self.q_proj, classes), (self.k_proj, patches),
                             (self.v_proj, patches)))
        # [N, K or P, D] -> [N, h, K or P, D/h]
        y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).flatten(2))


class _PromptLayer(nn.Module):
    """Pre-norm attention to the patches, and an MLP."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.cross_attn = _CrossAttention(dim, num_heads)
        self.norm1, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), QuickGELU(), nn.Identity(),
            nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor, patches: Tensor) -> Tensor:
        """Return classes [N, K, D] that have looked at the patches."""
        x = x + self.cross_attn(self.norm1(x), patches)
        return x + self.mlp(self.norm3(x))


@MODELS.register_module()
class VideoPrompts(nn.Module):
    """X-CLIP's video-specific prompts, for the head's ``condition``.

    Args:
        embed_dim (int): D.
        depth (int): Layers. Defaults to 2.
        num_heads (int, optional): Defaults to None: one for 64 channels.
        alpha (float): Start of the scale of what is added. Defaults to 0.1.
    """

    def __init__(self, embed_dim: int, depth: int = 2,
                 num_heads: Optional[int] = None, alpha: float = 0.1) -> None:
        super().__init__()
        num_heads = num_heads or max(embed_dim // 64, 1)
        self.norm = nn.LayerNorm(embed_dim)
        self.decoder = nn.ModuleList(
            _PromptLayer(embed_dim, num_heads) for _ in range(depth))
        self.alpha = nn.Parameter(torch.full((embed_dim, ), alpha))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, classes: Tensor, tokens: Tensor) -> Tensor:
        """Class embeddings [K, D], as the text tower gives them, for videos
        of patches [N, P, D]: [N, K, D]."""
        patches = self.norm(tokens)
        x = classes.expand(len(patches), -1, -1)
        for layer in self.decoder:
            x = layer(x, patches)
        return classes + self.alpha * x
