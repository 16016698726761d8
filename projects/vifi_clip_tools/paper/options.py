"""What the commands of this folder are asked for."""
import os.path as osp
from dataclasses import dataclass
from typing import List, Optional

from ..cli.parsing import (Group, argument, option, positive_int,
                           process_count, random_seed)

_WHAT = Group(exclusive=True)


@dataclass(frozen=True, kw_only=True)
class MatrixOptions:
    """The command line of ``vifi-clip matrix``."""

    mini: bool = option(action='store_true', help='run the small world '
                        'instead of the paper\'s data sets')
    table: Optional[List[str]] = option(
        nargs='+', help='numbers of the paper\'s tables (default: all)')
    dataset: Optional[List[str]] = option(
        nargs='+', help='data sets, or protocols of the small world '
        '(default: all)')
    only: Optional[str] = option(help='runs whose name contains this text: a '
                                 'method such as xclip or a5, or a seed')
    run: bool = option(action='store_true', group=_WHAT,
                       help='run what is not finished on this machine')
    dry_run: bool = option(action='store_true', group=_WHAT, help='with '
                           '--mini: list the runs without running them')
    commands: Optional[str] = option(
        choices=['shell', 'slurm'], group=_WHAT,
        help='print commands for a cluster instead')
    gpus: int = option(type=positive_int, default=1, help='GPUs for each run '
                       '(default: 1); the paper\'s batches are for 8')
    jobs: Optional[int] = option(
        type=process_count, help='runs at a time on this machine (default: 1; '
        'with --mini one for each core, at most 4)')
    work_dir: Optional[str] = option(
        help='folder of the runs (default: work_dirs/matrix or '
        'work_dirs/matrix_mini, with the settings changed for all runs)')
    data_root: str = option(default='data/mini', help='folder of the small '
                            'world for --mini (default: data/mini)')


@dataclass(frozen=True, kw_only=True)
class QuickstartOptions:
    """The command line of ``vifi-clip quickstart``."""

    videos: List[str] = argument(
        nargs='*', help='videos of your own to recognise at the end')
    seeds: List[int] = option(type=random_seed, nargs='+', default=[0],
                              help='seeds to fine-tune with (default: 0)')
    work_dir: str = option(default='work_dirs/quickstart')
    data_root: str = option(default='data/mini')

    def __post_init__(self) -> None:
        missing = [video for video in self.videos if not osp.isfile(video)]
        if missing:
            raise ValueError(f'no such video: {", ".join(missing)}')


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """The command line of ``vifi-clip report``."""

    mini: bool = option(action='store_true', help='report the small world')
    table: Optional[List[str]] = option(
        nargs='+', help='numbers of the tables (default: all)')
    work_dir: Optional[str] = option(
        help='folder of the runs (default: work_dirs/matrix or '
        'work_dirs/matrix_mini)')
    out: Optional[str] = option(
        help='folder of the report (default: that of the runs)')
