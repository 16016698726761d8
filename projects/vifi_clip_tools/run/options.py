"""What ``vifi-clip test`` is asked for."""
from dataclasses import dataclass
from typing import Any, Dict, Optional


@dataclass(frozen=True)
class Options:
    """What ``vifi-clip test --help`` explains."""

    config: str
    checkpoint: str
    amp: bool
    single_view: bool
    dump: Optional[str]
    predictions: Optional[str]
    metrics: Optional[str]
    bad_videos: Optional[str]
    inference: Dict[str, Any]  # of apply_inference
    common: Dict[str, Any]  # of load_config
