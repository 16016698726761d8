"""The options of ``vifi-clip attention``."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import ModelOptions

METHODS = ('rollout', 'last', 'gradient')


@dataclass(frozen=True)
class AttentionOptions:
    """What to draw, of which video, and into which files."""
    clip: str  # a file or a web address
    models: List[ModelOptions]
    names: List[str]  # of the models
    labels: Optional[str]  # None: each config's own
    methods: List[str]  # of METHODS
    text: Optional[str]  # of gradient maps; None: each model's first label
    per_frame: bool  # each frame has a scale of its own
    out: Optional[str]  # .png, frames and maps
    columns: int  # of it at most
    video: Optional[str]  # .mp4, the clip beside its overlays
    video_frames: int  # of it at most
    npz: Optional[str]  # what the grid shows
    overwrite: bool  # files may be replaced
