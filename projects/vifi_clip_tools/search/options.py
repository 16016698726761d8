"""What the command lines of ``index`` and ``search`` say."""
from dataclasses import dataclass
from typing import Optional, Sequence

from ..cli.options import ModelOptions

INDEX = 'vifi_index'


@dataclass(frozen=True)
class IndexOptions:
    """An index to make, to bring up to date, or to maintain."""
    videos: Sequence[str]  # folders, files and patterns; may be none
    index: str
    model: ModelOptions  # its config may be None: the index's
    num_views: Optional[str] = None  # None: the index's
    window: Optional[float] = None  # seconds; None: the whole video
    batch_size: int = 4
    prune: bool = False
    ann: Optional[str] = None  # 'IVF_PQ' or 'IVF_FLAT'


@dataclass(frozen=True)
class SearchOptions:
    """Queries to an index."""
    queries: Sequence[str]
    videos: Sequence[str]  # examples, in place of queries
    index: str
    model: ModelOptions
    topk: int = 10
    template: str = '{}'
    exact: bool = False
    sheet: Optional[str] = None
    json: Optional[str] = None
    overwrite: bool = False
