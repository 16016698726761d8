"""What ``vifi-clip demo`` is asked for, without anything heavy."""
from dataclasses import dataclass
from typing import Optional

from ..cli.options import ModelOptions


@dataclass(frozen=True)
class Limits:
    """Limits of one visit."""
    upload_mb: float = 200  # size of a video, 10^6 bytes
    seconds: float = 60  # time that one request may take
    video_seconds: float = 600  # length of a video


@dataclass(frozen=True)
class DemoOptions:
    """The page, and where it is served."""
    model: ModelOptions  # config None: the index's, or the small world
    labels: Optional[str]  # what stands in the text box at first
    index: Optional[str]  # folder of an index to search
    host: str
    port: int  # 0 takes a free one
    open: bool  # in a browser
    limits: Limits
