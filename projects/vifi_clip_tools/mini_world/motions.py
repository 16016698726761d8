"""Where an object is in each frame.

The model averages the embeddings of a few frames, so it cannot see their
order: motions differ in the set of poses that they visit, never in the order.
All motions share the distributions of the pose that they start from, and
each leaves that common range in its own way for a part of the time. A frame
from the common range says nothing about the motion; a handful does.
"""
from dataclasses import dataclass

import numpy as np


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
