"""What ``vifi-clip predict`` is asked for."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import ModelOptions


@dataclass(frozen=True)
class Options:
    """What ``vifi-clip predict --help`` explains."""

    videos: List[str]
    list: Optional[str]  # a file of videos
    labels: Optional[str]
    templates: Optional[List[str]]
    topk: int
    threshold: Optional[float]
    num_views: str
    batch_size: int
    out: Optional[str]
    overwrite: bool
    save_video: Optional[str]
    timeline: Optional[str]
    window: float
    stride: float
    fetching: dict  # of VideoInput: max_mb and timeout
    model: ModelOptions
