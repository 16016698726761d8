"""One file for each method that is not ViFi-CLIP itself."""
from .actionclip import (KLContrastiveLoss, TemporalClassToken, TemporalConv,
                         TemporalLSTM)
from .aim import AIMBackbone
from .context_prompts import PromptedBlock, VideoTextClassifier
from .efficient_prompting import ContextPrompts, SampledCrossEntropyLoss
from .open_vclip import NeighbourBackbone, NeighbourBlock
from .st_adapter import STAdapterBackbone
from .tc_clip import ContextBackbone, ContextBlock
from .xclip import VideoPrompts, XCLIPBackbone
