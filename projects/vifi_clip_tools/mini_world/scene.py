"""Draws a clip's frames: the object, its background, and a distractor now and
then.

Outlines are polygons of about unit radius, y downwards. None looks the same
after any turn of less than a full one, so that spinning is visible on each:
the ring has a gap, the star and the cross a long arm.

The model averages the embeddings of a few frames, so it cannot see their
order: motions differ in the set of poses that they visit, never in the order.
All motions share the distributions of the pose that they start from, and
each leaves that common range in its own way for a part of the time. A frame
from the common range says nothing about the motion; a handful does.
"""
import colorsys
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .world import COLOURS, SHAPES

# Hue in degrees and how far it may stray; neighbours never meet.
_HUES = dict(red=(-4, 6), orange=(27, 5), yellow=(55, 5), green=(125, 15),
             blue=(222, 12), purple=(288, 12))
BACKGROUNDS = ('plain', 'gradient', 'stripes', 'checks', 'clouds')
_SUBPIXEL_BITS = 8


@dataclass
class Poses:
    """The object's pose in T frames, each an array [T]."""

    x: np.ndarray  # centre, as a fraction of the frame
    y: np.ndarray
    radius: np.ndarray  # as a fraction of the frame
    tilt: np.ndarray  # from upright, in full turns, clockwise
    opacity: np.ndarray  # from 0 (invisible) to 1


def _resting(num_frames, rng):
    """A start pose with the small unrest that every clip has."""
    time = np.linspace(0, 1, num_frames)

    def channel(low, high, unrest):
        start, amount = rng.uniform(low, high), rng.uniform(0, unrest)
        speed, phase = rng.uniform(0.5, 2), rng.uniform()
        return start + amount * np.sin(2 * np.pi * (speed * time + phase))

    return Poses(
        x=channel(0.30, 0.70, 0.03), y=channel(0.30, 0.70, 0.03),
        radius=channel(0.10, 0.24, 0.01), tilt=channel(-0.22, 0.22, 0.02),
        opacity=channel(0.6, 0.95, 0.05))


def moving_poses(motion: str, num_frames: int,
                 rng: np.random.Generator) -> Poses:
    """Draw T poses: between one and two and a half rounds of a motion."""
    poses = _resting(num_frames, rng)
    rounds = rng.uniform(1.0, 2.5)
    phase = rng.uniform() + rounds * np.arange(num_frames) / num_frames
    # from 0 to 1 and back, once per round
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
    if motion == 'bouncing':
        u = phase % 1
        floor = 0.96 - poses.radius
        height = rng.uniform(0.75, 1.0) * (floor - poses.radius - 0.04)
        poses.y = floor - height * 4 * u * (1 - u)
    elif motion == 'sliding':
        reach = rng.uniform(0.8, 1.0) * (0.48 - poses.radius)
        poses.x = 0.5 + reach * (2 * swing - 1)
    elif motion == 'spinning':
        poses.tilt = poses.tilt + phase * rng.choice([-1, 1])
    elif motion == 'pulsing':
        small, large = rng.uniform(0.06, 0.08), rng.uniform(0.30, 0.36)
        # Even steps of scale, not of radius: else it looks large too long.
        poses.radius = small * (large / small)**swing
    elif motion == 'blinking':
        poses.opacity = poses.opacity * np.clip(1.15 * swing - 0.1, 0, 1)
    elif motion == 'orbiting':
        reach = rng.uniform(0.85, 1.0) * (0.48 - poses.radius)
        angle = 2 * np.pi * phase * rng.choice([-1, 1])
        poses.x = 0.5 + reach * np.cos(angle)
        poses.y = 0.5 + reach * np.sin(angle)
    else:
        raise KeyError(motion)
    return poses


def still_pose(rng: np.random.Generator) -> Poses:
    """Draw one pose (T = 1) from all that motions visit; one in five is
    faint."""
    faint = rng.uniform() < 0.2
    draws = dict(
        x=rng.uniform(0.16, 0.84), y=rng.uniform(0.16, 0.84),
        radius=np.exp(rng.uniform(np.log(0.07), np.log(0.34))),
        tilt=rng.uniform(-0.5, 0.5),
        opacity=rng.uniform(0.25, 0.5) if faint else rng.uniform(0.8, 1.0))
    return Poses(**{key: np.array([value]) for key, value in draws.items()})


def _arc(radius, start, stop, centre=0.0, num=24):
    angles = np.linspace(start, stop, num)
    return np.stack(
        [centre + radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def outline(shape: str) -> np.ndarray:
    """The corners of a shape [N, 2] as (x, y), upright and around the origin,
    in units of the object's radius."""
    if shape == 'ring':
        half_gap = 0.55  # radians
        outer = _arc(1.0, half_gap, 2 * np.pi - half_gap, num=40)
        inner = _arc(0.52, 2 * np.pi - half_gap, half_gap, num=40)
        points = np.concatenate([outer, inner])
    elif shape == 'star':
        angles = np.arange(10) * np.pi / 5 - np.pi / 2
        radii = np.where(np.arange(10) % 2, 0.42, 1.0)
        radii[0] = 1.45
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        points = points * radii[:, None]
    elif shape == 'heart':
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        up = (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t)
              - np.cos(4 * t))
        points = np.stack([16 * np.sin(t)**3, -up], axis=1) / 16
    elif shape == 'arrow':
        right = [(0, -1.1), (0.85, -0.15), (0.32, -0.15), (0.32, 1.1)]
        left = [(-x, y) for x, y in reversed(right[1:])]
        points = np.array(right + left)
    elif shape == 'moon':
        # A disc of radius 1 minus a smaller disc, met at (touch_x, touch_y).
        shift, radius = 0.5, 0.75
        touch_x = (1 - radius**2 + shift**2) / (2 * shift)
        touch_y = np.sqrt(1 - touch_x**2)
        outer = np.arctan2(touch_y, touch_x)
        inner = np.arctan2(touch_y, touch_x - shift)
        points = np.concatenate([
            _arc(1.0, outer, 2 * np.pi - outer, num=36),
            _arc(radius, 2 * np.pi - inner, inner, centre=shift)])
    elif shape == 'cross':
        arm = 0.27
        right = [(arm, -0.9), (arm, -arm - 0.1), (0.8, -arm - 0.1),
                 (0.8, arm - 0.1), (arm, arm - 0.1), (arm, 1.25)]
        left = [(-x, y) for x, y in reversed(right)]
        points = np.array(right + left)
    else:
        raise KeyError(shape)
    # Around the middle of the area, so that spinning leaves the place alone.
    x, y = points.T
    nxt_x, nxt_y = np.roll(points, -1, axis=0).T
    cross = x * nxt_y - nxt_x * y
    centroid = np.array([((x + nxt_x) * cross).sum(),
                         ((y + nxt_y) * cross).sum()]) / (3 * cross.sum())
    return points - centroid


class Sprite(NamedTuple):
    """Something to draw."""

    rgb: np.ndarray  # [3], from 0 to 1
    points: np.ndarray  # [N, 2], see outline


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
