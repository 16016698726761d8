"""Frames of one video, through a config's own pipeline.

Letters: T frames of a view, W windows, U frames that differ.
"""
from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple

import numpy as np
from mmengine.config import Config

from ..datasets.video_reader import OPENERS, OpenedVideo, run_pipeline
from ..errors import UnreadableVideo, UserError
from .pipeline import Views, build_steps, pipeline_cfg
from .inputs import VideoInput

_MOST_WINDOWS = 100_000


@dataclass(frozen=True)
class Sampled:
    """Frames of one view.

    Attributes:
        images (np.ndarray): uint8 RGB [T, h, w, 3], as the model sees them
            before normalisation.
        indices (np.ndarray): [T], their numbers in the video.
        times (np.ndarray): [T], seconds.
        fps (float): Frame rate of the video.
    """
    images: np.ndarray
    indices: np.ndarray
    times: np.ndarray
    fps: float


@dataclass(frozen=True)
class Timeline:
    """Scores over time.

    Attributes:
        times (np.ndarray): [W], centres of the windows in seconds.
        scores (np.ndarray): [W, K] probabilities.
        labels (list[str]): K names.
        window (float): Length of a window, seconds.
    """
    times: np.ndarray
    scores: np.ndarray
    labels: List[str]
    window: float


@dataclass(frozen=True)
class Windows:
    """Frames of windows, each frame once.

    Attributes:
        times (np.ndarray): [W], centres in seconds.
        window (float): Length, seconds; not more than the video has.
        unique (np.ndarray): [U], numbers of frames in the video, ascending.
        places (np.ndarray): [W, T], which of the U stands where.
        read (Callable): Some of ``unique`` to uint8 [*, h, w, 3].
    """
    times: np.ndarray
    window: float
    unique: np.ndarray
    places: np.ndarray
    read: Callable


class VideoSampler:
    """Reads videos as a config's test pipeline does.

    Args:
        cfg (Config): A recognizer's config.
    """

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg

    def reader(self, num_views: Views) -> Callable[[VideoInput], dict]:
        """What turns a video into a sample of the model."""
        steps = pipeline_cfg(self.cfg, num_views)
        kinds = {array: build_steps(steps, array) for array in (False, True)}
        return lambda video: _run(video, kinds.__getitem__)[1]

    def sample(self, video: VideoInput,
               num_frames: Optional[int] = None) -> Sampled:
        """One view up to its pixels."""
        steps = pipeline_cfg(self.cfg, 1, num_frames)
        video, results = _run(
            video, lambda array: build_steps(steps, array, pixels=True))
        fps = _rate(results, video)
        indices = np.asarray(results['frame_inds']).reshape(-1)
        times = _times(results, results['total_frames'], fps)[indices]
        return Sampled(np.stack(results['imgs']), indices, times, fps)

    def windows(self, video: VideoInput, window: float, stride: float,
                num_frames: int) -> Windows:
        """Sliding windows, each sampled sparsely as a whole video is.

        Args:
            video (VideoInput): The video, as
                :meth:`VideoInput.opened` gives it.
            window (float): Length, seconds.
            stride (float): From one to the next, seconds.
            num_frames (int): T, frames of each.

        Raises:
            ValueError: A length that is not above 0.
            UserError: Too many windows.
        """
        for name, value in dict(window=window, stride=stride).items():
            if not value > 0 or not np.isfinite(value):
                raise ValueError(f'{name} is a length in seconds above 0, '
                                 f'got {value}')
        steps = build_steps(
            pipeline_cfg(self.cfg, 1), video.frames is not None, given=True,
            pixels=True)
        first = next((i for i, step in enumerate(steps, 1)
                      if isinstance(step, OPENERS)), 0)
        results = _apply(steps[:first], video, _info(video))
        total, fps = results['total_frames'], _rate(results, video)
        times = _times(results, total, fps)
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
        frames = np.clip(frames, 0, total - 1)
        # [W, T]
        unique, places = np.unique(frames, return_inverse=True)

        def read(wanted: np.ndarray) -> np.ndarray:
            # Ours is opened once, which reads an index of the whole file;
            # others cannot be asked twice.
            ours = isinstance(results.get('video_reader'), OpenedVideo)
            left = steps[first:] if ours else steps
            given = dict(results if ours else _info(video), wanted=wanted)
            return np.stack(_apply(left, video, given)['imgs'])

        return Windows(starts + window / 2, window, unique,
                       places.reshape(frames.shape), read)


def _info(video: VideoInput) -> dict:
    """What a pipeline starts from."""
    info = dict(label=-1, start_index=0, modality='RGB')
    if video.frames is None:
        return dict(info, filename=video.path)
    return dict(info, filename=video.name, array=video.frames,
                total_frames=len(video.frames))


def _run(video: VideoInput,
         steps: Callable[[bool], list]) -> Tuple[VideoInput, dict]:
    """Apply transforms, of a file or of an array, to one video.

    Returns:
        tuple: The video as it was opened, and what the last step returns.
    """
    with video.opened() as here:
        return here, _apply(steps(here.frames is not None), here,
                            _info(here))


def _apply(steps: list, video: VideoInput, info: dict) -> dict:
    """Apply transforms to one video that is here.

    Raises:
        UnreadableVideo: It cannot be read.
    """
    try:
        results = run_pipeline(steps, info)
    except UnreadableVideo as error:
        raise UnreadableVideo(video.name, error.reason) from error
    except OSError as error:
        raise UnreadableVideo(video.name, str(error)) from error
    if results is None:
        raise UnreadableVideo(video.name, 'the pipeline left it out')
    return results


def _times(results: dict, total: int, fps: float) -> np.ndarray:
    """Start of each frame, and the end, in seconds [total + 1]."""
    times = results['frame_times']() if 'frame_times' in results else None
    return np.arange(total + 1) / fps if times is None else times


def _rate(results: dict, video: VideoInput) -> float:
    """Frames in a second."""
    fps = results.get('avg_fps')
    if video.frames is None and not fps:
        reader = results.get('video_reader')
        fps = reader.get_avg_fps() if hasattr(reader, 'get_avg_fps') else None
    return float(fps or video.fps)
