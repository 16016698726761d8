"""Everything that holds weights, in MMAction2's MODELS registry."""
from .contrastive_loss import CLIPContrastiveLoss
from .retriever import ViFiCLIPRetriever
from .temporal_head import TemporalMeanPoolHead
from .text_classifier import CLIPTextClassifier
from .vifi_clip import ViFiCLIP
from .vision_backbone import CLIPVisionBackbone, VLDeepPromptBackbone

__all__ = [
    'CLIPContrastiveLoss', 'CLIPTextClassifier', 'CLIPVisionBackbone',
    'TemporalMeanPoolHead', 'VLDeepPromptBackbone', 'ViFiCLIP',
    'ViFiCLIPRetriever'
]
