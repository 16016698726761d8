"""Paths of videos, from a pattern that the user may change."""
from functools import lru_cache
from pathlib import PurePosixPath
from string import Formatter
from typing import Dict, Iterable

from projects.vifi_clip.errors import UserError
from projects.vifi_clip.files import holds_control
from .class_index import underscored
from .records import Video

FIELDS = ('name', 'stem', 'split', 'label', 'label_')


def video_path(pattern: str, name: str, split: str, label: str) -> str:
    """The path of a video below the folder of videos.

    Args:
        pattern (str): Path with fields in braces: ``{name}`` (file name),
            ``{stem}`` (without its ending), ``{split}`` (train, val, test),
            ``{label}`` (class), ``{label_}`` (spaces as underscores).
        name (str): File name, with ending.
        split (str): Official part that the video is in.
        label (str): Class name.

    Returns:
        str: The path.

    Raises:
        UserError: If the pattern is malformed, has an unknown field, or does
            not tell one video from another.
    """
    check_pattern(pattern)
    fields: Dict[str, str] = dict(
        name=name,
        stem=name.rpartition('.')[0] or name,
        split=split,
        label=label,
        label_=underscored(label))
    return pattern.format_map(fields)


@lru_cache(maxsize=8)
def check_pattern(pattern: str) -> None:
    """Check a pattern of paths.

    Raises:
        UserError: If it is malformed, has an unknown field, or does not tell
            one video from another.
    """
    used = set()
    try:
        for _, field, spec, conversion in Formatter().parse(pattern):
            if field is None:
                continue
            if field not in FIELDS or spec or conversion:
                raise ValueError(f'{field!r}' + (' with a format'
                                 if field in FIELDS else ''))
            used.add(field)
    except ValueError as error:
        raise UserError(f'--pattern {pattern!r}: {error!s} is not a field; '
                        f'use {", ".join("{%s}" % f for f in FIELDS)}'
                        ) from error
    if not used & {'name', 'stem'}:
        raise UserError(f'--pattern {pattern!r}: every video would have the '
                        'same path; use {name} or {stem}')


def check_paths(videos: Iterable[Video]) -> None:
    """Check the paths of one list, or of lists that must not overlap.

    Every path that is written passes through here.

    Args:
        videos (Iterable[Video]): The videos, with the paths to write.

    Raises:
        UserError: If a path does not lie below the folder of videos, would
            not be read back as it is, or is that of two videos.
    """
    first: Dict[str, Video] = {}
    for video in videos:
        check_path(video.path, video.place)
        other = first.setdefault(video.path, video)
        if (other.key, other.label) != (video.key, video.label):
            raise UserError(
                f'{video.place}: path {video.path!r} is that of another video '
                f'already ({other.place}); each video needs its own path (see '
                '--pattern)')


def check_path(path: str, place: str) -> None:
    """Check that a path lies below the folder of videos, and reads back.

    Args:
        path (str): The path.
        place (str): Where its annotation stands, for messages.

    Raises:
        UserError: If not.
    """
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == '/' or '..' in parts:
        raise UserError(f'{place}: path {path!r} must lie below the folder '
                        'of videos; write it relative to that folder')
    if path != path.strip() or holds_control(path):
        raise UserError(f'{place}: path {path!r} has a blank at an end, or '
                        'holds a line break or control character; rename the '
                        'file (a quote is missing?)')
