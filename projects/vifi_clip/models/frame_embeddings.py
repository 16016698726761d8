"""Train behind a frozen image tower on embeddings that were made before.

Letters: B videos, T frames, N = B * T, D embedding.
"""
from typing import Any, Dict, List, Optional, Tuple

import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS
from mmaction.utils import SampleList
from torch import Tensor

from ..checkpoints.settings import (fingerprint, pixel_settings,
                                    tower_traits)
from ..datasets.frame_cache import FrameCache
from .image_backbone import CLIPVisionBackbone


def tower_identity(backbone: CLIPVisionBackbone) -> Dict[str, Any]:
    """Return what decides an image tower's embeddings: its weights, and
    properties that leave no trace in them."""
    visual = backbone.visual
    return dict(weights=fingerprint(visual.state_dict().items()),
                **tower_traits('visual', visual))


@MODELS.register_module()
class FrameEmbeddings(CLIPVisionBackbone):
    """CLIPVisionBackbone that lets embeddings pass, [N, D] to [N, D].

    The tower is there all the same: it is what the cache is checked against,
    it encodes frames where videos are tested, and its weights are in the
    checkpoint, which so loads under the config of the videos too.

    Args:
        cache (str): Folder that ``vifi-clip cache-frames`` wrote.
        kwargs: As :class:`CLIPVisionBackbone`.

    Raises:
        UserError: The cache was made with another tower; checked when the
            first embeddings come, and again if the weights change.
        ValueError: The tower is to be trained.
    """

    def __init__(self, *args, cache: str, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.cache = cache
        self._checked: Optional[tuple] = None

    def train(self, mode: bool = True) -> 'FrameEmbeddings':
        """Set the mode; refuse a tower that trains."""
        if mode and any(p.requires_grad for p in self.parameters()):
            raise ValueError('Embeddings made before would not follow an '
                             'image tower that trains: set TUNE=text '
                             "(model.tune='text'), or train on the videos")
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings [N, D] as they are, or frames [N, 3, H, W] embedded."""
        if x.ndim != 2:
            return super().forward(x)
        state = self.visual.state_dict(keep_vars=True)
        version = tuple((id(v), v._version) for v in state.values())
        if version != self._checked:
            FrameCache(self.cache).check(
                embed_dim=self.embed_dim, **tower_identity(self))
            self._checked = version
        return x


@MODELS.register_module()
class FrameEmbeddingPreprocessor(ActionDataPreprocessor):
    """ActionDataPreprocessor that leaves embeddings as they are.

    Args:
        cache (str): Folder that ``vifi-clip cache-frames`` wrote.
        kwargs: As ActionDataPreprocessor, for the videos of a test.

    Raises:
        UserError: The cache was made with other pixel statistics.
        ValueError: Embeddings are to be blended (mixup, cutmix).
    """

    def __init__(self, cache: str, **kwargs) -> None:
        super().__init__(**kwargs)
        FrameCache(cache).check(**pixel_settings(self))

    def preprocess(self, inputs: List[Tensor], data_samples: SampleList,
                   training: bool = False) -> Tuple[Tensor, SampleList]:
        """Stack embeddings, [T, D] each, to [B, T, D]; frames as usual."""
        if inputs[0].ndim != 2:
            return super().preprocess(inputs, data_samples, training)
        if training and self.blending is not None:
            raise ValueError('Embeddings of frames cannot be blended; set '
                             'blending=None in the data preprocessor')
        return torch.stack(inputs), data_samples
