"""What the command lines of embedding say; ``tsne`` embeds lists, too."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import EngineOptions, ModelOptions, RunOptions, device
from ..cli.parsing import argument, option, part, positive_int

SUFFIXES = ('.npz', '.parquet')
PARTS = ('train', 'val')


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """How to embed videos."""

    root: Optional[str] = option(
        help='folder that the names in a list are relative to (default: the '
        'working directory)')
    classes: Optional[str] = option(
        help="class names, in the order of a list's label numbers: a file, or "
        '"a, b, c"')
    num_views: str = option(
        default='1', help='temporal views, or with spatial crops such as 4x3, '
        "or 'config' (default: 1)")
    batch_size: int = option(type=positive_int, default=1,
                             help='videos in a batch (default: 1)')


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """The command line of ``vifi-clip embed``."""

    videos: List[str] = argument(
        nargs='+', help='a list (.txt) of "name label" lines, or folders, '
        'patterns and files')
    out: str = option('-o', required=True, help='.npz or .parquet file')
    how: ListOptions = part(ListOptions)
    model: ModelOptions = part(ModelOptions)
    engine: EngineOptions = part(EngineOptions)
    overwrite: bool = option(
        action='store_true', help='replace a file, or unfinished work, made '
        'with another model, setting or list')
    allow_bad: bool = option(action='store_true', help='exit code 0 even if '
                             'some videos could not be read')


@dataclass(frozen=True, kw_only=True)
class FramesOptions:
    """The command line of ``vifi-clip cache-frames``."""

    config: str = argument(help='config file that names the videos')
    checkpoint: str = argument(help="checkpoint of the image tower, or 'none' "
                               'for the weights that the config starts from')
    out: str = option(required=True, help='folder of the cache; files '
                      'already in it are kept')
    parts: List[str] = option(nargs='+', choices=PARTS, default=PARTS,
                              help='lists to embed (default: both)')
    dtype: str = option(
        choices=['float32', 'float16'], default='float32',
        help='precision of the files; float16 halves them, and rounds each '
        'number by up to 5e-4 of its value (default: float32)')
    batch_size: int = option(type=positive_int, default=4,
                             help='videos in a batch (default: 4)')
    device: str = device()
    common: RunOptions = part(RunOptions)

    def __post_init__(self) -> None:
        if self.common.amp or self.common.launcher != 'none':
            raise ValueError('--amp and --launcher: embeddings are made in '
                             'float32 by one process; leave them out')
