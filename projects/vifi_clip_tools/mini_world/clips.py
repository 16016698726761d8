"""One clip or still frame, from its seed to its file, and what can be seen on
it in natural words."""
import hashlib
import signal
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple

import av
import cv2
import numpy as np

from ..cli.processes import end_with_parent
from .scene import (Poses, Scene, draw_scene, moving_poses, render,
                    still_pose)
from .world import (CLASSES, COLOURS, SHAPES, VideoClass, WorldParams,
                    clip_path, still_path, with_article)

_FRAME_RATES = (12, 15, 24, 25, 30)
# x264's macroblock tree is not repeatable, not even in one thread: with it
# about one clip in three differed between runs (PyAV 18), without it none.
_X264 = {'crf': '18', 'preset': 'veryfast', 'x264-params': 'mbtree=0'}
_ON_BACKGROUND = dict(
    plain='on a plain background', gradient='on a shaded background',
    stripes='on stripes', checks='on checks', clouds='in front of clouds')


class Job(NamedTuple):
    """One file to make."""

    path: str  # in the data set's folder; with the seed, it fixes all pixels
    seed: int  # of the data set
    size: int  # side of the frame in pixels
    cls: Optional[VideoClass] = None  # the clip's; None for a still frame


def list_jobs(params: WorldParams) -> List[Job]:
    """All files of a data set, stills last and in order."""
    trained = CLASSES['train']
    target = CLASSES['target'] if params.target_train_per_class else []
    jobs = [Job(clip_path(cls, split, i), params.seed, params.size, cls)
            for classes, split, count in (
                (trained, 'train', params.train_per_class),
                (target, 'train', params.target_train_per_class),
                (trained + target + CLASSES['zero_shot'], 'val',
                 params.test_per_class))
            for cls in classes for i in range(count)]
    return jobs + [Job(still_path(i), params.seed, params.size)
                   for i in range(params.num_stills)]


def _rng(job: Job, purpose: str = '') -> np.random.Generator:
    # The path holds split, class and index. A generator of its own for each
    # file makes its bytes independent of the workers and of the other files.
    key = f'{job.seed} {job.path} {purpose}'.strip()
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, 'big'))


def stage_clip(job: Job) -> Tuple[Scene, Poses, np.random.Generator]:
    """Draw all that a clip shows, but no frames yet: the scene, from 24 to 48
    poses, and the source of what is still to be drawn."""
    rng = _rng(job)
    scene = draw_scene(job.cls.colour, job.cls.shape, job.size, rng)
    poses = moving_poses(job.cls.motion, int(rng.integers(24, 49)), rng)
    return scene, poses, rng


def _size_word(radius):
    return ('small' if radius < 0.11 else
            'medium-sized' if radius < 0.22 else 'large')


def _place_words(x, y):
    row = 'top' if y < 0.37 else 'bottom' if y > 0.63 else ''
    column = 'left' if x < 0.37 else 'right' if x > 0.63 else ''
    if row and column:
        return f'in the {row} {column} corner'
    if row:
        return f'at the {row}'
    return f'on the {column}' if column else 'in the middle'


def _tilt_words(tilt):
    tilt = (tilt + 0.5) % 1 - 0.5
    if abs(tilt) > 0.375:
        return 'upside down'
    if abs(tilt) < 0.06:
        return 'upright'
    return 'tilted to the ' + ('right' if tilt > 0 else 'left')


def describe(colour: str, shape: str, poses: Poses, background: str,
             rng: np.random.Generator) -> str:
    """Caption one still frame, as 'a photo of a large red ring at the top'.

    The caption is true of the frame (T = 1). It tells one or two of size,
    faintness, place, tilt and background, or none.
    """
    sized = f'{_size_word(poses.radius[0])} {colour}'
    faint = f'faint {colour}' if poses.opacity[0] <= 0.5 else sized
    place = _place_words(poses.x[0], poses.y[0])
    tilt = _tilt_words(poses.tilt[0])
    forms = [(colour, ''), (sized, ''), (faint, ''), (colour, place),
             (faint, place), (sized, place), (colour, tilt), (sized, tilt),
             (colour, _ON_BACKGROUND[background])]
    look, rest = forms[rng.integers(len(forms))]
    opening = rng.choice(['', 'a photo of ', 'a picture of '])
    return f'{opening}{with_article(look)} {shape} {rest}'.strip()


def _steady(values: np.ndarray) -> Optional[float]:
    """The mean, or None if the motion changes it.

    Unrest moves nothing by more than 0.06, motions at least by 0.2.
    """
    return float(np.mean(values)) if np.ptp(values) < 0.1 else None


def caption_clip(job: Job) -> str:
    """Caption one clip, as 'a video of a small red ring bouncing upright on
    stripes on the right'.

    The caption is true of the clip. It tells the background, and the size,
    tilt and place as far as the motion leaves them alone.
    """
    colour, shape, motion = job.cls
    scene, poses, _ = stage_clip(job)
    # A generator of its own, so that captions leave the clips as they are.
    rng = _rng(job, 'caption')
    x, y, radius, tilt = map(
        _steady, (poses.x, poses.y, poses.radius, poses.tilt))
    look = colour if radius is None else f'{_size_word(radius)} {colour}'
    words = [with_article(look), shape, motion]
    if tilt is not None:
        words.append(_tilt_words(tilt))
    rest = [_ON_BACKGROUND[scene.background_kind]]
    place = _place_words(0.5 if x is None else x, 0.5 if y is None else y)
    # What goes up and down, or about, is not 'in the middle'.
    if place != 'in the middle' or None not in (x, y):
        rest.append(place)
    opening = str(rng.choice(['', 'a video of ']))
    return opening + ' '.join(words + list(rng.permutation(rest)))


def render_clip(job: Job) -> Tuple[np.ndarray, int]:
    """Draw a clip: frames [T, S, S, 3], RGB, uint8, T from 24 to 48, and
    frames per second."""
    scene, poses, rng = stage_clip(job)
    return render(scene, poses, rng), int(rng.choice(_FRAME_RATES))


def render_still(job: Job) -> Tuple[np.ndarray, str]:
    """Draw a still frame [S, S, 3], RGB, uint8, and caption it."""
    rng = _rng(job)
    colour, shape = str(rng.choice(COLOURS)), str(rng.choice(SHAPES))
    scene = draw_scene(colour, shape, job.size, rng)
    pose = still_pose(rng)
    caption = describe(colour, shape, pose, scene.background_kind, rng)
    return render(scene, pose, rng)[0], caption


def write_video(path: str, frames: np.ndarray, fps: int) -> None:
    """Encode frames [T, H, W, 3], RGB, uint8, H and W even, as H.264 in an
    mp4 file; the same frames give the same bytes."""
    with av.open(path, 'w', options=dict(fflags='+bitexact')) as container:
        stream = container.add_stream('libx264', rate=fps, options=_X264)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        stream.thread_count = 1
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def start_worker() -> None:
    """Set up a process that makes files."""
    cv2.setNumThreads(0)  # in a fork, 1 would wait for the parent's threads
    # Ctrl-C is for the parent, which cleans up; workers end with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    end_with_parent()


def make_files(jobs: Sequence[Job], root: str) -> List[str]:
    """Draw and encode a batch of files, whose folders must exist, in the data
    set's folder ``root``; return the captions of its still frames."""
    captions = []
    for job in jobs:
        path = str(Path(root) / job.path)
        if job.cls:
            write_video(path, *render_clip(job))
            continue
        frame, caption = render_still(job)
        picture = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(path, picture, [cv2.IMWRITE_JPEG_QUALITY, 95]):
            raise OSError(f'cannot write {path}')
        captions.append(caption)
    return captions
