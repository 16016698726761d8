"""What the page takes from visitors."""
import os.path as osp
from dataclasses import dataclass
from typing import List, Optional

from projects.vifi_clip.datasets.containers import (open_container,
                                                    picture_stream)
from projects.vifi_clip.datasets.video_file import VideoFile
from projects.vifi_clip.errors import UnreadableVideo, UserError
from .options import Limits

MOST_LABELS = 200  # each is a pass through the text tower
_MOST_CHARACTERS = 200  # of a label or a query
# What browsers play.
_CODECS = ('h264', 'vp8', 'vp9', 'libvpx', 'libvpx-vp9', 'av1', 'libdav1d')


@dataclass(frozen=True)
class Facts:
    """What a video file says of itself."""
    seconds: float  # 0 where nothing tells
    width: int
    height: int
    plays: bool  # browsers can show it


def check_video(path: Optional[str], limits: Limits) -> Facts:
    """Look into the file of a visitor; a UserError tells the visitor why it
    is not taken."""
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
    try:
        with open_container(path) as container:
            codec = picture_stream(container).codec_context
            plays = codec.name in _CODECS and any(
                kind in container.format.name for kind in ('mp4', 'webm'))
            width, height = codec.width, codec.height
        if width * height > 4096 * 2304:  # a frame is 28 MB
            raise UserError(f'{name} has {width} x {height} pixels; scale it '
                            'down, 4K is the most.')
        # Some kinds are decoded to know their length: after the size.
        seconds = float(VideoFile(path, timeout=60.).frame_times()[-1])
    except UnreadableVideo as error:
        raise UnreadableVideo(name, error.reason) from error
    if seconds > limits.video_seconds:
        raise UserError(f'{name} is {seconds:.0f} s long; at most '
                        f'{limits.video_seconds:g} s are taken. Cut out the '
                        'part that matters.')
    return Facts(seconds, width, height, plays)


def split_labels(text: Optional[str]) -> List[str]:
    """Split the labels of a text box at commas and line breaks. They are
    never read from a file: visitors could look at the server's."""
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


def check_text(text: str, kind: str) -> None:
    """Refuse a very long text; ``kind`` says what it is."""
    if len(text) > _MOST_CHARACTERS:
        raise UserError(f'The {kind} "{text[:30]}…" has {len(text)} '
                        f'characters; at most {_MOST_CHARACTERS} are taken.')
