"""Frames of one video, through a config's own pipeline.

Letters: T frames of a view, W windows, U frames that differ.
"""
from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple

import numpy as np
from mmengine.config import Config

from ..datasets.video_file import VideoFile
from ..datasets.video_reader import OPENERS, run_pipeline
from ..errors import UnreadableVideo, UserError
from .inputs import VideoInput
from .pipeline import Views, build_steps, check_views, pipeline_cfg

_MOST_WINDOWS = 100_000


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

    def reader(self, num_views: Views) -> Callable[[VideoInput], dict]:
        """Return the function from a video to a sample of the model."""
        steps = pipeline_cfg(self.cfg, check_views(num_views))
        of_file, of_array = build_steps(steps), build_steps(steps, array=True)

        def read(video: VideoInput) -> dict:
            with video.opened() as opened:
                return _apply(
                    of_file if opened.frames is None else of_array, opened)

        return read

    def sample(self, video: VideoInput,
               num_frames: Optional[int] = None) -> Sampled:
        """Read one view up to its pixels."""
        steps = pipeline_cfg(self.cfg, 1, num_frames)
        with video.opened() as opened:
            array = opened.frames is not None
            results = _apply(build_steps(steps, array, pixels=True), opened)
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
        steps = build_steps(
            pipeline_cfg(self.cfg, 1), video.frames is not None, given=True,
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
            # A VideoFile is slow to open and can be read again, so it is
            # kept; MMAction2's readers are used up by one pass.
            kept = isinstance(results.get('video_reader'), VideoFile)
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
