"""What the page takes from visitors."""
import os.path as osp
from dataclasses import dataclass
from typing import List, Optional

from projects.vifi_clip.errors import UserError

MOST_LABELS = 200  # each is a pass through the text tower
_MOST_CHARACTERS = 200  # of a label or a query
_MOST_PIXELS = 4096 * 2304  # 4K, of any shape; a frame is 28 MB
# What browsers play.
_CODECS = ('h264', 'vp8', 'vp9', 'libvpx', 'libvpx-vp9', 'av1', 'libdav1d')
_CONTAINERS = ('mp4', 'webm')


@dataclass(frozen=True)
class Limits:
    """Limits of one visit.

    Args:
        upload_mb (float): Size of a video, in 10^6 bytes.
        seconds (float): Time that one request may take.
        video_seconds (float): Length of a video.

    Raises:
        ValueError: One that is not above 0.
    """
    upload_mb: float = 200
    seconds: float = 60
    video_seconds: float = 600

    def __post_init__(self) -> None:
        for option, value in (('--max-upload-mb', self.upload_mb),
                              ('--timeout', self.seconds),
                              ('--max-seconds', self.video_seconds)):
            if not 0 < value < float('inf'):
                raise ValueError(f'{option} {value:g}: above 0')


@dataclass(frozen=True)
class Facts:
    """What a video file says of itself.

    Attributes:
        seconds (float): Length; 0 where nothing tells.
        width, height (int): Pixels.
        plays (bool): Browsers can show it.
    """
    seconds: float
    width: int
    height: int
    plays: bool = True


def check_video(path: Optional[str], limits: Limits) -> Facts:
    """Look into a video file without decoding it.

    Args:
        path (str, optional): What the visitor gave.
        limits (Limits): What may be given.

    Returns:
        Facts: Of the video.

    Raises:
        UserError: No video, or one that is unreadable, too large or too
            long; the text is for the visitor.
    """
    if not path:
        raise UserError('There is no video yet: drop one, or record one with '
                        'the camera.')
    name = osp.basename(path)
    if not osp.isfile(path):
        raise UserError(f'{name} is no longer here; upload it again.')
    megabytes = osp.getsize(path) / 1e6
    if megabytes > limits.upload_mb:
        raise UserError(f'{name} has {megabytes:.0f} MB; at most '
                        f'{limits.upload_mb:g} MB are taken.')
    facts = _facts(path, name)
    if facts.seconds > limits.video_seconds:
        raise UserError(f'{name} is {facts.seconds:.0f} s long; at most '
                        f'{limits.video_seconds:g} s are taken. Cut out the '
                        'part that matters.')
    if facts.width * facts.height > _MOST_PIXELS:
        raise UserError(f'{name} has {facts.width} x {facts.height} pixels; '
                        'scale it down, 4K is the most.')
    return facts


def _facts(path: str, name: str) -> Facts:
    import av

    from projects.vifi_clip.datasets.video_reader import CONTAINERS, duration
    try:
        with av.open(path, options=dict(
                format_whitelist=CONTAINERS)) as container:
            streams = container.streams.video
            if not streams:
                raise UserError(f'{name} has no pictures: it is not a video.')
            stream = streams[0]
            codec = stream.codec_context
            return Facts(duration(container), codec.width,
                         codec.height, codec.name in _CODECS
                         and any(kind in container.format.name
                                 for kind in _CONTAINERS))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(f'{name} cannot be read: it is not a video, or it is '
                        'damaged.') from error


def read_labels(text: Optional[str]) -> List[str]:
    """Labels out of a text box.

    Args:
        text (str, optional): With commas or line breaks between.

    Returns:
        list[str]: Each once. Never read from a file, which would let
        visitors look at the server's.

    Raises:
        UserError: None, too many, or a very long one.
    """
    parts = (text or '').replace('\n', ',').split(',')
    labels = list(dict.fromkeys(filter(None, map(str.strip, parts))))
    if not labels:
        raise UserError('There are no labels: type some, with commas or line '
                        'breaks between.')
    if len(labels) > MOST_LABELS:
        raise UserError(f'These are {len(labels)} labels; at most '
                        f'{MOST_LABELS} are taken.')
    for label in labels:
        check_text(label, 'label')
    return labels


def check_text(text: str, what: str) -> None:
    """Refuse a very long text.

    Raises:
        UserError: Naming how long it may be.
    """
    if len(text) > _MOST_CHARACTERS:
        raise UserError(f'The {what} "{text[:30]}…" has {len(text)} '
                        f'characters; at most {_MOST_CHARACTERS} are taken.')
