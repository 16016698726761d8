"""What the commands of this folder are asked for."""
from dataclasses import dataclass
from typing import List, Optional


@dataclass(frozen=True)
class MatrixOptions:
    """The options of ``vifi-clip matrix``; ``--help`` says what each is.

    ``dry_run`` is the default, but not with ``mini``: the small world is
    there to be run; the paper's cells take GPU days.
    """

    mini: bool
    table: Optional[List[str]]
    dataset: Optional[List[str]]
    only: Optional[str]
    run: bool
    dry_run: bool
    commands: Optional[str]
    gpus: int
    jobs: Optional[int]
    work_dir: Optional[str]
    data_root: str


@dataclass(frozen=True)
class QuickstartOptions:
    """The options of ``vifi-clip quickstart``."""

    videos: List[str]
    seeds: List[int]
    work_dir: str
    data_root: str


@dataclass(frozen=True)
class ReportOptions:
    """The options of ``vifi-clip report``."""

    mini: bool
    table: Optional[List[str]]
    work_dir: Optional[str]
    out: Optional[str]
