"""Outlines of the shapes, as polygons of about unit radius, y downwards.

None looks the same after any turn of less than a full one, so that spinning
is visible on each: the ring has a gap, the star and the cross a long arm.
"""
import numpy as np


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
