"""Paths of videos, from a pattern that the user may change."""
from typing import Dict

from ...errors import UserError
from .class_index import underscored

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
    fields: Dict[str, str] = dict(
        name=name,
        stem=name.rpartition('.')[0],
        split=split,
        label=label,
        label_=underscored(label))
    try:
        path = pattern.format_map(fields)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f'--pattern {pattern!r}: {error!s} is not a field; '
                        f'use {", ".join("{%s}" % f for f in FIELDS)}'
                        ) from error
    if '{name}' not in pattern and '{stem}' not in pattern:
        raise UserError(f'--pattern {pattern!r}: every video would have the '
                        'same path; use {name} or {stem}')
    return path
