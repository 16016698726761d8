"""What the command line of ``vifi-clip tsne`` says."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import ModelOptions, SeveralModels
from ..cli.outputs import PRINT
from ..cli.parsing import argument, number, option, part, random_seed
from ..embeddings.options import SUFFIXES, ListOptions


def _names(text: str) -> List[str]:
    return [name.strip() for name in text.split(',')] if text else []


@dataclass(frozen=True, kw_only=True)
class TsneOptions:
    """A figure to draw, of files or of a list and models."""

    inputs: List[str] = argument(
        nargs='+', help='files of `vifi-clip embed`; or, with --checkpoint, a '
        'list (.txt) of "name label" lines')
    out: str = option('-o', required=True, help='.png, .pdf or .svg file')
    json: Optional[str] = option(
        nargs='?', const=PRINT, metavar='FILE', help='also write the numbers '
        'to this file; without FILE, print them')
    titles: Optional[List[str]] = option(
        '--names', type=_names, metavar='NAMES', help='titles, separated by '
        'commas (default: names of the files or checkpoints)')
    method: str = option(choices=['tsne', 'umap'], default='tsne',
                         help='projection (default: tsne)')
    perplexity: Optional[float] = option(
        type=number(float, 1), help='perplexity of t-SNE (default: 30, or a '
        'third of the videos if those are fewer)')
    neighbors: Optional[int] = option(type=number(int, 2),
                                      help='neighbours in UMAP (default: 15)')
    seed: int = option(type=random_seed, default=0,
                       help='random seed (default: 0)')
    common: bool = option(action='store_true', help='where the files differ, '
                          'use the videos that all of them have')
    dpi: int = option(type=number(int, 10, 2400), default=300,
                      help='pixels per inch (default: 300)')
    overwrite: bool = option(action='store_true',
                             help='replace files that exist')
    how: ListOptions = part(ListOptions)  # its classes serve files, too
    several: SeveralModels = part(SeveralModels)

    @property
    def files(self) -> List[str]:
        """Those of the inputs that hold embeddings."""
        return [path for path in self.inputs
                if path.lower().endswith(SUFFIXES)]

    @property
    def models(self) -> List[ModelOptions]:
        """One for each panel, without files."""
        return [] if self.files else self.several.each()

    @property
    def neighbours(self) -> Optional[float]:
        """Perplexity of t-SNE, number of UMAP."""
        return self.neighbors if self.method == 'umap' else self.perplexity

    def __post_init__(self) -> None:
        files, several = self.files, self.several.checkpoint != [None]
        if files and (len(files) < len(self.inputs) or several):
            raise ValueError('give either files of embeddings, or a list of '
                             'videos with --checkpoint')
        panels = len(files or self.models)
        if self.titles and len(self.titles) != panels:
            raise ValueError(f'--names has {len(self.titles)} names for '
                             f'{panels} panels')
        if (self.perplexity if self.method == 'umap'
                else self.neighbors) is not None:
            raise ValueError('--perplexity is a setting of --method tsne, and '
                             '--neighbors of umap')
