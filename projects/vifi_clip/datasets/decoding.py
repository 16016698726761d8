"""Decode and transform each frame of a video once, however often it is used.

MMAction2's readers take the frames in the order in which the views name them.
Four interleaved views run through the video four times, for going back means
to decode anew from the last key frame; and the repeated frames of a video
shorter than the sampling are resized and jittered one by one. Here the frames
that differ are decoded in the order of time, pass the pipeline once, and
:class:`RepeatFrames` puts them, by reference, where the views want them.

    dict(type='DecordInit'),
    dict(type='SparseSampleViews', num_frames=16, num_views=4),
    dict(type='DecordDecodeOnce'),
    ...
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
"""
import numpy as np
from mmaction.datasets.transforms import (DecordDecode, OpenCVDecode,
                                          PyAVDecode)
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

_KEY = 'frame_repeats'


class _Once:
    """A reader of MMAction2 that is asked for each frame once, in order.

    ``frame_inds`` stays what the sampling chose; ``frame_repeats`` ([M], int)
    says which of the U decoded frames stands at each of its M places.
    """

    def transform(self, results: dict) -> dict:
        """Decode ``frame_inds`` ([M]) to ``imgs``, a list of U frames."""
        wanted = np.asarray(results['frame_inds']).reshape(-1)
        unique, places = np.unique(wanted, return_inverse=True)
        results['frame_inds'] = unique
        results = super().transform(results)
        results['frame_inds'] = wanted
        results[_KEY] = places.reshape(-1)
        return results


@TRANSFORMS.register_module()
class DecordDecodeOnce(_Once, DecordDecode):
    """DecordDecode for :class:`RepeatFrames`; see the module."""


@TRANSFORMS.register_module()
class OpenCVDecodeOnce(_Once, OpenCVDecode):
    """OpenCVDecode for :class:`RepeatFrames`; see the module."""


class _PyAVWanted(PyAVDecode):
    """PyAVDecode that turns into RGB, and keeps, only the frames asked for;
    MMAction2's does so with every frame up to the last of them."""

    def transform(self, results: dict) -> dict:
        container, wanted = results['video_reader'], results['frame_inds']
        if self.mode != 'accurate':
            return super().transform(results)
        if self.multi_thread:
            container.streams.video[0].thread_type = 'AUTO'
        kept, left = [], set(wanted.tolist())
        for index, frame in enumerate(container.decode(video=0)):
            if index in left:
                kept.append(frame.to_rgb().to_ndarray())
                left.remove(index)
            if not left:
                break
        if left:  # fewer frames than the container says: as MMAction2 does
            container.seek(0)
            return super().transform(results)
        results.update(
            imgs=kept,
            video_reader=None,
            original_shape=kept[0].shape[:2],
            img_shape=kept[0].shape[:2])
        return results


@TRANSFORMS.register_module()
class PyAVDecodeOnce(_Once, _PyAVWanted):
    """PyAVDecode for :class:`RepeatFrames`; see the module."""


@TRANSFORMS.register_module()
class RepeatFrames(BaseTransform):
    """Put frames that were decoded once where the views want them.

    Stands before FormatShape, which makes the only copy, and before what
    changes each frame in its own way (FrameColorJitter). Everything between
    the reader and this must treat the frames of a clip alike, as MMAction2's
    crops and flips do. After transforms that give C crops,
    crop by crop, each crop is repeated on its own. Behind any other reader
    it does nothing.

    Required key is ``imgs`` (C * U frames); modified keys are ``imgs`` (list
    of C * M), and ``crop_bbox`` where ThreeCrop set it.

    Raises:
        ValueError: The number of frames is no multiple of U: a transform
            before this one added or dropped frames.
    """

    def transform(self, results: dict) -> dict:
        """Repeat the frames of one video."""
        places = results.pop(_KEY, None)
        if places is None:
            return results
        imgs, unique = results['imgs'], int(places.max()) + 1
        if len(imgs) % unique:
            raise ValueError(
                f'RepeatFrames: {unique} frames were decoded and {len(imgs)} '
                'arrive, which is no whole number of crops; put the '
                'transform that adds or drops frames after RepeatFrames')
        crops = np.arange(len(imgs) // unique)[:, None] * unique
        order = (crops + places).reshape(-1)  # [C, M] to [C*M]
        results['imgs'] = [imgs[i] for i in order]
        if 'crop_bbox' in results and len(results['crop_bbox']) == len(imgs):
            results['crop_bbox'] = results['crop_bbox'][order]
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}()'
