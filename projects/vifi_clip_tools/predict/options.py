"""What ``vifi-clip predict`` is asked for."""
import os
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import EngineOptions, ModelOptions
from ..cli.parsing import (Group, argument, number, option, part,
                           positive_int, probability, seconds)

_OUTPUTS, _WEB = Group('outputs'), Group('web addresses')
_STREAM = Group('streams')


def _file(path: str) -> str:
    # a link stays one: what it points to is replaced
    return os.path.realpath(path) if os.path.islink(path) else path


@dataclass(frozen=True, kw_only=True)
class Fetching:
    """Arguments of ``VideoInput``."""

    max_mb: float = option(
        '--max-download', type=number(float, 0, 1e9, open_low=True),
        metavar='MB', default=2048., group=_WEB, help='refuse larger files '
        '(default: 2048)')
    timeout: float = option(
        type=number(float, 0, 86400, open_low=True), metavar='S', default=30.,
        group=_WEB, help='seconds without data before giving up '
        '(default: 30)')


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line of ``vifi-clip predict``."""

    videos: List[str] = argument(
        nargs='*', help='files, folders, quoted patterns, web addresses, '
        'cameras (camera:0, camera:0:10 for 10 seconds); \'-\' reads names '
        'from standard input, one per line')
    list: Optional[str] = option(metavar='FILE', help='a file of names or web '
                                 'addresses, one per line; a label behind a '
                                 "name, as in MMAction2's lists, is ignored")
    labels: Optional[str] = option(
        help='names separated by commas, or a file of them (.txt, .csv, '
        ".json, .yaml; default: the config's classes)")
    templates: Optional[List[str]] = option(
        '--template', action='append', metavar='TEXT', help='a sentence with '
        '{} where the label goes; can be given several times (default: the '
        "config's, such as 'a photo of a {}.')")
    topk: int = option(type=positive_int, default=5,
                       help='labels to show for each video (default: 5)')
    threshold: Optional[float] = option(
        type=probability, metavar='P', help="call a video 'none of these' if "
        'its best label has a lower probability')
    num_views: str = option(
        default='1', metavar='N', help='temporal views, or with spatial crops '
        "such as 4x3, or 'config' for the config's (default: 1)")
    batch_size: int = option(type=positive_int, default=1, metavar='N',
                             help='videos in a batch (default: 1)')
    out: Optional[str] = option(
        type=_file, metavar='FILE', group=_OUTPUTS, help='write a .jsonl or '
        '.csv file, one line per video as soon as it is done, and the '
        'settings to FILE.meta.json')
    overwrite: bool = option(action='store_true', group=_OUTPUTS, help='start '
                             'again, and replace existing files')
    save_video: Optional[str] = option(
        metavar='FOLDER', group=_OUTPUTS, help='write copies of the videos '
        'with their labels drawn on them, as .mp4 (without sound)')
    timeline: Optional[str] = option(
        metavar='FILE|FOLDER', group=_OUTPUTS, help='write the scores of '
        'sliding windows: a .png or .json for one video, or a folder with '
        'both for each')
    window: Optional[float] = option(
        type=seconds, metavar='S', group=_OUTPUTS,
        help='length of a window in seconds (default: 2)')
    stride: Optional[float] = option(
        type=seconds, metavar='S', group=_OUTPUTS, help='seconds from one '
        'window to the next (default: half a window)')
    stream: Optional[str] = option(
        metavar='ADDRESS', group=_STREAM, help='recognise a stream (rtsp://, '
        'http://) or camera:0 as it comes, the last --window seconds each '
        '--stride, until Ctrl-C')
    seconds: Optional[float] = option(
        type=seconds, metavar='S', group=_STREAM,
        help='end a stream after so many seconds')
    fetching: Fetching = part(Fetching)
    model: ModelOptions = part(ModelOptions)
    engine: EngineOptions = part(EngineOptions)

    @property
    def shared(self) -> bool:
        """Whether several processes do the work."""
        return (self.engine.engine != 'local'
                or int(os.environ.get('WORLD_SIZE', 1)) > 1)

    def __post_init__(self) -> None:
        if self.engine.engine != 'local' and (self.save_video
                                              or self.timeline):
            raise ValueError('--save-video and --timeline are for --engine '
                             'local')
        if self.shared:
            if not self.out:
                raise ValueError('several processes need --out')
            if '-' in self.videos:
                raise ValueError('several processes cannot share standard '
                                 'input; give the names with --list')
        if self.stream:
            if self.videos or self.list or self.out or self.save_video or (
                    self.timeline):
                raise ValueError('--stream goes with no videos, --list, --out,'
                                 ' --save-video or --timeline: its results '
                                 'are printed')
            if self.num_views != '1' or self.batch_size != 1:
                raise ValueError('--stream goes with no --num-views or '
                                 '--batch-size: each window is one view')
        elif self.seconds:
            raise ValueError('--seconds goes with --stream; a camera records '
                             '10 seconds as camera:0:10')
        elif not self.videos and not self.list:
            raise ValueError('no videos were given; name files, folders or '
                             'patterns')
