"""Draws a scene: background, a distractor now and then, and the object."""
import colorsys
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .motions import Poses
from .shapes import outline
from .world import COLOURS, SHAPES

# Hue in degrees and how far it may stray; neighbours never meet.
_HUES = dict(red=(-4, 6), orange=(27, 5), yellow=(55, 5), green=(125, 15),
             blue=(222, 12), purple=(288, 12))
BACKGROUNDS = ('plain', 'gradient', 'stripes', 'checks', 'clouds')
_SUBPIXEL_BITS = 8


class Sprite(NamedTuple):
    """Something to draw."""

    rgb: np.ndarray  # [3], from 0 to 1
    points: np.ndarray  # [N, 2], see shapes.outline


@dataclass
class Scene:
    """All that stays the same throughout a clip."""

    object: Sprite
    background_kind: str
    backdrop: np.ndarray  # with the distractor, [S, S, 3], from 0 to 1
    brightness: float  # factor on all pixels
    noise: float  # standard deviation, of 255 levels


def _tone(colour: str, rng) -> np.ndarray:
    hue, spread = _HUES[colour]
    hue = (hue + rng.uniform(-spread, spread)) / 360 % 1
    return np.array(
        colorsys.hsv_to_rgb(hue, rng.uniform(0.7, 1.0), rng.uniform(0.7, 1.0)))


def _pattern(kind: str, size: int, rng) -> np.ndarray:
    """A texture [size, size] from 0 to 1."""
    if kind == 'plain':
        return np.zeros((size, size))
    if kind == 'clouds':
        coarse = rng.uniform(-0.3, 1.3, (6, 6)).astype(np.float32)
        clouds = cv2.resize(coarse, (size, size),
                            interpolation=cv2.INTER_CUBIC)
        return np.clip(clouds, 0, 1)
    steps = np.arange(size) / size
    angle, phase = rng.uniform(0, 2 * np.pi), rng.uniform()
    along = np.cos(angle) * steps + np.sin(angle) * steps[:, None] + phase
    if kind == 'gradient':
        return (along - along.min()) / np.ptp(along)
    count = rng.uniform(3, 7)
    # A steep sine is a soft-edged square wave.
    waves = np.clip(2 * np.sin(2 * np.pi * count * along), -1, 1)
    if kind == 'checks':
        across = np.sin(angle) * steps - np.cos(angle) * steps[:, None]
        waves *= np.clip(2 * np.sin(2 * np.pi * count * across), -1, 1)
    return (waves + 1) / 2


def _background(kind: str, size: int, rng) -> np.ndarray:
    """Two dull tones mixed by a texture, [size, size, 3]."""
    value = rng.uniform(0.12, 0.7)
    tones = [np.array(colorsys.hsv_to_rgb(
        rng.uniform(), rng.uniform(0, 0.25), level))
             for level in (value, value + rng.uniform(0.08, 0.25))]
    weight = _pattern(kind, size, rng)[..., None]
    return tones[0] * (1 - weight) + tones[1] * weight


def _paint(image: np.ndarray, sprite: Sprite, x, y, radius, tilt, opacity):
    """Blend a sprite into ``image`` [S, S, 3] in place; see Poses."""
    size = image.shape[0]
    angle = 2 * np.pi * tilt
    turn = np.array([[np.cos(angle), np.sin(angle)],
                     [-np.sin(angle), np.cos(angle)]])
    # OpenCV puts pixel centres, not corners, on whole numbers.
    corners = (sprite.points @ turn * radius + (x, y)) * size - 0.5
    fixed = np.round(corners * 2**_SUBPIXEL_BITS).astype(np.int32)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, shift=_SUBPIXEL_BITS)
    alpha = mask[..., None] * (opacity / 255)
    image += alpha * (sprite.rgb - image)


def draw_scene(colour: str, shape: str, size: int,
               rng: np.random.Generator) -> Scene:
    """Draw everything about a clip but the object's movement; in one scene of
    three a small, faint other object stands about."""
    sprite = Sprite(_tone(colour, rng), outline(shape))
    background = str(rng.choice(BACKGROUNDS))
    backdrop = _background(background, size, rng)
    if rng.uniform() < 1 / 3:
        other_colour = rng.choice([c for c in COLOURS if c != colour])
        other_shape = rng.choice([s for s in SHAPES if s != shape])
        other = Sprite(_tone(other_colour, rng), outline(other_shape))
        _paint(backdrop, other, x=rng.uniform(0.1, 0.9),
               y=rng.uniform(0.1, 0.9), radius=rng.uniform(0.06, 0.09),
               tilt=rng.uniform(-0.2, 0.2), opacity=rng.uniform(0.4, 0.65))
    return Scene(sprite, background, backdrop, rng.uniform(0.75, 1.1),
                 rng.uniform(1, 7))


def render(scene: Scene, poses: Poses,
           rng: np.random.Generator) -> np.ndarray:
    """Draw the frames of a clip, with sensor noise: [T, S, S, 3], RGB,
    uint8."""
    shape = (len(poses.x), ) + scene.backdrop.shape
    frames = rng.standard_normal(shape, dtype=np.float32) * scene.noise
    for t, frame in enumerate(frames):
        image = scene.backdrop.copy()
        _paint(image, scene.object, poses.x[t], poses.y[t], poses.radius[t],
               poses.tilt[t], poses.opacity[t])
        frame += image * (255 * scene.brightness)
    return np.clip(frames + 0.5, 0, 255).astype(np.uint8)
