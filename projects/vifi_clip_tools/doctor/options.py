"""The command line of ``vifi-clip check-data``, read."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.parsing import (argument, natural_int, number, option,
                           process_count)
from .published import PUBLISHED

_DAY = 86400


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line; see ``vifi-clip check-data --help``."""

    lists: List[str] = argument(
        nargs='*', metavar='LISTS', help='list folders or lists ("path '
        'label" text, or JSON with captions)')
    train: List[str] = option(
        nargs='+', default=[], metavar='LIST',
        help='training lists whose names do not say so')
    val: List[str] = option(
        nargs='+', default=[], metavar='LIST',
        help='test lists whose names do not say so')
    videos: Optional[str] = option(
        metavar='DIR', help='folder that paths are relative to (default: '
        'data/NAME/videos)')
    classes: Optional[str] = option(
        metavar='FILE', help='class list for all lists (default: the one '
        'beside each)')
    descriptions: Optional[str] = option(
        metavar='FILE', help='instead of lists, check sentences about the '
        'classes of --classes')
    out: Optional[str] = option(
        metavar='DIR', help='folder for the report (default: '
        'work_dirs/check/NAME)')
    dataset: Optional[str] = option(
        choices=[*PUBLISHED, 'none'], metavar='NAME',
        help='compare counts with the published ones of this data set: '
        f'{", ".join(PUBLISHED)} or none (default: by the name of the '
        'folder)')
    min_frames: int = option(
        type=natural_int, default=16, metavar='T',
        help='warn of videos with fewer frames (default: %(default)s)')
    decode: str = option(
        choices=['quick', 'full'], default='quick',
        help='decode five frames from first to last of each video, or all '
        '(default: %(default)s)')
    timeout: float = option(
        type=number(float, 0.001, _DAY), default=120, metavar='SECONDS',
        help='give up on a video after this time (default: %(default)s)')
    workers: Optional[int] = option(
        type=process_count, metavar='N',
        help='number of processes (default: one for each CPU)')
    force: bool = option(action='store_true', help='replace an earlier report')

    def __post_init__(self) -> None:
        lists = self.lists or self.train or self.val
        if self.descriptions and (lists or not self.classes):
            raise ValueError('--descriptions needs --classes FILE and takes '
                             'no lists: check those in another run')
        if not (lists or self.descriptions):
            raise ValueError('no list given; name a list folder such as '
                             'data_splits/ucf101, or list files')
