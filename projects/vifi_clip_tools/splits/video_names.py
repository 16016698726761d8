"""Videos that are named after their class, of HMDB-51 and UCF-101."""
import re
from typing import Optional, Sequence

from projects.vifi_clip.errors import UserError
from .class_index import ClassIndex
from .records import Video
from .release_files import RELEASES

# Beyond this share, another list was given; the release's own slips are 8%.
MAX_MISNAMED = 0.2


def named_class(found: re.Match, index: ClassIndex) -> Optional[int]:
    """The label of the class that a video is named after.

    Args:
        found (re.Match): Match of its name with ``Release.video``.
        index (ClassIndex): The classes.

    Returns:
        int, optional: The label; -1 if the name tells another class, None if
        videos of the data set are not named after classes.
    """
    parts = found.groupdict()
    if 'ucf' in parts:
        plain = {name.casefold(): k for k, name in enumerate(index.names)}
        return plain.get(parts['ucf'].casefold(), -1)
    if 'hmdb' in parts:  # TITLE_CLASS, and a class may end like another
        ends = [(len(name), k) for k, name in enumerate(index.names)
                if f'_{parts["hmdb"]}'.endswith(f'_{name}'.replace(' ', '_'))]
        return max(ends)[1] if ends else -1
    return None


def check_names(videos: Sequence[Video], dataset: str,
                index: ClassIndex) -> None:
    """Check that the videos of an official file are named after their class.

    Args:
        videos (Sequence[Video]): Videos of the file.
        dataset (str): Name of the data set.
        index (ClassIndex): The classes.

    Raises:
        UserError: If many are named after another class.
    """
    pattern = re.compile(RELEASES[dataset].video)
    odd = []
    for video in videos:
        found = pattern.fullmatch(video.key.rpartition('/')[2])
        label = named_class(found, index) if found else None
        if label not in (None, video.label):
            odd.append((video, label))
    if len(odd) > MAX_MISNAMED * len(videos):
        video, label = odd[0]
        told = repr(index.names[label]) if label >= 0 else 'another class'
        raise UserError(
            f'{video.place}: {video.key.rpartition("/")[2]!r} is named after '
            f'{told}, but listed as {index.names[video.label]!r}, and '
            f'{len(odd)} of {len(videos)} lines are like that; are two files '
            'mixed up? Get the official one')
