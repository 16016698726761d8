"""The three parts of a model that are exported, as plain modules.

They hold the model's own layers, no copies. Letters: B clips, T frames,
H x W pixels, D embedding, M sentences, L tokens, K classes.
"""
from typing import Dict, List, Sequence

import torch
import torch.nn.functional as F
from open_clip.utils import to_2tuple
from torch import Tensor, nn
from torch.export import Dim

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.models.image_backbone import CLIPVisionBackbone
from projects.vifi_clip.models.temporal_head import TemporalMeanPoolHead
from projects.vifi_clip.models.text_tower import (encode_chunk, end_positions,
                                                  is_causal)


class VideoEncoder(nn.Module):
    """Clips to embeddings: pixel statistics, image tower, temporal pooling.

    It is made of a ViFiCLIP in eval mode. With ``pixels='uint8'`` it takes
    frames as a video has them and normalises them; with 'float', normalised.
    """
    input_name = 'frames'
    output_name = 'video_embedding'

    def __init__(self, model: nn.Module, pixels: str = 'uint8') -> None:
        super().__init__()
        head, preprocessor = model.cls_head, model.data_preprocessor
        self.backbone, self.projection = model.backbone, head.projection
        # A method, so that the head's text side is no part of this module.
        self.fuse = head.fuse
        # The least and the most frames of a clip; None: any number
        self.least, self.most = getattr(
            head.temporal, 'frame_counts', (1, None))
        self.pixels = pixels
        self.flip = bool(preprocessor.to_rgb)
        for name, default in ('mean', 0.), ('std', 1.):
            value = getattr(preprocessor, name, None)
            value = torch.full((3, ), default) if value is None else value
            self.register_buffer(name, value.detach().float().flatten())

    def forward(self, frames: Tensor) -> Tensor:
        """Embed RGB clips of the model's size, uint8 [B, T, H, W, 3] or
        normalised float32 [B, T, 3, H, W], as [B, D]: of unit length, or with
        the fusions 'decision' and 'image' the mean of the frames' unit
        embeddings, as it is."""
        batch, num_frames = frames.shape[:2]
        x = frames.flatten(0, 1)
        # [B*T, ...]
        if self.pixels == 'uint8':
            x = x.flip(-1) if self.flip else x
            x = ((x.float() - self.mean) / self.std).permute(0, 3, 1, 2)
            # [B*T, H, W, 3] -> [B*T, 3, H, W]
        x = self.projection(self.backbone(x))
        return self.fuse(x.view(batch, num_frames, x.shape[-1]))
        # [B*T, D] -> [B, T, D] -> [B, D]

    def example(self, batch: int, num_frames: int) -> Tensor:
        """Return random input of a size."""
        height, width = to_2tuple(self.backbone.visual.image_size)
        if self.pixels == 'uint8':
            return torch.randint(0, 256, (batch, num_frames, height, width, 3),
                                 dtype=torch.uint8)
        return torch.randn(batch, num_frames, 3, height, width)

    def dynamic(self) -> Dict[int, Dim]:
        """Return the axes of the input that have no fixed size."""
        axes = {0: Dim('batch')}
        if self.least != self.most:
            axes[1] = Dim('frames', max=self.most)
        return axes

    def check_lengths(self, frames: Sequence[int]) -> List[int]:
        """Return the nearest numbers of frames that a clip can have."""
        return sorted({max(self.least, min(n, self.most or n))
                       for n in frames})

    def traced_length(self) -> int:
        """Return frames to trace with: a tracer takes 1 for a constant, and
        the batch of 3 for the same size."""
        if self.least == self.most:
            return self.least
        return max(n for n in (2, 4, 5) if n <= (self.most or n))


class Classifier(VideoEncoder):
    """Clips to probabilities of the model's classes, which are baked in."""
    output_name = 'probabilities'

    def __init__(self, model: nn.Module, pixels: str = 'uint8') -> None:
        super().__init__(model, pixels)
        head = model.cls_head
        with torch.no_grad():
            weight = head.text_classifier() * head.logit_scale.exp()
        # A plain copy: the model's own is a cache that it may drop.
        self.register_buffer('weight', weight.float().clone())

    def forward(self, frames: Tensor) -> Tensor:
        """[B, T, ...] as for :class:`VideoEncoder` to [B, K]."""
        video = super().forward(frames)
        if self.weight.ndim == 2:
            return (video @ self.weight.T).softmax(dim=-1)
        # [B, D] and [M, K, D]: the mean probability of M templates
        return (video @ self.weight.mT).softmax(dim=-1).mean(dim=0)


class TextEncoder(nn.Module):
    """Token ids to embeddings of unit length, read at the text's end; it has
    no use for ``pixels``."""
    input_name = 'tokens'
    # Not 'embedding', which is the name of an operator in the graph.
    output_name = 'text_embedding'

    def __init__(self, model: nn.Module, pixels: str = 'uint8') -> None:
        super().__init__()
        classifier = model.cls_head.text_classifier
        self.text, self.prompts = classifier.text, classifier.prompts
        self.vocab_size = self.text.token_embedding.num_embeddings
        self.context_length = self.text.context_length
        # Of a sentence: begin, learnt prompts, a word, end.
        self.shortest = 3 + (self.prompts.length if self.prompts else 0)
        # CLIP's end of text has the highest id.
        self.end_id = (self.text.eos_id if self.text.pool_type == 'eos' else
                       self.vocab_size - 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed sentences [M, L], int64 with begin and end, as [M, D]."""
        ends = end_positions(self.text, tokens)
        x = encode_chunk(self.text, tokens, ends, self.prompts, False)
        return F.normalize(x.float(), dim=-1)

    def example(self, batch: int, length: int) -> Tensor:
        """Return random sentences of several lengths, padded with 0."""
        tokens = torch.zeros(batch, length, dtype=torch.long)
        for row in tokens:
            end = int(torch.randint(self.shortest - 1, length, ()))
            row[:end] = torch.randint(1, self.vocab_size - 2, (end, ))
            row[0], row[end] = self.vocab_size - 2, self.end_id
        return tokens

    def dynamic(self) -> Dict[int, Dim]:
        """Return the axes without a fixed size. Only where nothing is seen
        behind the end of the text may sentences be cut after the longest."""
        axes = {0: Dim('sentences')}
        if is_causal(self.text):
            axes[1] = Dim('length', min=self.shortest, max=self.context_length)
        return axes

    def check_lengths(self, frames: Sequence[int]) -> List[int]:
        """Return tokens of the shortest, a middle and the longest sentence
        that it takes; it has no ``frames``."""
        short, long = self.shortest, self.context_length
        return (sorted({short, (short + long) // 2, long})
                if 1 in self.dynamic() else [long])

    def traced_length(self) -> int:
        """Return tokens to trace with."""
        return (max(5, self.shortest + 1) if 1 in self.dynamic()
                else self.context_length)


def build_parts(model: nn.Module, parts: Sequence[str],
                pixels: str) -> Dict[str, nn.Module]:
    """Make the modules to export, in eval mode, by the names of the parts."""
    for part, kind in ((model.backbone, CLIPVisionBackbone),
                       (model.cls_head, TemporalMeanPoolHead)):
        if not isinstance(part, kind):
            raise UserError(
                f'export takes a model with {kind.__name__}; this one has '
                f'{type(part).__name__} in its place')
    if getattr(model.backbone, 'num_frames', None):
        raise UserError(
            'export writes towers whose frames and texts are embedded alone; '
            'frames of this model (METHOD=xclip, open_vclip, tc_clip, '
            'st_adapter, aim) see each other')
    model.eval()
    kinds = dict(video=VideoEncoder, text=TextEncoder, classifier=Classifier)
    return {part: kinds[part](model, pixels).eval() for part in parts}
