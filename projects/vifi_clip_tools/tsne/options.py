"""What the command line of ``vifi-clip tsne`` says."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import ModelOptions
from ..embeddings.options import ListOptions


@dataclass(frozen=True)
class TsneOptions:
    """A figure to draw, of files or of a list and models."""
    files: List[str]
    videos: ListOptions  # its classes serve files, too
    models: List[ModelOptions]  # one for each panel, without files
    titles: Optional[List[str]]  # one for each panel
    out: str  # .png, .pdf or .svg
    json: Optional[str]  # the figures as a file
    method: str  # 'tsne' or 'umap'
    neighbours: Optional[float]  # perplexity of t-SNE, number of UMAP
    seed: int
    common: bool  # draw the videos that all files have
    dpi: int
    overwrite: bool
