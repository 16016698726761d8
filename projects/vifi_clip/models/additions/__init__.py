"""What has raised ViFi-CLIP's protocols since: losses beside the main one."""
from .auxiliary import AuxiliaryLosses
from .froster import FeatureDistillationLoss
from .taco import AnchorRelationLoss
from .teachers import CLIPTeacher, EMATeacher
