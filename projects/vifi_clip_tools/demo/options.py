"""What ``vifi-clip demo`` is asked for, without anything heavy."""
from dataclasses import dataclass
from typing import List, Optional

from ..cli.options import CONFIG, ModelOptions, model_config
from ..cli.parsing import Group, number, option, part

_LIMITS = Group('limits')
_positive = number(float, 0, open_low=True)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one visit; megabytes have 10^6 bytes."""

    upload_mb: float = option(
        '--max-upload-mb', type=_positive, metavar='MB', default=200,
        group=_LIMITS, help='largest size of a video (default: 200)')
    video_seconds: float = option(
        '--max-seconds', type=_positive, metavar='S', default=600,
        group=_LIMITS, help='longest duration of a video (default: 600)')
    seconds: float = option(
        '--timeout', type=_positive, metavar='S', default=60, group=_LIMITS,
        help='seconds that one request may take (default: 60)')


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """The page, and where it is served."""

    labels: Optional[str] = option(
        help='labels to start with: names separated by commas, or a file of '
        'them')
    index: Optional[str] = option(
        metavar='FOLDER', help='an index to search, made by vifi-clip index '
        '(needs vifi_clip[search])')
    streams: Optional[List[str]] = option(
        '--stream', action='append', metavar='ADDRESS', help='a stream '
        '(rtsp://, http://) or camera:0 of this machine that visitors may '
        'watch; can be given several times')
    host: str = option(default='127.0.0.1', help='address to listen on '
                       '(default: 127.0.0.1, this machine alone)')
    port: int = option(type=number(int, 0, 65535), default=7860, help='port '
                       'to listen on; 0 picks a free one (default: 7860)')
    open: bool = option(action='store_true', help='open the page in a browser')
    limits: Limits = part(Limits)
    model: ModelOptions = part(ModelOptions, config=model_config(
        "small_world; the index's with --index; "
        f'{CONFIG} with --checkpoint'))
