"""Captions of the still frames: what can be seen, in natural words."""
import numpy as np

from .motions import Poses
from .world import with_article

_ON_BACKGROUND = dict(
    plain='on a plain background',
    gradient='on a shaded background',
    stripes='on stripes',
    checks='on checks',
    clouds='in front of clouds')


def _size_word(radius):
    return ('small' if radius < 0.11 else
            'medium-sized' if radius < 0.22 else 'large')


def _place_words(x, y):
    row = 'top' if y < 0.37 else 'bottom' if y > 0.63 else ''
    column = 'left' if x < 0.37 else 'right' if x > 0.63 else ''
    if row and column:
        return f'in the {row} {column} corner'
    if row:
        return f'at the {row}'
    return f'on the {column}' if column else 'in the middle'


def _tilt_words(tilt):
    tilt = (tilt + 0.5) % 1 - 0.5
    if abs(tilt) > 0.375:
        return 'upside down'
    if abs(tilt) < 0.06:
        return 'upright'
    return 'tilted to the ' + ('right' if tilt > 0 else 'left')


def describe(colour: str, shape: str, poses: Poses, background: str,
             rng: np.random.Generator) -> str:
    """Caption one still frame.

    Args:
        colour (str): The object's colour.
        shape (str): The object's shape.
        poses (Poses): The object's pose (T = 1).
        background (str): One of ``scene.BACKGROUNDS``.
        rng (np.random.Generator): Source of the choice of words.

    Returns:
        str: A caption true of the frame, 'a photo of a large red ring at the
        top'. It tells one or two of size, faintness, place, tilt and
        background, or none.
    """
    sized = f'{_size_word(poses.radius[0])} {colour}'
    faint = f'faint {colour}' if poses.opacity[0] <= 0.5 else sized
    place = _place_words(poses.x[0], poses.y[0])
    forms = [
        (colour, ''),
        (sized, ''),
        (faint, ''),
        (colour, place),
        (faint, place),
        (sized, place),
        (colour, _tilt_words(poses.tilt[0])),
        (sized, _tilt_words(poses.tilt[0])),
        (colour, _ON_BACKGROUND[background]),
    ]
    look, rest = forms[rng.integers(len(forms))]
    opening = rng.choice(['', 'a photo of ', 'a picture of '])
    return f'{opening}{with_article(look)} {shape} {rest}'.strip()
