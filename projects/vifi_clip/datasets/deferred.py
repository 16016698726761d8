"""Pipelines that note what they would do to frames, for a device to do it to
a whole batch (``TRANSFORMS=device``).

The steps draw what they always draw, in the same order; only the pixels stay
as they were decoded. They leave the pipeline with a :class:`DeferredClip`,
which :class:`~..models.device_transforms.DeviceTransforms` carries out.
"""
from dataclasses import dataclass, replace
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mmaction.datasets.transforms import Flip, FormatShape, Resize
from mmaction.registry import TRANSFORMS

from .planes import MAX_PIXELS, YUV
from .transforms import VideoDecode

# What may stand between reading and packing: steps that take frames by their
# shape and slices, or have a subclass here.
_PREFIX = 'Deferrable'
_KEYS = ('deferred', )
_CHANGED = ('VideoDecode', 'Resize', 'Flip', 'FormatShape')
_UNCHANGED = ('VideoReader', 'KeptVideoReader', 'SampleFrames',
              'SparseSampleViews', 'RandomCrop', 'RandomResizedCrop',
              'MultiScaleCrop', 'CenterCrop', 'ThreeCrop', 'RepeatFrames',
              'RandomApply', 'FrameColorJitter', 'RandomGreyClip',
              'PackActionInputs')


class DeferredClip(NamedTuple):
    """What is to be done to the frames of a sample.

    Each of ``frames`` is (number of the frame, geometry, colours); geometry
    is ('resize', height, width), ('crop', top, bottom, left, right) and
    ('flip', axis of [..., H, W]) in their order, colours are (torchvision's
    number of the operation, its strength).
    """

    yuv: Optional[YUV]  # of planes; None of RGB frames
    frames: List[Tuple[int, tuple, tuple]]


@dataclass(frozen=True, eq=False)
class DeferredFrame:
    """A frame [H, W, 3] that has not been made yet."""

    source: Sequence[np.ndarray]  # the frames as decoded
    yuv: Optional[YUV]
    number: int  # in source
    shape: Tuple[int, ...]
    geometry: tuple = ()
    colours: tuple = ()
    dtype = np.dtype(np.uint8)

    def __getitem__(self, places: Tuple[slice, slice]) -> 'DeferredFrame':
        """Cut out rows and columns."""
        (top, bottom, _), (left, right, _) = (
            place.indices(size) for place, size in zip(places, self.shape))
        return self._then((bottom - top, right - left),
                          ('crop', top, bottom, left, right))

    def resized(self, height: int, width: int) -> 'DeferredFrame':
        """Resize, bilinearly."""
        return self._then((height, width), ('resize', height, width))

    def flipped(self, axis: int) -> 'DeferredFrame':
        """Flip along an axis of [..., H, W]."""
        return replace(self, geometry=(*self.geometry, ('flip', axis)))

    def adjusted(self, number: int, value: float) -> 'DeferredFrame':
        """Change the colours, by torchvision's number of the operation."""
        return replace(self, colours=(*self.colours, (number, value)))

    def _then(self, size: Tuple[int, int], step: tuple) -> 'DeferredFrame':
        if size == self.shape[:2]:
            return self
        return replace(self, shape=(*size, 3), geometry=(*self.geometry, step))


def on_device(pipeline: Sequence[dict], where: str = 'device') -> List[dict]:
    """Return a pipeline of a config that leaves its work on pixels to the
    model's device; ValueError if it has a step that cannot, and if ``where``,
    the knob's value, is another place."""
    if where != 'device':
        raise ValueError(f'TRANSFORMS={where}: choose worker or device')
    for step in pipeline:
        for part in (step, *step.get('transforms', ())):
            if part['type'] not in (*_CHANGED, *_UNCHANGED):
                raise ValueError(
                    f'TRANSFORMS=device: {part["type"]} does not work on a '
                    'device; use TRANSFORMS=worker')
    changed = {name: dict(type=_PREFIX + name) for name in _CHANGED}
    changed['PackActionInputs'] = dict(algorithm_keys=_KEYS)
    return [dict(step, **changed.get(step['type'], {})) for step in pipeline]


def in_worker(pipeline: Sequence[dict]) -> List[dict]:
    """Undo :func:`on_device`."""
    own = {_PREFIX + name: name for name in _CHANGED}
    return [{name: own.get(value, value) if name == 'type' else value
             for name, value in step.items()
             if (name, value) != ('algorithm_keys', _KEYS)}
            for step in pipeline]


@TRANSFORMS.register_module()
class DeferrableVideoDecode(VideoDecode):
    """VideoDecode that leaves frames as they are decoded.

    Planes where the reader gives them, RGB otherwise. The steps do their work
    on frames of more than 640 x 480 pixels here, as ever: what comes out has
    fewer bytes.
    """

    def _frames(self, video: Any, indices: np.ndarray) -> list:
        read = getattr(video, 'planes', None)
        frames, yuv = read(indices) if read else (video.frames(indices), None)
        height, width = frames[0].shape[:2]
        if yuv:
            height = height * 2 // 3
        elif height * width > MAX_PIXELS:
            return list(frames)
        return [DeferredFrame(frames, yuv, number, (height, width, 3))
                for number in range(len(frames))]


@TRANSFORMS.register_module()
class DeferrableResize(Resize):
    """MMAction2's Resize, also of frames that are not made yet."""

    def _resize_imgs(self, imgs: list, new_w: int, new_h: int) -> list:
        if not isinstance(imgs[0], DeferredFrame):
            return super()._resize_imgs(imgs, new_w, new_h)
        if self.interpolation != 'bilinear':
            raise ValueError('TRANSFORMS=device resizes bilinearly, not '
                             f'{self.interpolation!r}')
        return [img.resized(new_h, new_w) for img in imgs]


@TRANSFORMS.register_module()
class DeferrableFlip(Flip):
    """MMAction2's Flip, also of frames that are not made yet."""

    def _flip_imgs(self, imgs: list, modality: str) -> list:
        if not isinstance(imgs[0], DeferredFrame):
            return super()._flip_imgs(imgs, modality)
        axis = -1 if self.direction == 'horizontal' else -2
        return [img.flipped(axis) for img in imgs]


@TRANSFORMS.register_module()
class DeferrableFormatShape(FormatShape):
    """MMAction2's FormatShape; of frames that are not made yet, ``imgs`` are
    those that were decoded, and ``deferred`` is the rest of the work."""

    def transform(self, results: dict) -> dict:
        """Stack the frames of one video."""
        frames = results['imgs']
        if not isinstance(frames[0], DeferredFrame):
            return super().transform(results)
        if self.input_format != 'NCHW' or self.collapse:
            raise ValueError('TRANSFORMS=device makes frames NCHW, not '
                             f'{self.input_format}')
        height, width, channels = frames[0].shape
        return dict(
            results, imgs=np.asarray(frames[0].source),
            input_shape=(len(frames), channels, height, width),
            deferred=DeferredClip(frames[0].yuv, [
                (frame.number, frame.geometry, frame.colours)
                for frame in frames]))
