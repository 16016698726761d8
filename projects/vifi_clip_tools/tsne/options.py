"""What the command line of ``vifi-clip tsne`` says."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import ModelOptions
from ..embeddings.options import ListOptions


@dataclass(frozen=True)
class TsneOptions:
    """A figure to draw.

    Attributes:
        files (list[str], optional): Files of embeddings; None where
            ``models`` embed ``videos``.
        videos (ListOptions): A list with labels; of it, ``classes`` serves
            files, too.
        models (list[ModelOptions]): One for each panel, without files.
        titles (list[str], optional): One for each panel.
        out (str): The picture: .png, .pdf or .svg.
        json (str, optional): The figures as a file.
        method (str): 'tsne' or 'umap'.
        perplexity (float, optional): Of t-SNE.
        neighbors (int, optional): Of UMAP.
        seed (int): Of picture and clusters.
        common (bool): Draw the videos that all files have.
        dpi (int): Pixels an inch.
        overwrite (bool): Replace files that exist.
    """

    files: Optional[List[str]]
    videos: ListOptions
    models: List[ModelOptions]
    titles: Optional[List[str]]
    out: str
    json: Optional[str] = None
    method: str = 'tsne'
    perplexity: Optional[float] = None
    neighbors: Optional[int] = None
    seed: int = 0
    common: bool = False
    dpi: int = 300
    overwrite: bool = False
