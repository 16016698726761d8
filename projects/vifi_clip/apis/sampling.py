"""Frames of one video, through a config's own pipeline.

Letters: T frames of a view, W windows, U frames that differ.
"""
from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple

import numpy as np
from mmengine.config import Config

from ..datasets.reader_steps import OPENERS, run_pipeline
from ..datasets.video_reader import OpenedVideo
from ..errors import UnreadableVideo, UserError
from .inputs import VideoInput
from .pipeline import Views, build_steps, check_views, pipeline_cfg

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
        rows (np.ndarray): [W, T], for each window and position the index
            into ``unique``.
        read (Callable): Some of ``unique`` to uint8 [*, h, w, 3].
    """
    times: np.ndarray
    window: float
    unique: np.ndarray
    rows: np.ndarray
    read: Callable


class VideoSampler:
    """Read videos as a config's test pipeline does."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg

    def reader(self, num_views: Views) -> Callable[[VideoInput], dict]:
        """Return the function from a video to a sample of the model."""
        steps = pipeline_cfg(self.cfg, check_views(num_views))
        of_file, of_array = build_steps(steps), build_steps(steps, array=True)

        def read(video: VideoInput) -> dict:
            with video.opened() as here:
                return _apply(of_file if here.frames is None else of_array,
                              here, _info(here))

        return read

    def sample(self, video: VideoInput,
               num_frames: Optional[int] = None) -> Sampled:
        """Read one view up to its pixels."""
        steps = pipeline_cfg(self.cfg, 1, num_frames)
        with video.opened() as here:
            results = _apply(
                build_steps(steps, here.frames is not None, pixels=True),
                here, _info(here))
        indices = np.asarray(results['frame_inds']).reshape(-1)
        times, fps = _times(results, here)
        return Sampled(np.stack(results['imgs']), indices, times[indices],
                       fps)

    def windows(self, video: VideoInput, window: float, stride: float,
                num_frames: int) -> Windows:
        """Plan windows, each sampled sparsely as a whole video is.

        ``video`` is from :meth:`VideoInput.opened`; lengths are in seconds.

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
            # An OpenedVideo is slow to open and can be read again, so it is
            # kept; MMAction2's readers are used up by one pass.
            kept = isinstance(results.get('video_reader'), OpenedVideo)
            return np.stack(_apply(
                steps[first:] if kept else steps, video,
                dict(results if kept else _info(video), wanted=wanted)
            )['imgs'])

        return Windows(starts + window / 2, window, unique,
                       rows.reshape(frames.shape), read)


def _info(video: VideoInput) -> dict:
    """What a pipeline starts from."""
    info = dict(label=-1, start_index=0, modality='RGB')
    if video.frames is None:
        return dict(info, filename=video.path)
    return dict(info, filename=video.name, array=video.frames,
                total_frames=len(video.frames))


def _apply(steps: list, video: VideoInput, info: dict) -> dict:
    """Apply transforms to a local video; errors carry the user's name for
    it."""
    try:
        results = run_pipeline(steps, info)
    except UnreadableVideo as error:
        raise UnreadableVideo(video.name, error.reason) from error
    except OSError as error:
        raise UnreadableVideo(video.name, str(error)) from error
    if results is None:
        raise UnreadableVideo(video.name, 'the pipeline left it out')
    return results


def _times(results: dict, video: VideoInput) -> Tuple[np.ndarray, float]:
    """Start of each frame, and the end, in seconds [total + 1]; frame rate."""
    fps = results.get('avg_fps')
    if video.frames is None and not fps:
        reader = results.get('video_reader')
        fps = reader.get_avg_fps() if hasattr(reader, 'get_avg_fps') else None
    fps = float(fps or video.fps)
    times = results['frame_times']() if 'frame_times' in results else None
    if times is None:
        times = np.arange(results['total_frames'] + 1) / fps
    return times, fps
