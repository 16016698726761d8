"""Captions of stills and clips: what can be seen, in natural words."""
from typing import Optional

import numpy as np

from .motions import Poses
from .world import with_article

_ON_BACKGROUND = dict(
    plain='on a plain background', gradient='on a shaded background',
    stripes='on stripes', checks='on checks', clouds='in front of clouds')


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
    """Caption one still frame, as 'a photo of a large red ring at the top'.

    The caption is true of the frame (T = 1). It tells one or two of size,
    faintness, place, tilt and background, or none.
    """
    sized = f'{_size_word(poses.radius[0])} {colour}'
    faint = f'faint {colour}' if poses.opacity[0] <= 0.5 else sized
    place = _place_words(poses.x[0], poses.y[0])
    tilt = _tilt_words(poses.tilt[0])
    forms = [(colour, ''), (sized, ''), (faint, ''), (colour, place),
             (faint, place), (sized, place), (colour, tilt), (sized, tilt),
             (colour, _ON_BACKGROUND[background])]
    look, rest = forms[rng.integers(len(forms))]
    opening = rng.choice(['', 'a photo of ', 'a picture of '])
    return f'{opening}{with_article(look)} {shape} {rest}'.strip()


def _steady(values: np.ndarray) -> Optional[float]:
    """The mean, or None if the motion changes it.

    Unrest moves nothing by more than 0.06, motions at least by 0.2.
    """
    return float(np.mean(values)) if np.ptp(values) < 0.1 else None


def describe_clip(colour: str, shape: str, motion: str, poses: Poses,
                  background: str, rng: np.random.Generator) -> str:
    """Caption one clip, as 'a video of a small red ring bouncing upright on
    stripes on the right'.

    The caption is true of the clip. It tells the background, and the size,
    tilt and place as far as the motion leaves them alone.
    """
    x, y, radius, tilt = map(
        _steady, (poses.x, poses.y, poses.radius, poses.tilt))
    look = colour if radius is None else f'{_size_word(radius)} {colour}'
    words = [with_article(look), shape, motion]
    if tilt is not None:
        words.append(_tilt_words(tilt))
    rest = [_ON_BACKGROUND[background]]
    place = _place_words(0.5 if x is None else x, 0.5 if y is None else y)
    # What goes up and down, or about, is not 'in the middle'.
    if place != 'in the middle' or None not in (x, y):
        rest.append(place)
    opening = str(rng.choice(['', 'a video of ']))
    return opening + ' '.join(words + list(rng.permutation(rest)))
