"""Everything that holds weights, in MMAction2's MODELS registry."""
from .contrastive_loss import CLIPContrastiveLoss
from .retriever import ViFiCLIPRetriever
from .temporal_head import TemporalMeanPoolHead
from .text_classifier import CLIPTextClassifier
from .recognizer import ViFiCLIP
from .image_backbone import CLIPVisionBackbone, VLDeepPromptBackbone

__all__ = [
    'CLIPContrastiveLoss', 'CLIPTextClassifier', 'CLIPVisionBackbone',
    'TemporalMeanPoolHead', 'VLDeepPromptBackbone', 'ViFiCLIP',
    'ViFiCLIPRetriever'
]
