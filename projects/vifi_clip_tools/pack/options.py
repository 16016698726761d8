"""The command line of ``vifi-clip pack``."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import EngineOptions
from ..cli.parsing import (argument, number, option, part, process_count,
                           seconds)

_PRESETS = ('ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium',
            'slow', 'slower', 'veryslow')


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How videos are packed; docs/performance.md compares."""

    side: int = option(
        type=number(int, 16, 4096), default=256, help='pixels of the shorter '
        'side; smaller videos keep theirs (default: 256)')
    interval: int = option(
        type=number(int, 1, 250), default=4, help='frames from one key frame '
        'to the next (default: 4)')
    crf: int = option(
        type=number(int, 0, 51), default=18,
        help="x264's quality, lower is better and larger (default: 18)")
    preset: str = option(choices=_PRESETS, default='medium', help="x264's "
                         'speed (default: medium)')


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """The command line."""

    lists: List[str] = argument(nargs='+', metavar='LIST', help='"path label" '
                                'text, or JSON with captions')
    out: str = option(required=True, metavar='DIR', help='folder of the '
                      'packed videos; those already in it are kept')
    root: str = option(
        default='.', metavar='DIR', help='folder that the paths of the lists '
        'are in (default: the working directory)')
    how: Encoding = part(Encoding)
    shards: Optional[float] = option(
        type=number(float, 0, 1000, open_low=True), metavar='GB',
        help='at the end, move the packed videos into tar files of about '
        'this size, for disks that are slow with many files; they are read in '
        'any order, as files are (default: as in the last run; no shards)')
    timeout: float = option(type=seconds, default=600, help='give up on a '
                            'video after these seconds (default: 600)')
    workers: Optional[int] = option(
        type=process_count, metavar='N',
        help='videos packed at once (default: one for each CPU)')
    engine: EngineOptions = part(EngineOptions)

    def __post_init__(self) -> None:
        if self.workers and self.engine.engine != 'local':
            raise ValueError('--workers is for --engine local; give '
                             '--ray-workers')
