"""A config's test pipeline, for videos of any kind and any number of views,
and the frames that come of it, read ahead of the model.

Letters: V temporal views, C crops, T frames of a view, W windows, U frames
that differ.
"""
import copy
import re
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import (Any, Callable, Iterable, Iterator, List, Optional,
                    Sequence, Tuple, Union)

import numpy as np
from mmaction.registry import TRANSFORMS
from mmengine.config import Config
from tqdm import tqdm

from ..datasets.deferred import in_worker
from ..datasets.video_reader import OPENERS, VideoReader, run_pipeline
from ..errors import UnreadableVideo, UserError
from .config import blamed_on
from .inputs import VideoInput, expand_inputs

Views = Union[None, int, Tuple[int, int]]
_MOST_VIEWS = 1000
_MOST_WINDOWS = 100_000
# Threads that decode while the model runs; decoders release the GIL.
_THREADS = 2
_SAMPLER = 'SparseSampleViews'
_ALL_SAMPLERS = (_SAMPLER, 'SampleFrames', 'UniformSample',
                 'DenseSampleFrames')


def check_size(results: dict, size: Tuple[int, int]) -> dict:
    """Refuse pictures of another size (width, height) than the model's.

    A crop leaves a picture that is smaller as it is, and the model would
    fail with the whole batch.
    """
    height, width = results['imgs'][0].shape[:2]
    if (width, height) == size:
        return results
    height, width = results['original_shape']
    raise UnreadableVideo(
        results['filename'],
        f'its pictures have {width} x {height} pixels, too few for a model of '
        f'{size[0]} x {size[1]} whose config does not enlarge them')


def take_given(results: dict) -> dict:
    """Take one view of the frames ``results['wanted']``, and set what a
    sampling transform sets."""
    frames = results['wanted']
    return dict(results, frame_inds=frames, clip_len=len(frames), num_clips=1,
                frame_interval=None)


def parse_views(text: str) -> Views:
    """Read '1', '4', '4x3' or 'config' as ``num_views``."""
    if text == 'config':
        return None
    match = re.fullmatch('([0-9]+)(?:[xX]([0-9]+))?', text)
    try:
        views, crops = match.groups() if match else ('0', None)
        return check_views((int(views), int(crops)) if crops else int(views))
    except ValueError:
        raise ValueError(f'--num-views {text}: give up to {_MOST_VIEWS} '
                         'temporal views, also with crops such as 4x3, or '
                         "'config'"
                         ) from None


def check_views(views: Views) -> Views:
    """Refuse what is no number of views by a ValueError."""
    pair = views if isinstance(views, tuple) else (views, 1)
    if views is not None and not (
            len(pair) == 2 and type(pair[0]) is int
            and 1 <= pair[0] <= _MOST_VIEWS and pair[1] in (1, 3)):
        raise ValueError('num_views must be a number of temporal views, a '
                         'pair with 1 or 3 crops, or None for the '
                         f"config's; got {views!r}")
    return views


def pipeline_cfg(cfg: Config, views: Views = 1,
                 num_frames: Optional[int] = None) -> List[dict]:
    """Return a copy of the transforms for a number of views; a UserError if
    the config has no such pipeline, or samples otherwise.

    The config has ``val_pipeline`` (one view) or a test set. ``views`` are
    ``num_views`` of :meth:`ViFiCLIPInferencer.predict`; ``num_frames`` is T in
    place of the config's.
    """
    temporal, crops = views if isinstance(views, tuple) else (views, 1)
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    own = dataset.get('pipeline') or cfg.get('test_pipeline')
    if temporal is None:
        base = own
    elif crops == 1:
        base = cfg.get('val_pipeline', own)
    else:
        base = next((steps for steps in (cfg.get('views_pipeline'), own)
                     if steps and any(step['type'] == 'ThreeCrop'
                                      for step in steps)), None)
    if not base:
        what = 'three crops' if crops == 3 else 'one view (val_pipeline)'
        raise UserError(f'{cfg.filename} has no pipeline of {what}')
    steps = copy.deepcopy(in_worker(base))
    samplers = [step for step in steps if step['type'] == _SAMPLER]
    if temporal is None or (temporal == 1 and num_frames is None
                            and not samplers):
        return steps
    if not samplers:
        raise UserError(
            f'{cfg.filename} does not sample with {_SAMPLER}: use its own '
            'views (num_views=None; --num-views config)')
    for step in samplers:
        step['num_views'] = temporal
        step['num_frames'] = num_frames or step['num_frames']
    return steps


def build_steps(steps: Sequence[dict], array: bool = False,
                given: bool = False, pixels: bool = False) -> list:
    """Build transforms from the settings that :func:`pipeline_cfg` returns.

    With ``array``, frames are given and there is no reader; if they are
    ``given``, they are named by ``wanted`` and not sampled; with ``pixels``
    the last step makes ``imgs`` as the model sees them (before FormatShape).
    """
    built, size = [], _final_size(steps)
    for step in steps:
        kind = step['type']
        if kind == 'FormatShape' and size:
            built.append(partial(check_size, size=size))
        if kind == 'FormatShape' and pixels:
            break
        if array and issubclass(TRANSFORMS.get(kind), OPENERS):
            continue
        if array and 'Decode' in kind:
            step = dict(type='ArrayDecode')
        elif kind == 'DecordInit':
            step = dict(step, type=VideoReader)
        built.append(take_given if given and kind in _ALL_SAMPLERS else
                     TRANSFORMS.build(step))
    return built


def _final_size(steps: Sequence[dict]) -> Optional[Tuple[int, int]]:
    """Width and height of what leaves a pipeline; None if that depends."""
    for step in reversed(steps):
        size = step.get('crop_size')
        if step['type'] == 'Resize':
            if step.get('keep_ratio', True):
                return None
            size = step['scale']
        if size is not None:
            return (size, size) if isinstance(size, int) else tuple(size)
    return None


def count_views(steps: Sequence[dict],
                num_frames: Optional[int]) -> Tuple[int, int]:
    """Count the views, temporal times spatial, that a pipeline takes of a
    video, and the frames of each (``num_frames``, as the head has it)."""
    views, frames = 1, num_frames or 1
    for step in steps:
        kind = step['type']
        views *= dict(ThreeCrop=3, TenCrop=10).get(kind, 1)
        if kind == _SAMPLER:
            views *= step.get('num_views', 1)
            frames = step['num_frames']
        elif kind in _ALL_SAMPLERS and step['clip_len'] > 1:
            views *= step.get('num_clips', 1)
            frames = step['clip_len']
        elif kind in _ALL_SAMPLERS:
            # 16 sparse frames are 16 clips of one frame to MMAction2
            clips = step.get('num_clips', 1)
            frames = num_frames or clips
            views *= max(clips // frames, 1)
    return views, frames


@dataclass(frozen=True)
class Sampled:
    """Frames of one view."""

    images: np.ndarray  # uint8 RGB [T, h, w, 3], before normalisation
    indices: np.ndarray  # [T], their numbers in the video
    times: np.ndarray  # [T], seconds
    fps: float  # of the video


@dataclass(frozen=True)
class Timeline:
    """Scores over time."""

    times: np.ndarray  # [W], centres of the windows in seconds
    scores: np.ndarray  # [W, K], probabilities
    labels: List[str]  # K names
    window: float  # length of a window, seconds


@dataclass(frozen=True)
class Windows:
    """Frames of windows, each frame once."""

    times: np.ndarray  # [W], centres in seconds
    window: float  # length, seconds; not more than the video has
    unique: np.ndarray  # [U], numbers of frames in the video, ascending
    # [W, T], for each window and position the index into ``unique``
    rows: np.ndarray
    read: Callable  # some of ``unique`` to uint8 [*, h, w, 3]


class VideoSampler:
    """Read videos as a config's test pipeline does."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg

    def _build(self, views: Views, num_frames: Optional[int] = None,
               **kwargs: bool) -> list:
        with blamed_on(self.cfg.filename):
            return build_steps(pipeline_cfg(self.cfg, views, num_frames),
                               **kwargs)

    def reader(self, num_views: Views) -> Callable[[VideoInput], dict]:
        """Return the function from a video to a sample of the model."""
        of_file, of_array = (self._build(check_views(num_views), array=array)
                             for array in (False, True))

        def read(video: VideoInput) -> dict:
            with video.opened() as opened:
                return _apply(
                    of_file if opened.frames is None else of_array, opened)

        return read

    def sample(self, video: VideoInput,
               num_frames: Optional[int] = None) -> Sampled:
        """Read one view up to its pixels."""
        with video.opened() as opened:
            array = opened.frames is not None
            results = _apply(self._build(1, num_frames, array=array,
                                         pixels=True), opened)
        indices = np.asarray(results['frame_inds']).reshape(-1)
        times, fps = _times(results, opened)
        return Sampled(np.stack(results['imgs']), indices, times[indices],
                       fps)

    def windows(self, video: VideoInput, window: float, stride: float,
                num_frames: int) -> Windows:
        """Plan windows, each sampled sparsely as a whole video is.

        ``video`` is from :meth:`VideoInput.opened`; lengths are in seconds.
        ValueError if one is not above 0, UserError at too many windows.
        """
        for name, value in dict(window=window, stride=stride).items():
            if not value > 0 or not np.isfinite(value):
                raise ValueError(f'{name} is a length in seconds above 0, '
                                 f'got {value}')
        steps = self._build(1, array=video.frames is not None, given=True,
                            pixels=True)
        first = next((i for i, step in enumerate(steps, 1)
                      if isinstance(step, OPENERS)), 0)
        results = _apply(steps[:first], video)
        times, fps = _times(results, video)
        window = min(window, times[-1])
        count = np.ceil((times[-1] - window) / stride - 1e-9) + 1
        if count > _MOST_WINDOWS:
            raise UserError(f'stride={stride:g} s makes {count:.0f} windows '
                            f'of {video.name}; {_MOST_WINDOWS} are allowed')
        starts = np.minimum(np.arange(int(count)) * stride,
                            times[-1] - window)
        offsets = (np.arange(num_frames) + 0.5) * window / num_frames
        # the frame that is on the screen then
        frames = np.searchsorted(
            times, starts[:, None] + offsets + 1e-6 / fps, 'right') - 1
        frames = np.clip(frames, 0, results['total_frames'] - 1)
        # [W, T]
        unique, rows = np.unique(frames, return_inverse=True)

        def read(wanted: np.ndarray) -> np.ndarray:
            # Our reader's video is slow to open and can be read again, so it
            # is kept; MMAction2's are used up by one pass.
            kept = 'frame_times' in results
            return np.stack(_apply(
                steps[first:] if kept else steps, video,
                **(results if kept else {}), wanted=wanted)['imgs'])

        return Windows(starts + window / 2, window, unique,
                       rows.reshape(frames.shape), read)


def _apply(steps: list, video: VideoInput, **info) -> dict:
    """Apply transforms to a local video, with what is known of it already."""
    start = dict(label=-1, start_index=0, modality='RGB', filename=video.path)
    if video.frames is not None:
        start.update(filename=video.name, array=video.frames,
                     total_frames=len(video.frames))
    try:
        results = run_pipeline(steps, {**start, **info})
    except OSError as error:
        raise UnreadableVideo(video.name, str(error)) from error
    if results is None:
        raise UnreadableVideo(video.name, 'the pipeline left it out')
    return results


def _times(results: dict, video: VideoInput) -> Tuple[np.ndarray, float]:
    """Start of each frame, and the end, in seconds [total + 1]; frame rate."""
    fps = float(results.get('avg_fps') or video.fps)
    times = results['frame_times']() if 'frame_times' in results else None
    if times is None:
        times = np.arange(results['total_frames'] + 1) / fps
    return times, fps


def run_in_batches(run: Callable[[List[dict]], Iterable[dict]],
                   sampler: VideoSampler, videos: Any, num_views: Views,
                   batch_size: int, on_error: str,
                   show_progress: bool = False) -> Iterator[dict]:
    """Read videos, and put those that can be read through a model.

    ``run`` makes the results of a batch of samples. Yields ``video`` (its
    name) with the items of its result, or with ``error``, why it cannot be
    read; the inputs are looked at before this returns.
    """
    read, inputs = sampler.reader(num_views), expand_inputs(videos)

    def attempt(video: VideoInput) -> tuple:
        try:
            return dict(video=video.name), read(video)
        except UnreadableVideo as error:
            if on_error == 'raise':
                raise
            reason = ' '.join(error.reason.split())
            return dict(video=video.name, error=reason), None

    def results() -> Iterator[dict]:
        items = iter(tqdm(
            _ahead(attempt, inputs, batch_size + _THREADS), unit='video',
            total=len(inputs), disable=not show_progress))
        while batch := list(islice(items, batch_size)):
            samples = [sample for _, sample in batch if sample is not None]
            done = iter(run(samples) if samples else ())
            for result, sample in batch:
                yield result if sample is None else {**result, **next(done)}

    return results()


def _ahead(function: Callable, items: Sequence, ahead: int) -> Iterator:
    """``map`` whose next results are made while the last one is used."""
    pool = ThreadPoolExecutor(_THREADS)
    try:
        waiting = [pool.submit(function, item) for item in items[:ahead]]
        for i in range(len(items)):
            # A signal that comes just before a wait without end is not heard.
            while not wait(waiting[:1], 1).done:
                pass
            done = waiting.pop(0).result()
            if i + ahead < len(items):
                waiting.append(pool.submit(function, items[i + ahead]))
            yield done
    finally:  # the caller has had enough, or there was an error
        # A decoder may hang, and whoever pressed Ctrl-C does not wait.
        pool.shutdown(wait=False, cancel_futures=True)
