"""What ``vifi-clip predict`` is asked for."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import ModelOptions


@dataclass(frozen=True)
class Options:
    """Videos, labels, outputs and the model; see ``vifi-clip predict --help``.

    Attributes:
        videos (list[str]): Files, folders, patterns, addresses, cameras, or
            '-' for standard input.
        list (str, optional): A file of videos.
        labels (str, optional): Names, or a file of them.
        templates (list[str], optional): Sentences with ``{}``.
        topk (int): Labels of each video.
        threshold (float, optional): Below it a video is 'none of these'.
        num_views (str): '1', '4x3' or 'config'.
        batch_size (int): Videos at once.
        out (str, optional): ``.jsonl`` or ``.csv`` file.
        overwrite (bool): Files may be replaced.
        save_video (str, optional): Folder of videos with their labels.
        timeline (str, optional): File or folder of scores over time.
        window, stride (float): Of a timeline, seconds.
        fetching (dict): ``max_mb`` and ``timeout`` of :class:`VideoInput`,
            where they are given.
        model (ModelOptions): The model.
    """

    videos: List[str]
    list: Optional[str]
    labels: Optional[str]
    templates: Optional[List[str]]
    topk: int
    threshold: Optional[float]
    num_views: str
    batch_size: int
    out: Optional[str]
    overwrite: bool
    save_video: Optional[str]
    timeline: Optional[str]
    window: float
    stride: float
    fetching: dict
    model: ModelOptions
