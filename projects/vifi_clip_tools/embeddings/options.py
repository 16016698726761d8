"""What the command lines of embedding say; ``tsne`` embeds lists, too."""
import argparse
from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence

from ..cli.options import ModelOptions, positive_int

SUFFIXES = ('.npz', '.parquet')


@dataclass(frozen=True)
class ListOptions:
    """Videos to embed, and how."""
    videos: Sequence[str]  # one list (.txt); or folders, patterns, files
    root: Optional[str]  # where the names of a list start from
    classes: Optional[str]  # of a list: a file, or names with commas
    num_views: str  # '1', '4x3', 'config'
    batch_size: int


@dataclass(frozen=True)
class EmbedOptions:
    """A file of embeddings to write."""
    videos: ListOptions
    model: ModelOptions
    out: str  # .npz or .parquet
    overwrite: bool
    allow_bad: bool  # videos that cannot be read are no failure


@dataclass(frozen=True)
class FramesOptions:
    """A cache of frame embeddings to fill."""
    config: str
    checkpoint: str  # or 'none': what the config starts from
    out: str  # a folder
    parts: Sequence[str]  # of 'train' and 'val'
    dtype: str  # of the files
    batch_size: int
    device: str
    cfg_options: Optional[Dict[str, Any]]
    trust: bool


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of :class:`ListOptions`."""
    parser.add_argument('--root', help='folder that the names of a list '
                        'start from (default: the working directory)')
    parser.add_argument('--classes', help='names of the classes that a '
                        "list's labels count: a file, or \"a, b, c\"")
    parser.add_argument('--num-views', default='1', help="temporal views, "
                        "with crops as 4x3, or 'config' (default: 1)")
    parser.add_argument('--batch-size', type=positive_int, default=1,
                        help='videos at once (default: 1)')


def list_options(args: argparse.Namespace,
                 videos: Sequence[str]) -> ListOptions:
    """Collect the options of :func:`add_list_arguments`."""
    return ListOptions(videos, args.root, args.classes, args.num_views,
                       args.batch_size)
