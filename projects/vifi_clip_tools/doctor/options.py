"""The command line of ``vifi-clip check-data``, read."""
from dataclasses import dataclass
from typing import List, Optional


@dataclass(frozen=True)
class Options:
    """The command line; see ``vifi-clip check-data --help``."""

    lists: List[str]
    train: List[str]
    val: List[str]
    videos: Optional[str]
    classes: Optional[str]
    out: Optional[str]
    dataset: Optional[str]
    min_frames: int
    decode: str
    timeout: float
    workers: Optional[int]
    force: bool
