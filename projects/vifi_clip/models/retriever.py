"""Text-video retrieval: the recognizer with captions in place of classes.

Letters: B pairs of video and caption, T frames, L tokens, D embedding.
"""
from typing import Dict, Tuple

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.utils import ConfigType, SampleList
from mmengine.structures import InstanceData
from torch import Tensor

from ..errors import UserError
from .recognizer import ViFiCLIP, embed_frames
from .text_tower import encode_tokens, end_positions

Inputs = Dict[str, Tensor]


@MODELS.register_module()
class ViFiCLIPRetriever(ViFiCLIP):
    """ViFi-CLIP trained on captioned videos, as on MSR-VTT.

    Modules, ``tune`` and checkpoints are ViFiCLIP's: a checkpoint of either
    loads into the other, and serves as ``pretrained``. But each video brings
    its own text: inputs are ``dict(imgs=[B, T, 3, H, W], text=[B, L])``,
    normalised frames and token ids (:class:`OpenCLIPTokenize`), one view of
    each video.

    Args:
        backbone (dict): As for :class:`ViFiCLIP`.
        cls_head (dict): :class:`TemporalMeanPoolHead` with
            ``fusion='embedding'`` and ``loss_cls`` of
            :class:`CLIPContrastiveLoss`, which is the default here. Its text
            classifier needs no class list.
        data_preprocessor (dict): MultiModalDataPreprocessor with ``imgs`` and
            ``text``.
        kwargs: As ViFiCLIP.

    Raises:
        ValueError: A head with another fusion, with a loss over classes or
            with text prompts; inputs of a wrong shape.
    """

    def __init__(self, backbone: ConfigType, cls_head: ConfigType,
                 data_preprocessor: ConfigType, **kwargs) -> None:
        classifier = dict(cls_head['text_classifier'])
        if not (classifier.get('class_names') or classifier.get('class_file')):
            # The classifier asks for classes; captions need none.
            classifier.update(class_names=['video'], class_file=None)
            classifier.setdefault('templates', '{}')
        cls_head = dict(dict(loss_cls=dict(type='CLIPContrastiveLoss')),
                        **dict(cls_head, text_classifier=classifier))
        super().__init__(backbone=backbone, cls_head=cls_head,
                         data_preprocessor=data_preprocessor, **kwargs)
        head = self.cls_head
        for fits, setting in (
                (getattr(head.loss_cls, 'in_batch', False),
                 'loss_cls of CLIPContrastiveLoss: captions are not classes'),
                (head.fusion == 'embedding', "fusion='embedding'"),
                (head.condition is None, 'no condition: captions have no '
                 'embedding without the video (METHOD)'),
                (head.text_classifier.prompts is None,
                 'no prompts of the text_classifier')):
            if not fits:
                raise ValueError(f'Retrieval needs a head with {setting}.')

    def embed_video(self, imgs: Tensor) -> Tensor:
        """Normalised frames [B, T, 3, H, W] to mean-pooled embeddings of
        length 1, float32 [B, D]."""
        num_frames = self.cls_head.num_frames
        if imgs.ndim != 5 or imgs.shape[1] != num_frames:
            raise ValueError(
                f'Retrieval takes [B, num_frames={num_frames}, 3, H, W], got '
                f'{tuple(imgs.shape)}: let pipeline and head agree.')
        return self.cls_head.fuse(embed_frames(self, imgs))[:, 0]
        # [B, 1, T, D] -> [B, 1, D] -> [B, D]

    def embed_text(self, tokens: Tensor) -> Tensor:
        """Token ids [B, L] of captions, L at most the context, to embeddings
        of length 1, float32 [B, D]."""
        classifier = self.cls_head.text_classifier
        text = classifier.text
        if tokens.ndim != 2 or tokens.shape[1] > text.context_length:
            raise ValueError(
                f'Captions {tuple(tokens.shape)} are not tokens [B, up to '
                f'{text.context_length}]: give OpenCLIPTokenize this arch.')
        x = encode_tokens(text, tokens, end_positions(text, tokens), None,
                          classifier.grad_checkpointing,
                          classifier.max_graph_tokens)
        return F.normalize(x.float(), dim=-1)

    def embed(self, inputs: Inputs, **kwargs) -> Tuple[Tensor, Tensor]:
        """Embeddings of videos and captions, both [B, D]."""
        return self.embed_video(inputs['imgs']), self.embed_text(
            inputs['text'])

    _forward = embed  # mode='tensor'

    def loss(self, inputs: Inputs, data_samples: SampleList,
             **kwargs) -> Dict[str, Tensor]:
        """Contrastive loss over the batch of all processes. Samples with the
        same ``gt_label`` show the same video and are all positives; where
        they have none (MMAction2's VideoTextDataset), a video's own caption
        is its only positive."""
        video, text = self.embed(inputs)
        ids = None  # [B] numbers, equal where the video is
        if all('gt_label' in sample for sample in data_samples):
            ids = torch.cat([sample.gt_label for sample in data_samples])
            ids = ids.to(video.device)
        head = self.cls_head
        return dict(loss_contrastive=head.loss_cls(
            video, text, head.logit_scale.exp(), ids))

    def predict(self, inputs: Inputs, data_samples: SampleList,
                **kwargs) -> SampleList:
        """Samples with ``features`` (``video_feature`` and ``text_feature``,
        [D] each), as MMAction2's RetrievalMetric takes them."""
        embeddings = self.embed(inputs)
        if not all(bool(torch.isfinite(x).all()) for x in embeddings):
            raise UserError('embeddings are not finite: the weights are '
                            'broken, or their training diverged')
        for sample, video, text in zip(data_samples, *embeddings):
            sample.features = InstanceData(
                video_feature=video, text_feature=text)
        return data_samples
