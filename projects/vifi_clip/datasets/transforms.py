"""Transforms that MMAction2 lacks: sampling, decoding once, colours, captions.

Decoding once: MMAction2's decoders take the frames in the order in which the
views name them. Four interleaved views run through the video four times, for
going back means to decode anew from the last key frame; and what a short
video repeats is resized and jittered one by one. Here the frames that differ
are decoded in the order of time, pass the pipeline once, and
:class:`RepeatFrames` puts them, by reference, where the views want them.

    dict(type='VideoReader'),
    dict(type='SparseSampleViews', num_frames=16, num_views=4),
    dict(type='VideoDecode'),
    ...
    dict(type='RepeatFrames'),
    dict(type='FormatShape', input_format='NCHW'),
"""
import hashlib
import os.path as osp
import random
import warnings
from contextlib import contextmanager
from typing import Any, Iterator, Optional, Union

import cv2
import numpy as np
import torch
from mmaction.datasets.transforms import (DecordDecode, OpenCVDecode,
                                          PyAVDecode, SampleFrames)
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from torchvision.transforms import ColorJitter

from ..architectures import build_tokenizer

_REPEATS = 'frame_repeats'


@contextmanager
def sample_rng(*key: int) -> Iterator[None]:
    """Seed ``random``, numpy and torch (CPU) from a key of whole numbers.

    On leaving, all three generators are as they were before, so that with
    ``num_workers=0`` the training loop's own draws go on.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    seeds = np.random.SeedSequence(key).generate_state(3)
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(int(seeds[0]))
            np.random.seed(seeds[1])
            # torch.manual_seed would reseed the GPUs too.
            torch.default_generator.manual_seed(int(seeds[2]))
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@TRANSFORMS.register_module()
class SparseSampleViews(SampleFrames):
    """Sample several sparse views of a whole video, for test.

    A view is ``num_frames`` frames, one from each of as many equal segments
    of the video (ViFi-CLIP Appendix D). A video with fewer frames repeats
    some. Views follow each other in ``frame_inds``: all frames of the first,
    then of the second, ...

    Required keys are ``total_frames``, ``start_index`` and, for ``'random'``,
    ``filename``; added keys are ``frame_inds`` ([V*T], int32), ``clip_len``
    (T), ``frame_interval`` (None) and ``num_clips`` (V).

    Args:
        num_frames (int): T, frames of a view.
        num_views (int): V, number of views. Defaults to 1.
        mode (str): With N frames in the video, ``'uniform'`` (the default)
            takes the midpoints of N / (T * V) long segments and deals them
            out to the views in turn. One view so has the frames
            int((i + .5) * N / T), as the paper's release and
            ``SampleFrames(clip_len=1, num_clips=T, test_mode=True)``.
            ``'random'``, the way in which the release draws several views,
            samples each as in training, by MMAction2's SampleFrames: a random
            frame of each of T segments of floor(N / T) frames (with N < T
            all views are alike).
        seed (int): For ``'random'``: draws depend on this and on the base
            name of the file alone, so they are the same in every run, worker
            and folder (the release does not seed them). Defaults to 0.

    Raises:
        ValueError: If an argument is out of range, or a video has no frames.
    """

    def __init__(self, num_frames: int, num_views: int = 1,
                 mode: str = 'uniform', seed: int = 0) -> None:
        for name, value in (('num_frames', num_frames),
                            ('num_views', num_views)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'{name} must be an integer from 1, got '
                                 f'{value!r}')
        if mode not in ('uniform', 'random'):
            raise ValueError("mode must be 'uniform' or 'random', got "
                             f'{mode!r}')
        if not isinstance(seed, int):
            raise ValueError(f'seed must be an integer, got {seed!r}')
        super().__init__(clip_len=1, num_clips=num_frames)
        self.num_frames, self.num_views = num_frames, num_views
        self.mode, self.seed = mode, seed

    def transform(self, results: dict) -> dict:
        """Choose the frames of one video."""
        total = results['total_frames']
        if total < 1:
            raise ValueError(
                f'{results.get("filename", "video")}: cannot sample from '
                f'total_frames={total}; the video has no frames')
        if self.mode == 'random':
            # The name is hashed because hash() differs from run to run.
            name = osp.basename(results['filename'])
            digest = hashlib.sha256(f'{self.seed}/{name}'.encode()).digest()
            draw = super().transform  # as in training
            with sample_rng(*np.frombuffer(digest, dtype='<u4').tolist()):
                inds = np.stack([draw(dict(results))['frame_inds']
                                 for _ in range(self.num_views)])  # [V, T]
        else:
            fine = self.num_frames * self.num_views
            inds = (2 * np.arange(fine) + 1) * total // (2 * fine)
            # [T*V] in order of time to [V, T]
            inds = inds.reshape(self.num_frames, self.num_views).T
            inds = inds + results['start_index']
        results.update(
            frame_inds=inds.reshape(-1).astype(np.int32),  # [V*T]
            clip_len=self.num_frames, frame_interval=None,
            num_clips=self.num_views)
        return results

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}(num_frames={self.num_frames}, '
                f'num_views={self.num_views}, mode={self.mode!r}, '
                f'seed={self.seed})')


class _Once:
    """A reader of MMAction2 that is asked for each frame once, in order.

    ``frame_inds`` stays what the sampling chose; ``frame_repeats`` ([M], int)
    says which of the U decoded frames stands at each of its M places.
    """

    def transform(self, results: dict) -> dict:
        """Decode ``frame_inds`` ([M]) to ``imgs``, a list of U frames."""
        chosen = np.asarray(results['frame_inds']).reshape(-1)
        results['frame_inds'], places = np.unique(chosen, return_inverse=True)
        results = super().transform(results)
        results['frame_inds'] = chosen
        results[_REPEATS] = places.reshape(-1)
        return results


class _Decode(BaseTransform):

    def transform(self, results: dict) -> dict:
        video = results['video_reader']
        if hasattr(video, 'frames'):
            imgs = self._frames(video, results['frame_inds'])
            if video.num_damaged:
                warnings.warn(f'{results["filename"]}: {video.num_damaged} of '
                              f'{len(video)} frames are damaged')
        else:  # decord's
            imgs = list(video.get_batch(results['frame_inds']).asnumpy())
        size = imgs[0].shape[:2]
        # Closed here: videos would pile up in the samples of a batch.
        return dict(results, imgs=imgs, video_reader=None,
                    original_shape=size, img_shape=size)

    def _frames(self, video: Any, indices: np.ndarray) -> list:
        return video.frames(indices)


@TRANSFORMS.register_module()
class VideoDecode(_Once, _Decode):
    """Decode the frames that were sampled, each once, of what VideoReader
    opened; :class:`RepeatFrames` must follow.

    Required keys are ``video_reader`` and ``frame_inds``; added keys are
    ``imgs`` (uint8 RGB [H, W, 3] each), ``original_shape`` and ``img_shape``.

    Raises:
        UnreadableVideo: A frame cannot be decoded.
    """


@TRANSFORMS.register_module()
class DecordDecodeOnce(_Once, DecordDecode):
    """DecordDecode for :class:`RepeatFrames`; see the module."""


@TRANSFORMS.register_module()
class OpenCVDecodeOnce(_Once, OpenCVDecode):
    """OpenCVDecode for :class:`RepeatFrames`; see the module."""


@TRANSFORMS.register_module()
class PyAVDecodeOnce(_Once, PyAVDecode):
    """PyAVDecode for :class:`RepeatFrames`; see the module."""


@TRANSFORMS.register_module()
class RepeatFrames(BaseTransform):
    """Put frames that were decoded once where the views want them.

    Stands before FormatShape, which makes the only copy, and before what
    changes each frame in its own way (FrameColorJitter). Everything between
    the reader and this must treat the frames of a clip alike, as MMAction2's
    crops and flips do; each of C crops is repeated on its own. Behind any
    other reader it does nothing.

    Required key is ``imgs`` (C * U frames); modified keys are ``imgs`` (list
    of C * M), and ``crop_bbox`` where ThreeCrop set it.

    Raises:
        ValueError: The number of frames is no multiple of U: a transform
            before this one added or dropped frames.
    """

    def transform(self, results: dict) -> dict:
        """Repeat the frames of one video."""
        places = results.pop(_REPEATS, None)
        if places is None:
            return results
        imgs, unique = results['imgs'], int(places.max()) + 1
        if len(imgs) % unique:
            raise ValueError(
                f'RepeatFrames: {unique} frames were decoded and {len(imgs)} '
                'arrive, which is not a whole number of crops; put the '
                'transform that adds or drops frames after RepeatFrames')
        crops = np.arange(len(imgs) // unique)[:, None] * unique
        order = (crops + places).reshape(-1)  # [C, M] to [C*M]
        results['imgs'] = [imgs[i] for i in order]
        if 'crop_bbox' in results and len(results['crop_bbox']) == len(imgs):
            results['crop_bbox'] = results['crop_bbox'][order]
        return results


@TRANSFORMS.register_module()
class FrameColorJitter(BaseTransform):
    """Change the colours of each frame on its own.

    torchvision's ColorJitter with draws of strengths and order that are new
    for each frame, as in ViFi-CLIP's released code. MMAction2's ColorJitter
    draws strengths once a clip and their order once a run. Frames that a short
    video repeats are changed apart too, so RepeatFrames stands before this.

    The pixels are those of torchvision on uint8 tensors: each operation to
    one grey level. (On PIL images, whose hue has 8 bits, torchvision takes 4
    times as long and differs from itself on tensors by up to 10 levels.)

    Required and modified key is ``imgs`` (uint8 RGB [H, W, 3] each).

    Args:
        brightness, contrast, saturation, hue (float): As torchvision's:
            factors from 1 - x to 1 + x, and a turn of the hue from -x to x
            of a circle. Default to 0, no change.
    """

    def __init__(self, brightness: float = 0., contrast: float = 0.,
                 saturation: float = 0., hue: float = 0.) -> None:
        self.jitter = ColorJitter(brightness, contrast, saturation, hue)

    def transform(self, results: dict) -> dict:
        """Change the colours of one video's frames."""
        results['imgs'] = [self._change(frame) for frame in results['imgs']]
        return results

    def _change(self, frame: np.ndarray) -> np.ndarray:
        if frame.dtype != np.uint8 or frame.shape[2:] != (3, ):
            raise ValueError('FrameColorJitter takes uint8 RGB frames [H, W, '
                             f'3], got {frame.dtype} {frame.shape}')
        jitter = self.jitter
        order, *values = jitter.get_params(
            jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        for i in order.tolist():
            if values[i] is not None:
                frame = (_ADJUST[i](frame, values[i]) if isinstance(
                    frame, np.ndarray) else frame.adjusted(i, values[i]))
        return frame


@TRANSFORMS.register_module()
class RandomGreyClip(BaseTransform):
    """Turn all frames of a clip grey, or none.

    torchvision's RandomGrayscale on the whole clip, with its draw and pixels
    (but for 20 of the 2^24 colours, by one level), without its copies.

    Required and modified key is ``imgs`` (uint8 RGB [H, W, 3] each).

    Args:
        p (float): How probable it is. Defaults to 0.1.
    """

    def __init__(self, p: float = 0.1) -> None:
        self.p = p

    def transform(self, results: dict) -> dict:
        """Turn one clip grey, or leave it."""
        if torch.rand(1) < self.p:
            results['imgs'] = [
                _grey(frame) if isinstance(frame, np.ndarray)
                else frame.adjusted(SATURATION, 0.)  # a DeferredFrame
                for frame in results['imgs']]
        return results


# torchvision cuts fractions off where OpenCV rounds. Those of a grey value are
# whole numbers of 1e-4.
_CUT = -0.49995
_GREY = np.array([[0.2989, 0.587, 0.114, _CUT]])  # torchvision's weights


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.transform(frame, _GREY), cv2.COLOR_GRAY2RGB)


def adjust_brightness(frame: np.ndarray, factor: float) -> np.ndarray:
    """Multiply by ``factor``; uint8 RGB in and out, as all of these."""
    return cv2.convertScaleAbs(frame, alpha=factor, beta=_CUT)


def adjust_contrast(frame: np.ndarray, factor: float) -> np.ndarray:
    """Move towards (``factor`` below 1) or away from the mean grey."""
    mean = cv2.mean(cv2.transform(frame, _GREY))[0]
    return cv2.addWeighted(frame, factor, frame, 0.,
                           (1 - factor) * mean + _CUT)


def adjust_saturation(frame: np.ndarray, factor: float) -> np.ndarray:
    """Move towards (``factor`` below 1) or away from each pixel's grey."""
    return cv2.addWeighted(frame, factor, _grey(frame), 1 - factor, _CUT)


def adjust_hue(frame: np.ndarray, turn: float) -> np.ndarray:
    """Turn the hue by a share of the circle."""
    pixels = frame.astype(np.float32)  # all in this memory
    # Hue and saturation are ratios: values may stay 0 to 255.
    cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV, dst=pixels)
    pixels[..., 0] += 360 * (turn % 1)  # OpenCV goes round at 360, not below 0
    cv2.cvtColor(pixels, cv2.COLOR_HSV2RGB, dst=pixels)
    return cv2.convertScaleAbs(pixels, alpha=255.999 / 255, beta=_CUT)


# In the order in which torchvision numbers them.
_ADJUST = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
SATURATION = 2


@TRANSFORMS.register_module()
class OpenCLIPTokenize(BaseTransform):
    """Tokenize a caption as an OpenCLIP architecture reads it.

    A caption with more tokens than the context is cut, and the end-of-text
    token put last, as CLIP and every published retrieval result have it.

    Required keys are ``text`` (str) and, for messages, ``filename``; ``text``
    becomes the token ids, int64 [L].

    Args:
        arch (str | dict): OpenCLIP model name, architecture dict or JSON
            file, the same as the model's.
        tokenizer (str, optional): Folder or hub name of a Hugging Face
            tokenizer; see :func:`~..architectures.build_tokenizer`. Defaults
            to None: the one that the architecture names.
        context_length (int, optional): L. Defaults to None: the
            architecture's.

    Raises:
        ValueError: An unknown arch, a tokenizer that cannot be loaded, a
            context without room for a word, or an empty caption.
    """

    def __init__(self, arch: Union[str, dict],
                 tokenizer: Optional[str] = None,
                 context_length: Optional[int] = None) -> None:
        if context_length is not None and (not isinstance(context_length, int)
                                           or context_length < 3):
            raise ValueError('context_length must be an integer from 3 (a '
                             'word between start and end), got '
                             f'{context_length!r}')
        self.tokenizer = build_tokenizer(arch, tokenizer)
        self.context_length = context_length or self.tokenizer.context_length

    def transform(self, results: dict) -> dict:
        """Replace ``text`` by its token ids."""
        text = results['text']
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f'{results.get("filename", "video")}: its '
                             f'caption is {text!r}; give it a text or delete '
                             'it from the annotation file')
        tokens = self.tokenizer([text], context_length=self.context_length)
        results['text'] = tokens[0]  # [1, L] -> [L]
        return results
