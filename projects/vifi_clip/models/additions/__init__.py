"""What has raised ViFi-CLIP's protocols since: losses beside the main one,
LoRA."""
from .auxiliary import AuxiliaryLosses
from .froster import FeatureDistillationLoss
from .lora import add_lora
from .taco import AnchorRelationLoss
from .teachers import CLIPTeacher, EMATeacher
