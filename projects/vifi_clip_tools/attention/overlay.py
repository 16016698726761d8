"""Heat maps over frames.

Letters: T frames, H x W pixels, h x w cells of a map.
"""
from typing import Optional, Tuple

import cv2
import numpy as np

_COLOURS = 'turbo'  # of matplotlib
_BRIGHT = 0.92  # of its range; above, it turns dark
_STRENGTH = 0.7  # how much of the frame the highest value covers
_TOP = 99.5  # percentile; a few patches of a ViT can draw most attention


def value_range(maps: np.ndarray) -> Tuple[float, float]:
    """Return the scale of maps [T, h, w]: the lowest value and the 99.5th
    percentile, which get the lowest and the highest colour."""
    return float(np.min(maps)), float(np.percentile(maps, _TOP))


def overlay(images: np.ndarray, maps: np.ndarray,
            value_limits: Optional[Tuple[float, float]] = None,
            per_frame: bool = False) -> np.ndarray:
    """Lay maps over frames; the higher a value, the less shows through.

    Args:
        images (np.ndarray): Frames uint8 [T, H, W, 3], RGB.
        maps (np.ndarray): [T, h, w], interpolated to H x W.
        value_limits (tuple[float, float], optional): The scale. Defaults to
            None: :func:`value_range` of the whole video, so that frames can
            be compared.
        per_frame (bool): :func:`value_range` of each frame on its own.
            Defaults to False.

    Returns:
        np.ndarray: uint8 [T, H, W, 3].

    Raises:
        ValueError: Shapes that do not fit, or values that are not finite.
    """
    maps = np.asarray(maps, dtype=np.float32)
    if (images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8
            or maps.ndim != 3 or len(maps) != len(images)):
        raise ValueError(
            'overlay takes images uint8 [T, H, W, 3] and maps [T, h, w], got '
            f'{images.dtype} {list(images.shape)} and {list(maps.shape)}')
    if not np.isfinite(maps).all():
        raise ValueError('the maps have values that are not finite: the '
                         'weights are broken, or their training diverged')
    limits = value_limits or value_range(maps)
    return np.stack([
        _blend(image, values, *(value_range(values) if per_frame else limits))
        for image, values in zip(images, maps)])


def _blend(image: np.ndarray, values: np.ndarray, low: float,
           high: float) -> np.ndarray:
    """Blend one frame [H, W, 3] and its map [h, w] to uint8 [H, W, 3]."""
    from matplotlib import colormaps
    # Smooth; what it overshoots is clipped.
    values = cv2.resize(values, image.shape[1::-1],
                        interpolation=cv2.INTER_CUBIC)
    # [h, w] -> [H, W]
    # Nothing stands out where all values are one.
    values = (((values - low) / (high - low)).clip(0, 1) if high > low else
              np.zeros_like(values))
    colour = colormaps[_COLOURS](_BRIGHT * values)[..., :3] * 255
    alpha = _STRENGTH * values[..., None]
    return (image * (1 - alpha) + colour * alpha).round().astype(np.uint8)


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """Enlarge frames, uint8 [T, H, W, 3], until the shorter side has at least
    so many pixels; ``images`` themselves if they are large enough."""
    height, width = images.shape[1:3]
    factor = size / min(height, width)
    if factor <= 1:
        return images
    new = round(width * factor), round(height * factor)
    return np.stack(
        [cv2.resize(i, new, interpolation=cv2.INTER_CUBIC) for i in images])
