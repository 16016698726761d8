"""Everything that holds weights, in MMAction2's MODELS registry."""
from . import additions, methods
from .contrastive_loss import CLIPContrastiveLoss
from .device_transforms import DeviceTransforms
from .image_backbone import CLIPVisionBackbone, VLDeepPromptBackbone
from .recognizer import ViFiCLIP
from .retriever import ViFiCLIPRetriever
from .temporal import TemporalTransformer
from .temporal_head import TemporalMeanPoolHead
from .text_classifier import CLIPTextClassifier
