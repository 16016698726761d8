"""What the command lines of embedding say; ``tsne`` embeds lists, too."""
import argparse
from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence

from ..cli.options import ModelOptions, positive_int

SUFFIXES = ('.npz', '.parquet')


@dataclass(frozen=True)
class ListOptions:
    """Videos to embed, and how.

    Attributes:
        videos (Sequence[str]): A list (.txt); or folders, patterns, files.
        root (str, optional): Folder that the names of a list start from.
        classes (str, optional): Names of a list's classes: a file, or names
            with commas between.
        num_views (str): '1', '4x3', 'config'.
        batch_size (int): Videos at once.
    """

    videos: Sequence[str]
    root: Optional[str] = None
    classes: Optional[str] = None
    num_views: str = '1'
    batch_size: int = 1


@dataclass(frozen=True)
class EmbedOptions:
    """A file of embeddings to write.

    Attributes:
        videos (ListOptions): What is embedded.
        model (ModelOptions): By which model.
        out (str): .npz or .parquet file.
        overwrite (bool): Replace what another model or list made.
        allow_bad (bool): Videos that cannot be read are no failure.
    """

    videos: ListOptions
    model: ModelOptions
    out: str
    overwrite: bool = False
    allow_bad: bool = False


@dataclass(frozen=True)
class FramesOptions:
    """A cache of frame embeddings to fill.

    Attributes:
        config, checkpoint (str): The image tower; 'none' for what the config
            starts from.
        out (str): Folder of the cache.
        parts (Sequence[str]): Of 'train' and 'val'.
        dtype (str): 'float32' or 'float16', of the files.
        batch_size (int): Videos at a time.
        device (str): 'auto', 'cpu', 'cuda:0' ...
        cfg_options (dict, optional): Settings that override the config's.
        trust (bool): Let the checkpoint run code while it loads.
    """

    config: str
    checkpoint: str
    out: str
    parts: Sequence[str]
    dtype: str = 'float32'
    batch_size: int = 4
    device: str = 'auto'
    cfg_options: Optional[Dict[str, Any]] = None
    trust: bool = False


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
